"""``/resume/{execution}``: where people, and systems with a signed link, answer what a waiting execution asks.

With a signed link no account is needed, and the link's one question is shown and answered. Without a link a person logs
in and finds every question that people are asked. Browsers get pages, also of every refusal; programs get JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.definitions.authoring import Authoring
from engine.executions.control import Control
from engine.executions.control_checks import upstream
from engine.executions.reader import ExecutionReader, waiting_of
from engine.executions.resume_links import FormerSubject, Meant, ResumeLinks, meant_by
from engine.runs.link_subjects import LinkSubject, NextQuestion, QuestionOf
from server.auth.pages.browser_sessions import PageSessions, form_in, login_redirect
from server.auth.pages.html import Html, element, hidden, page
from server.http.json import json_response
from server.http.problems import STATUS_BY_KIND
from tools.executions.views import execution_summary
from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError, NextCall
from workflow.executions import Execution, Resumption, Suspension
from workflow.identity import RUNS, bearer_of_link
from workflow.messages import utc_text
from workflow.schemas.documents import parse_document
from workflow.states import FINISHED

logger = logging.getLogger(__name__)

MAX_FIELDS = 1_000
"""Fields of a form that is sent to a link."""
QUESTION_FIELD = "question"
QUESTIONS_SHOWN = 50


class BadLinkError(JobsprintError):
    """The link was not made by this server, or was changed."""

    code = "bad_link"
    kind = ErrorKind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__(
            "This link was not made by the server, or was changed.",
            fix="Use the link as it was sent, with all of its query.",
        )


class StaleLinkError(JobsprintError):
    """The link's question does not wait: it was answered, its time is over, or it has not been asked yet."""

    code = "not_waiting"
    kind = ErrorKind.CONFLICT

    def __init__(self, why: str, *, execution_id: str) -> None:
        super().__init__(
            why,
            fix="Nothing was changed. Look at the execution.",
            next_call=NextCall("inspect_execution", {"execution_id": execution_id}),
        )


class Asked(NamedTuple):
    """The question that a link is for, of which execution, and what names it exactly."""

    execution: Execution
    waiting: Suspension
    exact: QuestionOf


@dataclass(slots=True, frozen=True, kw_only=True)
class Resume:
    """Verifies links and logins, shows approvals as pages, and passes answers on."""

    links: ResumeLinks
    control: Control
    reader: ExecutionReader
    authoring: Authoring
    sessions: PageSessions

    def routes(self) -> list[Route]:
        """The one route. An approval is answered with POST only; HEAD never answers anything."""
        return [Route("/resume/{execution_id}", self.answer, methods=["GET", "POST"])]

    async def answer(self, request: Request) -> Response:
        """Show the question, or pass its answer on; failures are pages for browsers."""
        try:
            if "token" not in request.query_params and _is_for_browser(request):
                return await self._for_person(request)
            return await self._by_link(request)
        except JobsprintError as error:
            if not _is_for_browser(request):
                raise
            return refusal_page(error.message, error.fix, STATUS_BY_KIND[error.kind])
        except Exception:
            if not _is_for_browser(request):
                raise
            logger.exception("a resume link failed")
            return refusal_page("The server failed on this request.", "Try it again later.", 500)

    async def _by_link(self, request: Request) -> Response:
        execution_id = request.path_params["execution_id"]
        subject = self.links.subject(execution_id, request.query_params.get("token", ""))
        if subject is None:
            raise BadLinkError
        asked = await self._asked(execution_id, subject, node=request.query_params.get("node"))
        if request.method == "HEAD":
            return Response(status_code=200)
        if request.method == "GET" and asked.waiting.kind == "approval":
            return self._shown(request, asked)
        actor, data = bearer_of_link(asked.execution.owner), await _data(request)
        execution = await self.control.answer(actor, execution_id, asked.waiting, data=data, by="link")
        return _thanks() if _is_for_browser(request) else json_response(execution_summary(execution))

    def _shown(self, request: Request, asked: Asked) -> Response:
        details = asked.waiting.details
        if not _is_for_browser(request) and "application/json" in request.headers.get("accept", ""):
            told = {name: details[name] for name in ("question", "choices", "who") if name in details}
            return json_response({**execution_summary(asked.execution), **told})
        # What is sent goes to the link of the very question that is shown.
        token = self.links.token(asked.execution.id, asked.exact)
        return page("A question", question_form(asked.waiting, action=f"?{urlencode({'token': token})}"))

    async def _asked(self, execution_id: str, subject: LinkSubject | FormerSubject, *, node: str | None) -> Asked:
        """The question that the link is for, while it waits.

        Raises:
            StaleLinkError: it does not wait.
            InvalidArgumentsError: the link may mean several questions.
        """
        owner = await self.reader.owner_of(execution_id)
        execution, records = await self.reader.recorded(owner, execution_id)
        behind: Collection[str] = ()
        if isinstance(subject, NextQuestion):
            stored = await self.authoring.workflows.get(owner, execution.workflow_id, execution.workflow_version)
            compiled = self.authoring.compiled(stored)
            behind = {*compiled.index_by_name} - upstream(compiled, subject.node)
        meant = meant_by(subject, records, behind, node=node)
        if meant.several > 1:
            raise InvalidArgumentsError(
                f"{meant.several} questions wait, and this link may mean each of them.",
                pointer="/node",
                fix="Use the link of the one that you mean: inspect_execution has it as resume_url, by node and item.",
                next_call=NextCall("inspect_execution", {"execution_id": execution_id, "path": "/waiting"}),
            )
        if meant.asked is None or meant.exact is None:
            raise StaleLinkError(_not_asked(execution), execution_id=execution_id)
        if meant.ended is not None or meant.asked not in waiting_of(execution, records):
            raise StaleLinkError(_ended(execution, meant), execution_id=execution_id)
        return Asked(execution, meant.asked, meant.exact)

    async def _for_person(self, request: Request) -> Response:
        """Every question that people are asked in the execution, for a person who is logged in."""
        execution_id = request.path_params["execution_id"]
        owner = await self.reader.owner_of(execution_id)
        user = await self.sessions.page_user(request)
        if user is None:
            return login_redirect(request)
        actor = await self.sessions.person(request, owner)
        if actor is None:
            return refusal_page("There is no such execution.", "Ask its owner for a link.", 404)
        actor.require(RUNS)
        everything = await self.reader.waiting(owner, execution_id)
        waiting = [each for each in everything if each.kind == "approval"][:QUESTIONS_SHOWN]
        if request.method == "POST":
            form = await form_in(request)
            self.sessions.require_csrf(user, form)
            meant = next((each for each in waiting if question_id(each) == form.get(QUESTION_FIELD)), None)
            if meant is None:
                raise StaleLinkError("This question does not wait any more.", execution_id=execution_id)
            data = {name: form[name] for name in ("choice", "comment") if form.get(name)}
            await self.control.answer(actor, execution_id, meant, data=data, by="page")
            return _thanks()
        if not waiting:
            raise StaleLinkError("Nothing in this execution waits for a person now.", execution_id=execution_id)
        csrf = self.sessions.csrf_field(user)
        forms = [question_form(each, csrf, hidden(QUESTION_FIELD, question_id(each))) for each in waiting]
        return page("Questions" if len(forms) > 1 else "A question", *forms)


