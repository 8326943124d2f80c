"""What Zapier's tools answer: JSON inside one block of text, whether it went well or not."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types

from tests.doubles.zapier.catalogue import ZapierAction

FEEDBACK = "https://mcp.zapier.com/feedback/1"
HUGE_BYTES = 6_000_000
MALFORMED = ("not json", "other json", "empty", "huge")


def as_json(content: Any) -> types.CallToolResult:
    """The content as text."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=json.dumps(content))])


def failure(why: str) -> types.CallToolResult:
    """What says by the protocol that it failed."""
    return as_json({"error": why, "feedbackUrl": FEEDBACK}).model_copy(update={"is_error": True})


def failure_in_text(why: str) -> types.CallToolResult:
    """What says so in its text only; users have seen that as well."""
    return as_json({"isError": True, "error": f"Error during execution: {why}", "feedbackUrl": FEEDBACK})


def success(
    action: ZapierAction, params: dict[str, Any], instructions: str, *, number: int, is_preview: bool
) -> types.CallToolResult:
    """What came of an action."""
    resolved = {
        name: {"name": name, "label": name.title(), "value": value, "reason": "given", "status": "locked"}
        for name, value in params.items()
    }
    execution = {
        "id": f"exec-{number}",
        "actionId": action.key,
        "mcpServerId": "server-1",
        "instructions": instructions,
        "params": params,
        "resolvedParams": resolved,
        "status": "SUCCESS",
        "createdDT": "2026-01-06T12:00:00Z",
    }
    results = [{"id": number, "app": action.app}]
    return as_json({"results": results, "feedbackUrl": FEEDBACK, "isPreview": is_preview, "execution": execution})


def malformed(trap: str) -> types.CallToolResult:
    """An answer that is not what it should be, by the name of its trap."""
    if trap == "empty":
        return types.CallToolResult(content=[])
    if trap == "other json":
        return as_json({"message": "ok"})
    if trap == "huge":
        return as_json({"results": [{"text": "x" * HUGE_BYTES}], "execution": {"status": "SUCCESS"}})
    return types.CallToolResult(content=[types.TextContent(type="text", text="Done! The email was sent.")])
