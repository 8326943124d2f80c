"""Calls of quick tools that need not go through the SDK, which costs more than such a tool does.

The SDK's own functions decide whether a call is valid. A call that is not plain goes to the SDK unchanged, so that the
SDK alone answers what is odd or wrong; so does a call whose tool fails unexpectedly, since it only reads and can be
called again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mcp_types as types
import orjson
from starlette.types import Message, Receive, Scope, Send

from server.mcp.offers import Offers
from tools.protocol.caller import Elicitation
from tools.protocol.tool import Pending
from workflow.identity import Actor
from workflow.items import JsonObject

logger = logging.getLogger(__name__)

PATH = "/mcp"
METHOD = "tools/call"
EXACT_INTEGERS = 1 << 53
"""Up to here every JSON implementation keeps an integer exact (RFC 8259, 6)."""

_BOTH_TYPES = frozenset({"application/json", "text/event-stream"})
_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})
_PARAMS = frozenset({"name", "arguments", "_meta"})


class QuickCall(NamedTuple):
    """A plain call."""

    request_id: types.RequestId
    tool: str
    arguments: dict[str, Any]


@dataclass(slots=True, frozen=True)
class QuickCaller:
    """A :class:`tools.protocol.caller.Caller` that can receive nothing but the answer: no progress, no questions."""

    actor: Actor
    takes_tasks: bool = False
    goes_on_with: str | None = None

    async def report_progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Drop the progress: a call with a progress token is not plain."""

    async def ask(
        self, questions: Sequence[Elicitation], *, about: str | None = None
    ) -> Mapping[str, JsonObject | None]:
        """Answer every question with ``None``: nobody is asked."""
        return {question.key: None for question in questions}


async def answer(offers: Offers, call: QuickCall, actor: Actor) -> JsonObject | None:
    """The result's JSON, or ``None`` where the SDK has to answer: the tool is not quick, the actor may not call it, or
    it has failed."""
    tool = offers.quick_tool(call.tool)
    if tool is None or not tool.scopes <= actor.scopes:
        return None
    try:
        result = await tool.call(call.arguments, QuickCaller(actor))
    except Exception:
        logger.info("%s is called again, so that the SDK reports its failure", tool.name)
        return None
    return None if isinstance(result, Pending) else _wire(result)


def _wire(result: types.CallToolResult) -> JsonObject:
    """The result's JSON around its structured content, which is JSON already."""
    wire = result.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"structured_content"})
    if result.structured_content is not None:
        wire["structuredContent"] = result.structured_content
    return wire


async def send_result(send: Send, call: QuickCall, result: JsonObject, *headers: tuple[bytes, bytes]) -> None:
    """Answer with the result."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": call.request_id, "result": result})
    length = str(len(body)).encode()
    every = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": every})
    await send({"type": "http.response.body", "body": body})


def plain_headers(scope: Scope) -> dict[str, str] | None:
    """The headers of a POST to the MCP endpoint, or ``None`` where they are unusual."""
    if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST" or scope["query_string"]:
        return None
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    is_plain = (
        len(headers) == len(scope["headers"])
        and headers.get("content-type", "").startswith("application/json")
        # Without it the body's length is not known to be within its limit.
        and "content-length" in headers
        and {part.partition(";")[0].strip() for part in headers.get("accept", "").split(",")} >= _BOTH_TYPES
    )
    return headers if is_plain else None


def whole_body(message: Message) -> bytes | None:
    """The body of a request where it came in one message."""
    if message["type"] != "http.request" or message.get("more_body"):
        return None
    body: bytes = message["body"]
    return body


def plain_call(request: types.JSONRPCRequest, decoded: Mapping[str, Any]) -> QuickCall | None:
    """The call in a valid request, or ``None`` where it wants more than an answer.

    Raises:
        ValidationError: it is not a valid call of a tool.
    """
    params = types.CallToolRequestParams.model_validate(request.params, by_name=False)
    arguments = params.arguments or {}
    is_plain = (
        decoded.keys() == _MEMBERS
        and decoded["params"].keys() <= _PARAMS
        and "progressToken" not in (decoded["params"].get("_meta") or {})
        and not arguments.get("wait_seconds")
        and _is_plain_id(request.id)
    )
    return QuickCall(request.id, params.name, arguments) if is_plain else None


def _is_plain_id(request_id: types.RequestId) -> bool:
    """Whether the id can be sent back unchecked: other text may hold half a surrogate pair."""
    return request_id.isascii() if isinstance(request_id, str) else abs(request_id) <= EXACT_INTEGERS


def replayed(first: Message, receive: Receive) -> Receive:
    """A ``receive`` that returns the message that was read already, and then the others."""
    taken = [first]

    async def replay() -> Message:
        return taken.pop() if taken else await receive()

    return replay
