"""Connections and actions as REST and agents see them."""

from __future__ import annotations

from typing import Any

from integrations.connections import Connected
from tools.protocol.tool import error_content
from workflow.actions import Action
from workflow.connections import Connection
from workflow.messages import utc_text

SUMMARY_CHARACTERS = 160


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
    content = {**connection_content(made.connection), "actions": made.actions}
    if made.authorization_url is not None:
        content["authorization_url"] = made.authorization_url
    if made.problem is not None:
        content["problem"] = error_content(made.problem)
    return content


def action_summary(action: Action) -> dict[str, Any]:
    """An action in a list."""
    text = action.description.strip().partition("\n")[0] or action.title
    return {
        "connection": action.connection,
        "action": action.name,
        "effect": action.effect,
        "summary": text if len(text) <= SUMMARY_CHARACTERS else f"{text[: SUMMARY_CHARACTERS - 1]}…",
    }


def action_content(action: Action) -> dict[str, Any]:
    """All of an action."""
    content = {
        "connection": action.connection,
        "action": action.name,
        "title": action.title,
        "description": action.description,
        "effect": action.effect,
        "is_repeatable": action.is_repeatable,
        "is_destructive": action.is_destructive,
        "digest": action.digest,
        "input_schema": action.input_schema,
    }
    if action.output_schema is not None:
        content["output_schema"] = action.output_schema
    if action.group is not None:
        content["group"] = action.group
    return content
