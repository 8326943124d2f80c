"""Plain calls in sessions of the era with handshakes, answered in front of the SDK: see :mod:`server.mcp.quick_calls`.

The answer is plain JSON, where the SDK sends a stream of one event that a client could resume if it broke. A call that
only reads can be repeated instead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import NamedTuple

import mcp_types as types
import pydantic_core
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types import methods
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.access import actor_of
from server.mcp.offers import Offers
from server.mcp.quick_calls import (
    METHOD,
    PATH,
    QuickCall,
    answer,
    plain_call,
    plain_headers,
    replayed,
    send_result,
    whole_body,
)
from workflow.identity import Actor

VERSIONS = frozenset({"2025-06-18", "2025-11-25"})
"""The protocol versions of the era that have structured content and links; older ones are left to the SDK."""
SHOWN_SECONDS = 60.0
"""How often a call of a session goes to the SDK: it ends sessions that it sees idle for half an hour."""
SESSIONS_KEPT = 10_000
"""As many as the SDK keeps."""

_ID_HEADER = MCP_SESSION_ID_HEADER.encode()


class _Session(NamedTuple):
    id: str
    version: str
    workspace_id: str
    user_id: str


class DirectSessionCalls:
    """An ASGI application in front of the one that serves MCP.

    It learns sessions from the traffic: a session is known from when the SDK accepts its client's
    ``notifications/initialized`` until a request of it gets 404 or it is ended, and only for its actor.
    """

    def __init__(self, app: ASGIApp, *, offers: Offers, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._offers = offers
        self._now = now
        self._shown_until: dict[_Session, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a plain call of a quick tool; leave everything else to the application behind."""
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "DELETE":
            self._forget(dict(scope["headers"]).get(_ID_HEADER, b"").decode("latin-1"), actor_of(scope))
        headers = plain_headers(scope) or {}
        session_id, version = headers.get(MCP_SESSION_ID_HEADER), headers.get(MCP_PROTOCOL_VERSION_HEADER)
        if session_id is None or version not in VERSIONS:
            await self._app(scope, receive, send)
            return
        message = await receive()
        body = whole_body(message) or b""
        actor = actor_of(scope)
        session = _Session(session_id, version, actor.workspace_id, actor.user_id)
        shown_until = self._shown_until.get(session)
        if shown_until is not None and self._now() < shown_until:
            call = _read(body, version)
            result = await answer(self._offers, call, actor) if call is not None else None
            if call is not None and result is not None:
                result.pop("resultType", None)
                await send_result(send, call, result, (_ID_HEADER, session_id.encode("latin-1")))
                return
        elif shown_until is not None or _is_initialized(body):
            send = self._learning(session, actor, send)
        await self._app(scope, replayed(message, receive), send)

    def _forget(self, session_id: str, actor: Actor) -> None:
        for version in VERSIONS:
            self._shown_until.pop(_Session(session_id, version, actor.workspace_id, actor.user_id), None)

    def _learning(self, session: _Session, actor: Actor, send: Send) -> Send:
        """Note from the SDK's answer whether the session lives."""

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._forget(session.id, actor)
                if message["status"] < 300:
                    self._shown_until[session] = self._now() + SHOWN_SECONDS
                    if len(self._shown_until) > SESSIONS_KEPT:
                        del self._shown_until[next(iter(self._shown_until))]
            await send(message)

        return note


def _read(body: bytes, version: str) -> QuickCall | None:
    """The call in a body, where it is plain: the SDK's checks, in the SDK's order."""
    try:
        decoded = pydantic_core.from_json(body)
        request = types.JSONRPCRequest.model_validate(decoded, by_name=False)
        if request.method != METHOD:
            return None
        methods.validate_client_request(METHOD, version, request.params)
        return plain_call(request, decoded)
    except ValueError:
        return None


def _is_initialized(body: bytes) -> bool:
    """Whether the message is ``notifications/initialized``."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(decoded, dict) and decoded.get("method") == "notifications/initialized"
