"""The caller of a tool in both protocol eras: its actor, its capabilities, and how to ask it questions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from server.http import access
from server.mcp.identity import NAME
from tools.executions.questions import Abilities, accepted, request_for
from tools.executions.tasks import EXTENSION
from tools.protocol.caller import AnswerComesLaterError, Elicitation
from workflow.identity import LOCAL_ACTOR, Actor
from workflow.items import JsonObject

REQUEST_STATE_SECONDS = 24 * 3600
"""How long a person may take to answer before the waiting call has to be started again."""

Context = ServerRequestContext[Any, Any]


def actor_of(context: Context) -> Actor:
    """The actor of the request: over HTTP the authenticated one, over stdio the user who started the process.

    Raises:
        NotAuthenticatedError: the HTTP request is not authenticated.
    """
    return access.actor_of(context.request) if context.request is not None else LOCAL_ACTOR


def owner_of(context: Context) -> str:
    """The workspace of the request."""
    return actor_of(context).workspace_id


def _principal(context: Context) -> str:
    actor = actor_of(context)
    return f"{actor.workspace_id}:{actor.user_id}"


def is_modern(context: Context) -> bool:
    """Whether the request is of the era without handshakes: it carries everything about its client."""
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


def takes_tasks(context: Context) -> bool:
    """Whether the request's client has declared the extension; before 2026-07-28 there is none."""
    capabilities = context.session.client_capabilities
    extensions = capabilities.extensions if capabilities is not None else None
    return is_modern(context) and extensions is not None and EXTENSION in extensions


def abilities_of(context: Context) -> Abilities:
    """How the request's client can ask its user, and its model."""
    capabilities = context.session.client_capabilities
    if capabilities is None:
        return Abilities()
    return Abilities(capabilities.elicitation, capabilities.sampling)


def request_state_boundary(key: bytes) -> RequestStateBoundary:
    """Seals what clients carry from a call to its repetition, for one user; every process with ``key`` can open it."""
    security = RequestStateSecurity(keys=[key], ttl=REQUEST_STATE_SECONDS, bind_principal=_principal)
    return RequestStateBoundary(security, default_audience=NAME)


class _State(NamedTuple):
    """What a client carries from a call to its repetition: the subject of the questions, and their keys so far."""

    about: str | None
    put: frozenset[str]


@dataclass(slots=True, frozen=True)
class SessionCaller:
    """A :class:`tools.protocol.caller.Caller` over the SDK's context of a ``tools/call`` or ``prompts/get``.

    A modern client asks its user between two requests: the answer to the first has the questions, the second brings
    the answers and our sealed ``requestState``: the subject of the questions, and the keys of all that were asked so
    far. A legacy client is asked while its request waits.
    """

    context: Context
    params: types.InputResponseRequestParams

    @property
    def actor(self) -> Actor:
        """See the protocol, here as below."""
        return actor_of(self.context)

    @property
    def takes_tasks(self) -> bool:
        return takes_tasks(self.context)

    @property
    def goes_on_with(self) -> str | None:
        return self._state().about

    async def report_progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        await self.context.session.report_progress(done, total, message)

    async def ask(
        self, questions: Sequence[Elicitation], *, about: str | None = None
    ) -> Mapping[str, JsonObject | None]:
        if is_modern(self.context):
            return self._answered(questions, about)
        return {question.key: await self._elicit(question) for question in questions}

    def _answered(self, questions: Sequence[Elicitation], about: str | None) -> Mapping[str, JsonObject | None]:
        """The answers in the request; ``None`` for questions that cannot be asked, or were not answered."""
        responses, put = self.params.input_responses or {}, self._state().put
        client = abilities_of(self.context)
        unput = {
            each.key: each
            for each in questions
            if each.key not in responses and each.key not in put and request_for(each, client) is not None
        }
        replies = {each.key: accepted(responses.get(each.key)) for each in questions if each.key not in unput}
        if unput and all(reply is None for reply in replies.values()):
            raise AnswerComesLaterError([*unput.values()], about=about)
        return replies

    async def _elicit(self, question: Elicitation) -> JsonObject | None:
        request = request_for(question, abilities_of(self.context))
        if request is None:
            return None
        session, request_id = self.context.session, self.context.request_id
        try:
            if isinstance(request, types.CreateMessageRequest):
                asked = request.params
                said = await session.create_message(
                    asked.messages,
                    max_tokens=asked.max_tokens,
                    system_prompt=asked.system_prompt,
                    related_request_id=request_id,
                )
                return accepted(said)
            if isinstance(request.params, types.ElicitRequestURLParams):
                url = request.params.url
                result = await session.elicit_url(question.message, url, question.key, related_request_id=request_id)
            else:
                result = await session.elicit_form(question.message, question.form, related_request_id=request_id)
        except MCPError:  # the client has refused to ask, which leaves the question as open as its user's "no"
            return None
        return accepted(result)

    def input_required(self, asked: AnswerComesLaterError) -> types.InputRequiredResult:
        """The questions as the answer to the request; the client asks its user."""
        client = abilities_of(self.context)
        requests: types.InputRequests = {}
        for question in asked.questions:
            request = request_for(question, client)
            if request is not None:
                requests[question.key] = request
        if asked.about is None:
            return types.InputRequiredResult(input_requests=requests)
        state = json.dumps({"about": asked.about, "put": sorted(self._state().put | requests.keys())})
        return types.InputRequiredResult(input_requests=requests, request_state=state)

    def _state(self) -> _State:
        if self.params.request_state is None:
            return _State(None, frozenset())
        state = json.loads(self.params.request_state)
        return _State(state["about"], frozenset(state["put"]))