def question_id(waiting: Suspension) -> str:
    """What tells a question from every other one of its execution."""
    return f"{waiting.key.node}/{waiting.key.run_index}/{waiting.key.item_index}@{waiting.at.isoformat()}"


def question_form(waiting: Suspension, *fields: Html, action: str | None = None) -> Html:
    """The form that answers an approval."""
    details = waiting.details
    choices = [element("button", {"name": "choice", "value": each}, each) for each in details["choices"]]
    comment = element("textarea", {"name": "comment", "rows": "3"})
    return element(
        "form",
        {"method": "post", "action": action},
        element("p", None, element("strong", None, details["question"])),
        element("p", None, f"For: {details['who']}") if "who" in details else "",
        *fields,
        element("label", None, "Comment", comment),
        element("p", None, *choices),
    )


def refusal_page(message: str, fix: str | None, status: int) -> Response:
    """The page that says why nothing was done."""
    return page(
        "Nothing was done",
        element("p", {"role": "alert", "class": "wrong"}, message),
        element("p", None, fix) if fix is not None else "",
        status=status,
    )


def _thanks() -> Response:
    return page("Thank you", element("p", None, "The workflow goes on. You can close this window."))


def _is_for_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "").lower()


def _not_asked(execution: Execution) -> str:
    if execution.state in FINISHED:
        return f"The execution has ended ({execution.state}); nothing waits for this link."
    return "What this link is to answer has not been asked yet, or is not asked any more."


def _ended(execution: Execution, meant: Meant) -> str:
    if isinstance(meant.ended, Resumption):
        how = "was not answered in time" if meant.ended.by == "timer" else "was answered"
        return f"What this link is for {how} at {utc_text(meant.ended.at)}. Each link is good for one answer."
    return f"What this link is for does not wait any more; the execution is {execution.state}."


async def _data(request: Request) -> Any:
    """The answer in the request: a JSON body, a form, or the query without the link's own parameters."""
    body = await request.body()
    if body and "json" in request.headers.get("content-type", "").lower():
        return parse_document(body)[0]
    if body:
        try:
            return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS))
        except ValueError:
            raise InvalidArgumentsError(
                f"The form has more than {MAX_FIELDS} fields.", pointer="", fix="Send what is much as JSON."
            ) from None
    return {name: value for name, value in request.query_params.items() if name not in ("token", "node")}
