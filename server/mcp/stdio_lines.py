"""Lines of standard input that are no messages: each is answered, so that no client waits for an answer in vain."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from contextvars import Context
from types import TracebackType
from typing import Any, Self

import anyio
import mcp_types as types
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

logger = logging.getLogger(__name__)

SHOWN_CHARACTERS = 200
"""Of the reason why a line cannot be read."""
_DECODER = json.JSONDecoder()
_NO_MESSAGE = "This is JSON, but no JSON-RPC request, notification or response."


class AnsweredLines:
    """The messages that came in; what is none is answered with an error, with the request's id where it can be read.

    It stands in the place of ``incoming``, which gives an exception for each line that the SDK cannot read.
    """

    def __init__(self, incoming: ReadStream[SessionMessage | Exception], outgoing: WriteStream[SessionMessage]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    @property
    def last_context(self) -> Context | None:
        """Where the latest message was sent from."""
        found: Context | None = getattr(self._incoming, "last_context", None)
        return found

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: no more will come.
        """
        while True:
            item = await self._incoming.receive()
            if isinstance(item, SessionMessage):
                return item
            error = answer_to(item)
            if error is not None:
                logger.warning("A line of standard input is no message: %s", error.error.message)
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # nobody reads any more
                    await self._outgoing.send(SessionMessage(error))

    async def aclose(self) -> None:
        """Close the stream of the messages."""
        await self._incoming.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        await self.aclose()
        return None


def answer_to(problem: Exception) -> types.JSONRPCError | None:
    """The answer to a line that could not be read; ``None`` for an empty line, and where none may be given."""
    if not isinstance(problem, ValidationError):
        return _error(None, types.PARSE_ERROR, "The line cannot be read.")
    details = problem.errors(include_url=False)
    first = details[0]
    if first["type"] == "json_invalid":
        line = str(first["input"])
        return _unreadable(line, first["msg"]) if line.strip() else None
    whole = next((each["input"] for each in details if len(each["loc"]) <= 2 and isinstance(each["input"], dict)), None)
    if whole is None:
        return _error(None, types.INVALID_REQUEST, f"{_NO_MESSAGE} Send each message by itself, as an object.")
    is_request = "method" in whole
    return _error(whole.get("id") if is_request else None, types.INVALID_REQUEST, _NO_MESSAGE)


def _unreadable(line: str, reason: str) -> types.JSONRPCError | None:
    members = _members(line)
    if "hex escape" in reason or "surrogate" in reason:
        reason = "it has half of a surrogate pair, as cutting a text within an emoji leaves; send whole characters"
        if "method" in members and "id" not in members:
            return None  # a notification, which nobody may answer
    call_id = members.get("id") if "method" in members or not members.keys() & {"result", "error"} else None
    return _error(call_id, types.PARSE_ERROR, f"The line cannot be read: {reason[:SHOWN_CHARACTERS]}.")


def _members(line: str) -> dict[str, Any]:
    """The members of the object in a line, up to the place that cannot be read; that one is ``None``."""
    found: dict[str, Any] = {}
    at = line.find("{") + 1
    while at:
        at = _behind_blanks(line, at)
        try:
            name, at = _DECODER.raw_decode(line, at)
            at = _behind_blanks(line, at)
            if line[at : at + 1] != ":" or not isinstance(name, str):
                break
            found[name] = None
            found[name], at = _DECODER.raw_decode(line, _behind_blanks(line, at + 1))
        except (ValueError, RecursionError):
            break
        at = _behind_blanks(line, at)
        if line[at : at + 1] != ",":
            break
        at += 1
    return found


def _behind_blanks(line: str, at: int) -> int:
    while line[at : at + 1].isspace():
        at += 1
    return at


def _error(call_id: Any, code: int, message: str) -> types.JSONRPCError:
    is_id = isinstance(call_id, int | str) and not isinstance(call_id, bool)
    if isinstance(call_id, str):
        call_id = call_id.encode("utf-8", "replace").decode()
    return types.JSONRPCError(
        jsonrpc="2.0", id=call_id if is_id else None, error=types.ErrorData(code=code, message=message)
    )
