"""Connections and actions as REST and agents see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from integrations.connections import Connected
from tools.protocol.budget import fitting, tokens
from tools.protocol.tool import error_content
from workflow.action_notes import ResultShape
from workflow.actions import Action
from workflow.connections import Connection
from workflow.messages import utc_text

SUMMARY_CHARACTERS = 160
MOST_SCHEMAS = 10
"""Actions whose schemas are all shown when a connection is made or checked, where they fit."""
SCHEMAS_TOKENS = 1_400
"""For the actions in the answer about a connection: what is left of a tool's budget beside the connection."""


def connection_content(connection: Connection) -> dict[str, Any]:
    """All that is ever shown of a connection."""
    content: dict[str, Any] = {
        "name": connection.name,
        "kind": connection.kind,
        "status": connection.status,
        "settings": connection.settings,
        "credential": connection.credential,
        "scopes": list(connection.scopes),
        "created_by": connection.created_by,
        "created_at": utc_text(connection.created_at),
        "updated_at": utc_text(connection.updated_at),
    }
    if connection.last_used_at is not None:
        content["last_used_at"] = utc_text(connection.last_used_at)
    if connection.health.failures:
        content["problem"] = {
            "code": connection.health.code,
            "message": connection.health.message,
            "failures": connection.health.failures,
        }
    return content


def connected_content(made: Connected) -> dict[str, Any]:
    """A connection as it came out of being made or tried."""
    content = {**connection_content(made.connection), "actions": [], "total": len(made.actions)}
    if made.actions:
        content |= _actions_content(made.actions)
    if made.authorization_url is not None:
        content["authorization_url"] = made.authorization_url
    if made.problem is not None:
        content["problem"] = error_content(made.problem)
    return content


def _actions_content(actions: Sequence[Action]) -> dict[str, Any]:
    """All of the actions where they are few, else what fits of their names, and how to see the rest."""
    whole = [_without_connection(action_content(each)) for each in actions[: MOST_SCHEMAS + 1]]
    if len(actions) <= MOST_SCHEMAS and tokens(whole) <= SCHEMAS_TOKENS:
        return {"actions": whole}
    named = [{"action": each.name, **_effect(each)} for each in actions[:500]]
    named = named[: fitting(named, SCHEMAS_TOKENS)]
    left_out = len(actions) - len(named)
    name = actions[0].connection
    how = f"find_actions (connection: {name}) searches them, with action it shows a schema"
    rest = f"{left_out} more are not shown; {how}" if left_out else how
    return {"actions": named, "more": f"{rest}; over REST, GET /api/integrations/{name}/actions."}


def _without_connection(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != "connection"}


def _effect(action: Action) -> dict[str, str]:
    """The action's effect and, where the other side does not say it, who does."""
    note = action.effect_note
    return {"effect": action.effect, **({"effect_note": note} if note is not None else {})}


def action_summary(action: Action) -> dict[str, Any]:
    """An action in a list."""
    text = action.description.strip().partition("\n")[0] or action.title
    return {
        "connection": action.connection,
        "action": action.name,
        **_effect(action),
        "summary": text if len(text) <= SUMMARY_CHARACTERS else f"{text[: SUMMARY_CHARACTERS - 1]}…",
    }


def action_content(action: Action, seen: ResultShape | None = None) -> dict[str, Any]:
    """All of an action, with the shape of a recent result where one was ``seen``."""
    content = {
        "connection": action.connection,
        "action": action.name,
        "title": action.title,
        "description": action.description,
        **_effect(action),
        "is_repeatable": action.is_repeatable,
        "is_destructive": action.is_destructive,
        "digest": action.digest,
        "input_schema": action.input_schema,
    }
    if action.output_schema is not None:
        content["output_schema"] = action.output_schema
    if action.group is not None:
        content["group"] = action.group
    if action.effect_source == "assumed":
        path = f"/api/integrations/{action.connection}/actions/{action.name}/effect"
        content["declare"] = f'If it only reads, a person can declare it: PUT {path} with {{"effect": "read"}}.'
    if seen is not None:
        content["last_result"] = {"shape": seen.shape, "seen_at": utc_text(seen.seen_at)}
    return content
