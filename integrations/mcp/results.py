"""Tools as actions, and what servers answer as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mcp_types as types
import orjson

from workflow.actions import Action, ActionError, ActionResult, ResourceContent
from workflow.items import JsonObject

MOST_DESCRIPTION = 4_000
"""Characters of a tool's description that are kept; longer ones serve nobody and cost every reader."""
MOST_REFUSAL = 2_000


def action_of(connection: str, tool: types.Tool) -> Action:
    """The tool as an action. Only what the server says of its effects counts, and it may say nothing."""
    hints = tool.annotations or types.ToolAnnotations()
    reads = hints.read_only_hint is True
    return Action(
        connection=connection,
        name=tool.name,
        title=tool.title or hints.title or tool.name,
        description=(tool.description or "")[:MOST_DESCRIPTION],
        input_schema=dict(tool.input_schema),
        output_schema=dict(tool.output_schema) if tool.output_schema is not None else None,
        effect="read" if reads else "write",
        is_idempotent=reads or hints.idempotent_hint is True,
        is_destructive=not reads and hints.destructive_hint is True,
    )


def result_of(action: Action, result: types.CallToolResult) -> ActionResult:
    """What the call came to: the structured content; else the text, as JSON where it is that; else every content.

    Raises:
        ActionError: the server says that it failed.
    """
    if result.is_error:
        said = "\n".join(each.text for each in result.content if isinstance(each, types.TextContent)).strip()
        raise ActionError(
            f"{action.connection}/{action.name} refused: {said[:MOST_REFUSAL] or 'it does not say why'}",
            code="action_refused",
            fix="Mend the arguments as it says; find_actions with the action's name shows their schema.",
        )
    if result.structured_content is not None:
        return ActionResult(data=result.structured_content)
    if len(result.content) == 1 and isinstance(result.content[0], types.TextContent):
        return ActionResult(data=_read(result.content[0].text))
    return ActionResult(data=[_block(each) for each in result.content])


def resource_of(contents: Sequence[types.TextResourceContents | types.BlobResourceContents]) -> list[ResourceContent]:
    """What a resource holds; text of a JSON media type is parsed."""
    return [
        ResourceContent(uri=str(each.uri), media_type=each.mime_type, data=each.blob, is_base64=True)
        if isinstance(each, types.BlobResourceContents)
        else ResourceContent(
            uri=str(each.uri),
            media_type=each.mime_type,
            data=_read(each.text) if "json" in (each.mime_type or "") else each.text,
        )
        for each in contents
    ]


def _read(text: str) -> Any:
    """An object or list that the text is; else the text."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _block(content: types.ContentBlock) -> JsonObject:
    if isinstance(content, types.TextContent):
        return {"type": "text", "text": content.text}
    return content.model_dump(mode="json", by_alias=True, exclude_none=True)
