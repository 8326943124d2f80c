"""``/resume/{execution}``: signed links through which a person without an account resumes an execution."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from engine.executions.control import Control
from engine.executions.reader import ExecutionReader
from engine.executions.resume_links import ResumeLinks
from server.http.json import json_response
from server.http.problems import problem
from tools.execution_views import execution_summary
from workflow.executions import Suspension
from workflow.identity import bearer_of_link
from workflow.schemas.documents import parse_document

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"
ASKED_FROM_OUTSIDE = ("call", "approval")


@dataclass(slots=True, frozen=True)
class Resume:
    """Verifies the link, shows approvals as a page, and passes answers on."""

    links: ResumeLinks
    control: Control
    reader: ExecutionReader

    def routes(self) -> list[Route]:
        """The one route; it takes any method, but an approval is answered with POST only."""
        return [Route("/resume/{execution_id}", self.answer, methods=["GET", "POST"])]

    async def answer(self, request: Request) -> Response:
        """Resume the execution, or show its question."""
        execution_id = request.path_params["execution_id"]
        if not self.links.is_valid(execution_id, request.query_params.get("token", "")):
            return problem(
                403,
                code="bad_link",
                title="This link was not made by the server, or was changed.",
                fix="Use the link as it was sent, with all of its query.",
            )
        node = request.query_params.get("node")
        owner = await self.reader.owner_of(execution_id)
        if request.method == "GET":
            asked = await self._approval(owner, execution_id, node)
            if asked is not None:
                return HTMLResponse(_page(asked), headers={"content-security-policy": PAGE_POLICY})
        execution = await self.control.resume(
            bearer_of_link(owner),
            execution_id,
            node=node,
            data=await _data(request),
            by="link",
            kinds=ASKED_FROM_OUTSIDE,
        )
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(_document("<p>Thank you. The workflow goes on.</p>"))
        return json_response(execution_summary(execution))

    async def _approval(self, owner: str, execution_id: str, node: str | None) -> Suspension | None:
        waiting = (await self.reader.inspect(owner, execution_id)).waiting
        return next((each for each in waiting if each.kind == "approval" and node in (None, each.key.node)), None)


async def _data(request: Request) -> Any:
    """The answer in the request: a JSON body, a form, or the query without the link's own parameters."""
    body = await request.body()
    if body and "json" in request.headers.get("content-type", ""):
        return parse_document(body)[0]
    if body:
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    return {name: value for name, value in request.query_params.items() if name not in ("token", "node")}


def _page(asked: Suspension) -> str:
    details = asked.details
    choices = "".join(
        f'<button name="choice" value="{html.escape(choice)}">{html.escape(choice)}</button>'
        for choice in details["choices"]
    )
    who = f"<p>For: {html.escape(details['who'])}</p>" if "who" in details else ""
    return _document(
        f'<form method="post"><h1>{html.escape(details["question"])}</h1>{who}'
        f'<p><label>Comment<br><textarea name="comment" rows="3"></textarea></label></p><p>{choices}</p></form>'
    )


def _document(body: str) -> str:
    style = (
        "body{font:16px/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}"
        "textarea{width:100%}button{font:inherit;padding:.5rem 1.25rem;margin-right:.5rem}h1{font-size:1.4rem}"
    )
    head = f"<meta charset=utf-8><title>Jobsprint</title><style>{style}</style>"
    return f"<!doctype html><html lang=en>{head}{body}</html>"
