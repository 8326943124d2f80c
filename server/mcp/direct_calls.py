"""Plain calls of the era without handshakes, answered in front of the SDK: see :mod:`server.mcp.quick_calls`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PARAM_HEADER_PREFIX,
    MCP_PROTOCOL_VERSION_HEADER,
    InboundModernRoute,
    classify_inbound_request,
)
from mcp_types import SERVER_INFO_META_KEY, methods
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.access import actor_of
from server.mcp.offers import Offers
from server.mcp.quick_calls import (
    METHOD,
    QuickCall,
    answer,
    plain_call,
    plain_headers,
    replayed,
    send_result,
    whole_body,
)

_PARAM_HEADER = MCP_PARAM_HEADER_PREFIX.lower()


class DirectCalls:
    """An ASGI application in front of the one that serves MCP.

    It stands behind :class:`~server.walls.guards.Guards`, which checks Host, Origin and the body's length as the SDK
    would, and behind authentication.
    """

    def __init__(self, app: ASGIApp, *, offers: Offers, server: Server[Any]) -> None:
        self._app = app
        self._offers = offers
        self._server_info = {SERVER_INFO_META_KEY: server.server_info_stamp}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a plain call of a quick tool; leave everything else to the application behind."""
        headers = plain_headers(scope)
        if headers is None or not self._may_be_quick(headers):
            await self._app(scope, receive, send)
            return
        message = await receive()
        body = whole_body(message)
        call = _read(body, headers) if body is not None else None
        result = await answer(self._offers, call, actor_of(scope)) if call is not None else None
        if call is None or result is None:
            await self._app(scope, replayed(message, receive), send)
            return
        result["_meta"] = {**self._server_info, **result.get("_meta", {})}
        await send_result(send, call, result)

    def _may_be_quick(self, headers: Mapping[str, str]) -> bool:
        return (
            headers.get(MCP_PROTOCOL_VERSION_HEADER) in MODERN_PROTOCOL_VERSIONS
            and headers.get(MCP_METHOD_HEADER) == METHOD
            and self._offers.quick_tool(headers.get(MCP_NAME_HEADER, "")) is not None
            and not any(name.startswith(_PARAM_HEADER) for name in headers)
        )


def _read(body: bytes, headers: Mapping[str, str]) -> QuickCall | None:
    """The call in a body, where it is plain: the SDK's checks, in the SDK's order."""
    try:
        decoded = json.loads(body)
        request = types.JSONRPCRequest.model_validate(decoded)
        route = classify_inbound_request(decoded, headers=headers)
        if not isinstance(route, InboundModernRoute):
            return None
        methods.validate_client_request(METHOD, route.protocol_version, request.params)
        return plain_call(request, decoded)
    except (ValueError, RecursionError):
        return None
