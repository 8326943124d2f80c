"""Messages as JSON, for those who keep or show them."""

from __future__ import annotations

from typing import Any

from workflow.chat import Attachment, Message, ToolCall
from workflow.items import JsonObject


def message_to_json(message: Message) -> JsonObject:
    """The message without what it has not; :func:`message_from_json` makes the same one of it."""
    form: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_calls:
        form["tool_calls"] = [_call(each) for each in message.tool_calls]
    if message.tool_call_id is not None:
        form["tool_call_id"] = message.tool_call_id
    if message.attachments:
        form["attachments"] = [{"url": each.url, "media_type": each.media_type} for each in message.attachments]
    if message.is_from_outside:
        form["is_from_outside"] = True
    return form


def message_from_json(form: JsonObject) -> Message:
    """The message that a form of :func:`message_to_json` is of."""
    return Message(
        role=form["role"],
        content=form["content"],
        tool_calls=tuple(
            ToolCall(id=each["id"], name=each["name"], arguments=each["arguments"], raw_arguments=each["raw_arguments"])
            for each in form.get("tool_calls", ())
        ),
        tool_call_id=form.get("tool_call_id"),
        attachments=tuple(
            Attachment(url=each["url"], media_type=each["media_type"]) for each in form.get("attachments", ())
        ),
        is_from_outside=form.get("is_from_outside", False),
    )


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments, "raw_arguments": call.raw_arguments}
