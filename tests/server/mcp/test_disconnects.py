"""Callers that leave while a run goes on: it ends as if they had stayed, or with them where they asked for that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.http_target import HttpTarget
from tests.support.mcp_caller import McpCaller

START = {"type": "manual"}


async def leave_during(mcp: McpCaller, target: HttpTarget, **arguments: Any) -> dict[str, Any]:
    """The execution of a call that its caller left while a node was at work.

    A modern client over HTTP closes the stream, all others send ``notifications/cancelled``.
    """
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    workflow_id = await mcp.create({"start": START, "ask": ask}, ("start", "ask"))
    call = asyncio.create_task(mcp.call("execute_workflow", workflow_id=workflow_id, **arguments))
    async with asyncio.timeout(20):
        await target.arrived.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    (listed,) = (await mcp.call("list_executions", workflow_id=workflow_id))["executions"]
    return dict(listed)


@pytest.mark.parametrize("mcp", ["http-modern", "http-legacy"], indirect=True)
async def test_a_run_goes_on_without_its_caller(mcp: McpCaller, target: HttpTarget) -> None:
    left = await leave_during(mcp, target)
    assert left["status"] == "running"
    target.release.set()
    ended = await mcp.call("inspect_execution", execution_id=left["execution_id"], wait_seconds=20)
    assert ended["status"] == "succeeded"


@pytest.mark.parametrize("mcp", ["http-modern", "http-legacy", "stdio-modern"], indirect=True)
async def test_a_run_is_cancelled_with_its_request_where_the_caller_said_so(mcp: McpCaller, target: HttpTarget) -> None:
    left = await leave_during(mcp, target, cancel_with_request=True)
    ended = await mcp.call("inspect_execution", execution_id=left["execution_id"], wait_seconds=20)
    assert ended["status"] == "cancelled"
