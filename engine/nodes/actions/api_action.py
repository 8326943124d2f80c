"""Runs an action of a connected API."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.nodes.actions.action_node import CONNECTION, ActionNode, ActionParameters


class ApiActionParameters(ActionParameters):
    """The action and its arguments."""

    connection: str = Field(pattern=CONNECTION, description="Name of a connection of kind openapi or connector.")
    action: str = Field(min_length=1, max_length=200, description="As find_actions gives it.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="They must fit the action's schema.")


class ApiAction(ActionNode[ApiActionParameters]):
    """Runs an action of a connected API (an OpenAPI document, or a connector), once per item; gives {result, via}.

    The arguments are checked against the action's schema when the workflow is checked and before each call. fallback
    names alternatives for when the connection is down.
    """

    name = "api_action"
    title = "API action"
    keywords = ("openapi", "rest", "connector", "github", "slack", "mail", "smtp", "sheets", "connection")
    example = {
        "connection": "github",
        "action": "create_issue",
        "arguments": {"owner": "acme", "repo": "shop", "title": "={{ $json.subject }}"},
    }
    parameter_model = ApiActionParameters
