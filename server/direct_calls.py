"""Calls of quick tools, answered in front of the SDK: what it does around a handler costs more than such a tool does.

Only what is plain is answered here: a modern ``tools/call`` with nothing in it but a name and arguments. All else goes
on to the SDK as it came, so that whatever is odd or wrong is answered by the SDK alone. What is plain is for the SDK's
own functions to say, in the order in which it calls them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mcp_types as types
import orjson
from mcp.server.lowlevel.server import Server
from mcp.server.runner import modern_error_data
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PARAM_HEADER_PREFIX,
    MCP_PROTOCOL_VERSION_HEADER,
    InboundModernRoute,
    classify_inbound_request,
)
from mcp_types import SERVER_INFO_META_KEY, methods
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.mcp_offers import Offers
from tools.caller import LOCAL_USER, Question
from tools.tool import Pending, Tool
from workflow.items import JsonObject

PATH = "/mcp"
METHOD = "tools/call"
EXACT_INTEGERS = 1 << 53
"""Up to here every JSON implementation gives back the number that it was sent (RFC 8259, 6)."""

_BOTH_TYPES = frozenset({"application/json", "text/event-stream"})
_PARAM_HEADER = MCP_PARAM_HEADER_PREFIX.lower()
_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})
_PARAMS = frozenset({"name", "arguments", "_meta"})


class Call(NamedTuple):
    """A plain call of a quick tool."""

    request_id: types.RequestId
    arguments: dict[str, Any]


@dataclass(slots=True, frozen=True)
class QuickCaller:
    """A :class:`tools.caller.Caller` that is told nothing and asked nothing before it has its answer."""

    user: str
    takes_tasks: bool = False
    goes_on_with: str | None = None

    async def report_progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Nobody asked for it: a call with a progress token is not plain."""

    async def ask(self, questions: Sequence[Question], *, about: str | None = None) -> Mapping[str, JsonObject | None]:
        """Nobody can be asked."""
        return {question.key: None for question in questions}


class DirectCalls:
    """An ASGI application in front of the one that serves MCP.

    It stands behind :class:`server.guards.Guards`, which have checked Host, Origin and the body's length as the SDK
    would, and behind whatever finds out who the user is.
    """

    def __init__(self, app: ASGIApp, *, offers: Offers, server: Server[Any]) -> None:
        self._app = app
        self._offers = offers
        self._server_info = {SERVER_INFO_META_KEY: server.server_info_stamp}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a plain call of a quick tool; leave everything else to the application behind."""
        headers = _plain_headers(scope)
        tool = self._offers.quick_tool(headers[MCP_NAME_HEADER]) if headers is not None else None
        if headers is None or tool is None:
            await self._app(scope, receive, send)
            return
        message = await receive()
        call = _plain_call(message, headers)
        if call is None:
            await self._app(scope, _replayed(message, receive), send)
            return
        status, body = await self._answer(tool, call)
        length = str(len(body)).encode()
        sent_headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": sent_headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, tool: Tool[Any], call: Call) -> tuple[int, bytes]:
        """HTTP status and JSON-RPC message; what a handler should not raise is logged, and told as the SDK does."""
        try:
            result = await tool.call(call.arguments, QuickCaller(LOCAL_USER))
            return 200, orjson.dumps({"jsonrpc": "2.0", "id": call.request_id, "result": self._wire(result)})
        except Exception as raised:
            error = modern_error_data(raised)
            answer = types.JSONRPCError(jsonrpc="2.0", id=call.request_id, error=error)
            body = orjson.dumps(answer.model_dump(mode="json", by_alias=True, exclude_none=True))
            return ERROR_CODE_HTTP_STATUS.get(error.code, 200), body

    def _wire(self, result: types.CallToolResult | Pending) -> JsonObject:
        """The result as it is sent. Its structured content, the bulk of it, is JSON already."""
        if isinstance(result, Pending):
            raise TypeError("a quick tool's answer is still to come")
        wire = result.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"structured_content"})
        if result.structured_content is not None:
            wire["structuredContent"] = result.structured_content
        return {**wire, "_meta": {**self._server_info, **wire.get("_meta", {})}}


def _plain_headers(scope: Scope) -> dict[str, str] | None:
    """A request's headers, where they are such as every client sends with a call that stands by itself."""
    if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST" or scope["query_string"]:
        return None
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    is_plain = (
        len(headers) == len(scope["headers"])
        and headers.get(MCP_PROTOCOL_VERSION_HEADER) in MODERN_PROTOCOL_VERSIONS
        and headers.get(MCP_METHOD_HEADER) == METHOD
        and MCP_NAME_HEADER in headers
        and headers.get("content-type", "").startswith("application/json")
        # Without it the body's length is not known to be within its limit.
        and "content-length" in headers
        and {part.partition(";")[0].strip() for part in headers.get("accept", "").split(",")} >= _BOTH_TYPES
        and not any(name.startswith(_PARAM_HEADER) for name in headers)
    )
    return headers if is_plain else None


def _plain_call(message: Message, headers: Mapping[str, str]) -> Call | None:
    """The call in a body that came whole, where nothing is wrong with it and nothing in it wants more than an
    answer."""
    if message["type"] != "http.request" or message.get("more_body"):
        return None
    try:
        decoded = json.loads(message["body"])
        request = types.JSONRPCRequest.model_validate(decoded)
        route = classify_inbound_request(decoded, headers=headers)
        if not isinstance(route, InboundModernRoute):
            return None
        methods.validate_client_request(METHOD, route.protocol_version, request.params)
        params = types.CallToolRequestParams.model_validate(request.params, by_name=False)
    except (ValueError, RecursionError):
        return None
    arguments = params.arguments or {}
    is_plain = (
        decoded.keys() == _MEMBERS
        and decoded["params"].keys() <= _PARAMS
        and "progressToken" not in decoded["params"]["_meta"]
        and not arguments.get("wait_seconds")
        and _is_plain_id(request.id)
    )
    return Call(request.id, arguments) if is_plain else None


def _is_plain_id(request_id: types.RequestId) -> bool:
    """Whether the id can be sent back without a thought: other text may hold half a surrogate pair."""
    return request_id.isascii() if isinstance(request_id, str) else abs(request_id) <= EXACT_INTEGERS


def _replayed(first: Message, receive: Receive) -> Receive:
    """What gives the message that was taken already, and then the others."""
    taken = [first]

    async def replay() -> Message:
        return taken.pop() if taken else await receive()

    return replay
