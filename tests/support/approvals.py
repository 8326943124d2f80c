"""A workflow that asks, and the two halves of a call that a client answers in between."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.client.client import Client

from tests.support.mcp_caller import McpCaller


async def refuse(params: Any) -> types.ElicitResult:
    """The user would rather not."""
    return types.ElicitResult(action="decline")


async def waiting_for_approval(mcp: McpCaller, **parameters: Any) -> str:
    """The id of a workflow that asks one question per item."""
    ask = {"type": "approval", "parameters": {"question": "=Refund {{ $json.amount }}?", **parameters}}
    return await mcp.create({"start": {"type": "manual"}, "ask": ask}, ("start", "ask"))


async def first_half(client: Client, workflow_id: str) -> types.InputRequiredResult:
    """A call that ends in a question."""
    arguments = {"workflow_id": workflow_id, "input": {"amount": 5}}
    asked = await client.session.call_tool("execute_workflow", arguments, allow_input_required=True)
    assert isinstance(asked, types.InputRequiredResult)
    return asked


async def second_half(
    client: Client, workflow_id: str, asked: types.InputRequiredResult, *, amount: int = 5, state: str | None = None
) -> types.CallToolResult:
    """The same call with the answer."""
    assert asked.input_requests is not None
    answer = types.ElicitResult(action="accept", content={"choice": "approve"})
    result = await client.session.call_tool(
        "execute_workflow",
        {"workflow_id": workflow_id, "input": {"amount": amount}},
        input_responses=dict.fromkeys(asked.input_requests, answer),
        request_state=state or asked.request_state,
    )
    assert isinstance(result, types.CallToolResult)
    return result
