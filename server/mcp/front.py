"""In front of the SDK: binds sessions to their users, and answers calls whose scopes the caller could ask for."""

from __future__ import annotations

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.shared.inbound import MCP_METHOD_HEADER, MCP_NAME_HEADER, decode_header_value
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.access import actor_of
from server.http.problems import problem
from server.mcp.offers import Offers
from server.settings.addresses import metadata_url
from workflow.identity import READS_EXECUTIONS, READS_PROMPTS, RUNS, Actor, InsufficientScopeError, Scopes, scopes_text

SCOPES_OF_METHOD = {
    "prompts/get": READS_PROMPTS,
    "tasks/get": READS_EXECUTIONS,
    "tasks/update": RUNS,
    "tasks/cancel": RUNS,
}


class Front:
    """An ASGI application in front of the SDK's, behind authentication.

    The SDK lets only the principal that began a session use it. Modern requests say in their headers what they are
    for, so that one that lacks scopes is answered with 403 and what to ask for (MCP, "Scope challenge handling").
    Where the caller's role does not have the scopes, asking for them would not help, and the call fails like any other;
    so it does in sessions. The tool checks the scopes again.
    """

    def __init__(self, app: ASGIApp, *, offers: Offers, base_url: str) -> None:
        self._app = app
        self._offers = offers
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403 with the scopes that it needs."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        actor = actor_of(scope)
        needed = await self._needed(Headers(scope=scope), actor)
        if needed <= actor.scopes or not needed <= actor.attainable:
            scope["user"] = _user(actor)
            await self._app(scope, receive, send)
            return
        error = InsufficientScopeError(needed - actor.scopes, is_attainable=True)
        asked_for = scopes_text(actor.scopes | needed)
        metadata = metadata_url(self._base_url, scope)
        challenge = f'Bearer error="insufficient_scope", scope="{asked_for}", resource_metadata="{metadata}"'
        refusal = problem(
            403, code=error.code, title=error.message, fix=error.fix, headers={"www-authenticate": challenge}
        )
        await refusal(scope, receive, send)

    async def _needed(self, headers: Headers, actor: Actor) -> Scopes:
        """The scopes that the request needs, as far as its headers show."""
        method, name = headers.get(MCP_METHOD_HEADER), decode_header_value(headers.get(MCP_NAME_HEADER))
        if method == "tools/call" and name is not None:
            tool = await self._offers.tools.get(actor.workspace_id, name)
            return tool.scopes if tool is not None else frozenset()
        if method == "resources/read" and name is not None:
            return self._offers.resources.scopes(name)
        return SCOPES_OF_METHOD.get(method or "", frozenset())


def _user(actor: Actor) -> AuthenticatedUser:
    """The actor as the SDK identifies users: by client and subject."""
    subject = f"{actor.workspace_id}:{actor.user_id}"
    no_token = AccessToken(token="", client_id=actor.client, scopes=[], subject=subject)  # nosec B106
    return AuthenticatedUser(no_token)
