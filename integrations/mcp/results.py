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
    # destructiveHint means something for tools that change things only (MCP, ToolAnnotations).
    is_said = hints.read_only_hint is not None or hints.destructive_hint is True
    return Action(
        connection=connection,
        name=tool.name,
        title=tool.title or hints.title or tool.name,
        description=(tool.description or "")[:MOST_DESCRIPTION],
        input_schema=dict(tool.input_schema),
        output_schema=dict(tool.output_schema) if tool.output_schema is not None else None,
        effect="read" if reads else "write",
        effect_source="said" if is_said else "assumed",
        is_idempotent=reads or hints.idempotent_hint is True,
        is_destructive=not reads and hints.destructive_hint is True,
    )


def result_of(action: Action, result: types.CallToolResult) -> ActionResult:
    """What the call came to: the structured content; else the text, as JSON where it is that; else every content.

    What stands beside the structured content and says more is ``content`` of the result's details.

    Raises:
        ActionError: the server says that it failed.
    """
    if result.is_error:
        raise ActionError(
            f"{action.connection}/{action.name} refused: {refusal(result)[:MOST_REFUSAL] or 'it does not say why'}",
            code="action_refused",
            fix="Mend the arguments as it says; find_actions with the action's name shows their schema.",
        )
    if result.structured_content is not None:
        beside = [_block(each) for each in result.content if _says_more(each, result.structured_content)]
        return ActionResult(data=result.structured_content, details={"content": beside} if beside else {})
    if len(result.content) == 1 and isinstance(result.content[0], types.TextContent):
        return ActionResult(data=_read(result.content[0].text))
    return ActionResult(data=[_block(each) for each in result.content])


def refusal(result: types.CallToolResult) -> str:
    """Why the server refuses: its texts, those of resources that it embeds, and what is structured beside them."""
    said: list[str] = []
    for each in result.content:
        if isinstance(each, types.TextContent):
            said.append(each.text)
        elif isinstance(each, types.EmbeddedResource) and isinstance(each.resource, types.TextResourceContents):
            said.append(each.resource.text)
        elif isinstance(each, types.ResourceLink):
            said.append(" ".join(part for part in (each.title, each.description, str(each.uri)) if part))
    structured: Any = result.structured_content
    if structured:
        is_said = any(not _says_more(each, structured) for each in result.content)
        if not is_said:
            said.append(structured if isinstance(structured, str) else orjson.dumps(structured).decode())
    return "\n".join(each.strip() for each in said if each.strip())


def _says_more(content: types.ContentBlock, structured: Any) -> bool:
    """Whether a content has something that the structured content does not: servers repeat that as text, whole or in
    the part that they wrap."""
    if not isinstance(content, types.TextContent):
        return True
    text = content.text.strip()
    if not text:
        return False
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    parts = [structured]
    if isinstance(structured, dict):
        parts += structured.values()
    for each in list(parts):
        parts += each if isinstance(each, list) else []
    return not any(each in (value, text) or (isinstance(each, str) and each.strip() == text) for each in parts)


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
