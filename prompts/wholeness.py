"""What can be sent and kept: text without half surrogate pairs, values that are not nested too deeply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from workflow.chat import Attachment, ChatRequest, Message, ToolCall, ToolSpec

MOST_LEVELS = 100
"""Lists and objects in each other. The journal, the history and REST put a few more around them; orjson writes 254."""


def is_too_deep(value: Any, most: int = MOST_LEVELS) -> bool:
    """Whether a JSON value has more than ``most`` levels of lists and objects."""
    level = [value]
    for _ in range(most + 1):
        level = [inner for each in level for inner in _members(each) if isinstance(inner, Mapping | list | tuple)]
        if not level:
            return False
    return True


def whole_text(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair: UTF-8 cannot spell half a character."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class HalfHeld:
    """Joins the pieces of a text: the first half of a surrogate pair at the end of one waits for the next piece."""

    def __init__(self) -> None:
        self._half = ""

    def joined(self, piece: str) -> str:
        """The piece as a whole text, without what waits; a half that no other half follows becomes U+FFFD."""
        if not piece:
            return piece
        text, self._half = self._half + piece, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole_text(text)


def whole_value(value: Any) -> Any:
    """A JSON value with whole texts; the same object where nothing is wrong with it.

    Raises:
        RecursionError: it is nested so deeply that it cannot be written as JSON.
    """
    try:
        orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        if is_too_deep(value):
            raise RecursionError from None
        return _mended(value)
    return value


def whole_request(request: ChatRequest) -> ChatRequest:
    """The request with whole texts, so that a model gets all else that was to be sent; the same one as a rule.

    Raises:
        RecursionError: a schema or the arguments of a call are nested too deeply to be sent.
    """
    messages = [whole_message(each) for each in request.messages]
    tools = [_whole_tool(each) for each in request.tools]
    schema = None if request.schema is None else whole_value(request.schema)
    is_whole = messages == list(request.messages) and tools == list(request.tools) and schema == request.schema
    return request if is_whole else replace(request, messages=messages, tools=tools, schema=schema)


def _members(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, Mapping):
        return {whole_text(str(name)): _mended(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(member) for member in value]
    return value


def whole_message(message: Message) -> Message:
    """The message with whole texts."""
    content = whole_text(message.content)
    calls = tuple(map(_whole_call, message.tool_calls))
    attachments = tuple(
        Attachment(url=whole_text(each.url), media_type=whole_text(each.media_type)) for each in message.attachments
    )
    call_id = None if message.tool_call_id is None else whole_text(message.tool_call_id)
    return replace(message, content=content, tool_calls=calls, tool_call_id=call_id, attachments=attachments)


def _whole_call(call: ToolCall) -> ToolCall:
    return ToolCall(
        id=whole_text(call.id),
        name=whole_text(call.name),
        arguments=None if call.arguments is None else whole_value(call.arguments),
        raw_arguments=whole_text(call.raw_arguments),
    )


def _whole_tool(tool: ToolSpec) -> ToolSpec:
    return ToolSpec(
        name=whole_text(tool.name),
        description=whole_text(tool.description),
        parameters=whole_value(tool.parameters),
    )
