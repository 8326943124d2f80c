"""The workflow's own answer to a webhook's caller."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.node_type import BatchNode, NodeCall, Parameters, WebhookResponse, paired
from workflow.catalogue import MAIN
from workflow.items import Outputs


class RespondParameters(Parameters):
    """Status, headers and body."""

    status: int = Field(default=200, ge=200, le=599)
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = Field(default=None, description="JSON, or text; without it the first item.")
    all_items: bool = Field(default=False, description="Without a body: answer a list of all items.")


class Respond(BatchNode[RespondParameters]):
    """Answers the request that started the execution; the workflow then goes on.

    Only the first respond node that runs answers. Started by hand, its answer is the execution's output.
    """

    name = "respond"
    title = "Respond"
    group = "flow"
    keywords = ("webhook", "answer", "reply", "return", "response")
    example = {"status": 201, "body": {"id": "={{ $json.id }}"}}
    parameter_model = RespondParameters

    def run(self, call: NodeCall[RespondParameters]) -> Outputs:
        parameters = call.common
        body = parameters.body
        if "body" not in parameters.model_fields_set:
            jsons = [item.json for item in call.items]
            body = jsons if parameters.all_items else jsons[0]
        call.respond(WebhookResponse(status=parameters.status, headers=parameters.headers, body=body))
        return {MAIN: paired([item.json for item in call.items], range(len(call.items)))}
