"""An agent in a shop: tools of every policy, and what they reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.support.engine import NOON
from workflow.executions import Execution
from workflow.ports import HttpRequest, HttpResponse
from workflow.states import ExecutionState

AGENT_NODE = "agent"
CUSTOMERS = "0198c0de-0000-7000-8000-00000000c057"


def shop_tools() -> list[dict[str, Any]]:
    """One allowed, one to ask about, one denied, and one that is a workflow."""
    order = {"order": {"type": "string", "maxLength": 200}}
    return [
        {
            "name": "order_status",
            "description": "Where an order is.",
            "policy": "allow",
            "input_schema": {"type": "object", "properties": order, "required": ["order"]},
            "node": "http_request",
            "parameters": {"url": "https://shop.example.com/orders/<<order>>", "credential": "shop"},
        },
        {
            "name": "refund",
            "description": "Give money back.",
            "input_schema": {
                "type": "object",
                "properties": {**order, "amount": {"type": "number", "maximum": 100}},
                "required": ["order", "amount"],
            },
            "node": "http_request",
            "parameters": {
                "method": "POST",
                "url": "https://shop.example.com/refunds",
                "json_body": {"order": "<<order>>", "amount": "<<amount>>"},
                "credential": "shop",
            },
        },
        {
            "name": "delete_customer",
            "description": "Forget a customer.",
            "policy": "deny",
            "input_schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "node": "http_request",
            "parameters": {"method": "DELETE", "url": "https://shop.example.com/customers/<<name>>"},
        },
        {
            "name": "find_customer",
            "description": "Look a customer up.",
            "policy": "allow",
            "input_schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "workflow_id": CUSTOMERS,
        },
    ]


def agent_document(**parameters: Any) -> dict[str, Any]:
    """A workflow with the agent of the shop."""
    given = {"prompt": "Answer the mail.", "input": "={{ $json.mail }}", "tools": shop_tools(), **parameters}
    return {
        "name": "shop",
        "nodes": {"start": {"type": "manual"}, AGENT_NODE: {"type": "ai_agent", "parameters": given}},
        "connections": [["start", AGENT_NODE]],
    }


@dataclass(slots=True, kw_only=True)
class KeptRequests:
    """Implements :class:`workflow.ports.HttpClient`: keeps requests and answers with statuses, the last for good."""

    sent: list[HttpRequest] = field(default_factory=list)
    statuses: list[int] = field(default_factory=lambda: [200])

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The next status."""
        self.sent.append(request)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return HttpResponse(
            status=status,
            headers={"content-type": "application/json"},
            body=orjson.dumps({"order": request.url.rpartition("/")[2], "state": "sent"}),
            url=request.url,
        )


@dataclass(slots=True, kw_only=True)
class Children:
    """Implements :class:`engine.node_api.ports.ChildStarter`: keeps what was started."""

    started: list[dict[str, Any]] = field(default_factory=list)
    state: ExecutionState = ExecutionState.SUCCEEDED

    async def ensure(
        self, parent: Execution, key: Any, workflow_id: str, data: Any, *, wait: bool, step: str = ""
    ) -> Execution:
        """A child in the state that the test has set."""
        self.started.append({"workflow_id": workflow_id, "data": data, "step": step})
        return Execution(
            id=f"child of {step}",
            owner=parent.owner,
            initiator=parent.initiator,
            workflow_id=workflow_id,
            workflow_name="customers",
            workflow_version=1,
            state=self.state,
            trigger="workflow",
            start_node="start",
            input=data,
            created_at=NOON,
            output={"items": {"found": [{"name": "Ada"}]}},
        )
