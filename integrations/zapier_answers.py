"""What Zapier's tools answer: JSON in a text, which says in one of two ways that something failed."""

from __future__ import annotations

from typing import Any

import mcp_types as types
import orjson

from integrations.mcp.results import MOST_REFUSAL, refusal
from workflow.actions import Action, ActionError, ActionResult

TASKS_PER_SUCCESS = 2
"""What Zapier charges for a call that succeeds; failures are free."""
_QUOTA = ("quota", "task limit", "out of tasks", "tasks left", "task left", "tasks remaining", "usage limit")


def result(action: Action, answer: types.CallToolResult) -> ActionResult:
    """What Zapier says came of it.

    Raises:
        ActionError: it says that it failed, or nobody can tell what it says.
    """
    said = content(action, answer)
    execution = said.get("execution", {}) if isinstance(said, dict) else None
    if not isinstance(execution, dict) or not isinstance(said.get("results"), list):
        raise unreadable(action, "it has no results")
    status = str(execution.get("status", "SUCCESS")).upper()
    if status != "SUCCESS":
        raise refused(action, str(said.get("error") or f"its status is {status}"))
    is_preview = said.get("isPreview") is True
    details = {
        "execution_id": execution.get("id"),
        "feedback_url": said.get("feedbackUrl"),
        "resolved_params": execution.get("resolvedParams"),
    }
    return ActionResult(
        data=said["results"],
        is_preview=is_preview,
        quota=0 if is_preview else TASKS_PER_SUCCESS,
        details={name: value for name, value in details.items() if value is not None},
    )


def content(action: Action, answer: types.CallToolResult) -> Any:
    """The object or the array that the answer's text is.

    Raises:
        ActionError: it says that it failed, or is neither.
    """
    text = next((each.text for each in answer.content if isinstance(each, types.TextContent)), "")
    said: Any = answer.structured_content
    if said is None:
        try:
            said = orjson.loads(text)
        except orjson.JSONDecodeError:
            said = None
    # Some failures are only in the text, as users have seen.
    if answer.is_error or (isinstance(said, dict) and said.get("isError") is True):
        why = said.get("error") if isinstance(said, dict) else None
        raise refused(action, str(why or refusal(answer) or "it does not say why"))
    if not isinstance(said, dict | list):
        raise unreadable(action, f"it begins with {text[:60]!r}" if text else "it is empty")
    return said


def refused(action: Action, why: str) -> ActionError:
    """What to raise where it says no."""
    if any(words in why.lower() for words in _QUOTA):
        return ActionError(
            f"Zapier's quota for {action.connection} is spent: {why[:MOST_REFUSAL]}",
            code="quota_spent",
            is_unavailable=True,
            fix="Wait for the next period of the plan, or raise it at Zapier; each success costs two tasks.",
        )
    return ActionError(
        f"{action.connection}/{action.name} refused: {why[:MOST_REFUSAL]}",
        code="action_refused",
        fix="Mend the params as it says; find_actions with the action's name shows their schema.",
    )


def unreadable(action: Action, why: str) -> ActionError:
    """What to raise where nobody can tell what it says."""
    return ActionError(
        f"{action.connection}/{action.name} gave an answer that cannot be read: {why}.",
        code="action_result",
        may_have_happened=not action.is_repeatable,
        fix="It has most likely happened; see in the app before it is done again.",
    )
