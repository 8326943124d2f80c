"""Runs a Zapier action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from engine.nodes.actions.action_node import CONNECTION, ActionNode, ActionParameters

USUAL_CONNECTION = "zapier"


class ZapierActionParameters(ActionParameters):
    """The action and its params."""

    connection: str = Field(default=USUAL_CONNECTION, pattern=CONNECTION, description="Of kind zapier.")
    action: str = Field(min_length=1, max_length=200, description="As find_actions gives it.")
    params: dict[str, Any] = Field(default_factory=dict, description="They must fit the action's schema.")
    instructions: str | None = Field(
        default=None,
        max_length=4_000,
        description="In words: Zapier fills in the params that are missing.",
    )


class ZapierAction(ActionNode[ZapierActionParameters]):
    """Runs an action of an app that is connected to Zapier, once per item; gives {result, via}.

    Zapier charges two tasks for each that succeeds. One without an answer in time may still have happened: on_doubt
    says what to do then. fallback names alternatives for when Zapier is down, its quota spent, or the token refused.
    """

    name = "zapier_action"
    title = "Zapier action"
    keywords = ("zapier", "gmail", "slack", "sheets", "app", "integration", "connection")
    example = {
        "action": "gmail_send_email",
        "params": {"to": "={{ $json.email }}", "subject": "Thank you", "body": "We have your order."},
        "fallback": [{"manual": {"task": "Send this mail by hand."}}],
    }
    parameter_model = ZapierActionParameters
    arguments_name = "params"

    def named(self, parameters: Mapping[str, Any]) -> tuple[Any, Any]:
        return parameters.get("connection", USUAL_CONNECTION), parameters.get("action")
