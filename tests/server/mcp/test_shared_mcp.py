"""MCP at any of several servers: what began at one goes on at another, and each hears of what the others did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged

from tests.server.conftest import connected
from tests.support.approvals import first_half, refuse, second_half, waiting_for_approval
from tests.support.brokers import topology_of_ones_own
from tests.support.haystack import postgresql_of_ones_own
from tests.support.server_process import ServerProcess
from tests.support.services import RABBITMQ_URL, REDIS_URL, need
from tests.support.task_client import TaskClient, TasksExtension, accept

QUIET = {"JOBSPRINT_LOG_LEVEL": "error", "JOBSPRINT_EXPRESSION_WORKERS": "1"}
ADD = {"start": {"type": "manual"}, "add": {"type": "set", "parameters": {"fields": {"two": "={{ 1 + 1 }}"}}}}


class Servers(NamedTuple):
    """Two of one installation; the first has a worker beside it."""

    one: ServerProcess
    two: ServerProcess
    folder: Path

    def connected(self, server: ServerProcess, era: str = "modern", **options: Any) -> Any:
        """A client of one of them."""
        return connected("http", era, server, self.folder, **options)


@pytest.fixture(scope="module")
async def servers(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """An installation that these tests share."""
    need("Redis")
    folder = tmp_path_factory.mktemp("shared")
    async with AsyncExitStack() as stack:
        topology = await stack.enter_async_context(topology_of_ones_own())
        settings = {
            **QUIET,
            "JOBSPRINT_DATABASE_URL": await stack.enter_async_context(postgresql_of_ones_own()),
            "JOBSPRINT_BROKER_URL": RABBITMQ_URL,
            "JOBSPRINT_REDIS_URL": REDIS_URL,
            "JOBSPRINT_NAMESPACE": topology.prefix,
            "JOBSPRINT_SECRET_KEY": "k" * 48,
            "JOBSPRINT_VAULT_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        }
        one = stack.enter_context(ServerProcess(folder / "one", settings, ["--workers", "1"]))
        two = stack.enter_context(ServerProcess(folder / "two", settings))
        yield Servers(one, two, folder)


async def test_a_question_that_one_server_asked_is_answered_at_another(servers: Servers) -> None:
    async with servers.connected(servers.one, elicitation_callback=refuse) as mcp:
        workflow_id = await waiting_for_approval(mcp)
        asked = await first_half(mcp.client, workflow_id)
    async with servers.connected(servers.two, elicitation_callback=refuse) as mcp:
        result = await second_half(mcp.client, workflow_id, asked)
        assert result.structured_content is not None
        assert result.structured_content["status"] == "succeeded"
        listed = await mcp.call("list_executions", workflow_id=workflow_id)
        assert len(listed["executions"]) == 1


async def test_a_task_is_watched_answered_and_cancelled_at_any_server(servers: Servers) -> None:
    def declaring() -> dict[str, Any]:
        return {"elicitation_callback": refuse, "extensions": [TasksExtension()]}

    async with (
        servers.connected(servers.one, **declaring()) as mcp_one,
        servers.connected(servers.two, **declaring()) as mcp_two,
    ):
        one, two = TaskClient(mcp_one.client), TaskClient(mcp_two.client)
        workflow_id = await waiting_for_approval(mcp_one)
        answered, cancelled = [
            (await one.start("execute_workflow", workflow_id=workflow_id, input={"amount": amount}))["taskId"]
            for amount in (6, 7)
        ]
        asking = await two.until(answered, "input_required")
        await two.update(answered, {next(iter(asking["inputRequests"])): accept(choice="approve")})
        done = [await each.until(answered, "completed") for each in (one, two)]
        assert done[0]["result"]["structuredContent"]["status"] == "succeeded"
        assert done[0]["result"] == done[1]["result"]
        await two.send("tasks/cancel", cancelled)
        assert (await one.until(cancelled, "cancelled"))["status"] == "cancelled"


async def until_change(subscription: Any, wanted: object) -> None:
    """Return when this change has come."""
    async with asyncio.timeout(20):
        async for change in subscription:
            if change == wanted:
                return


async def test_a_listener_at_one_server_is_notified_of_changes_at_another(servers: Servers) -> None:
    async with servers.connected(servers.one) as here, servers.connected(servers.two) as there:
        workflow_id = await here.create(ADD, ("start", "add"))
        asking = await waiting_for_approval(here)
        waiting = await here.call("execute_workflow", workflow_id=asking)
        uris = [f"workflow://{workflow_id}", f"execution://{waiting['execution_id']}"]
        async with there.client.listen(tools_list_changed=True, resource_subscriptions=uris) as subscription:
            operations = [{"op": "set_workflow", "description": "changed"}]
            await here.call("update_workflow", workflow_id=workflow_id, expected_version=1, operations=operations)
            await until_change(subscription, ResourceUpdated(uris[0]))
            approve = {"node": "ask", "data": {"choice": "approve"}}
            await here.call("control_execution", execution_id=waiting["execution_id"], action="resume", **approve)
            await until_change(subscription, ResourceUpdated(uris[1]))
            tool = {"name": "add_up", "description": "Adds one and one up."}
            await here.call("publish_workflow", workflow_id=workflow_id, tool=tool)
            await until_change(subscription, ToolsListChanged())
        listed = await there.client.list_tools()
        assert "add_up" in {each.name for each in listed.tools}
        assert await there.call("add_up")


async def test_a_run_at_one_server_tells_its_progress_though_another_process_runs_it(servers: Servers) -> None:
    reported: list[tuple[float, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        reported.append((done, message))

    async with servers.connected(servers.two) as mcp:
        workflow_id = await mcp.create(ADD, ("start", "add"))
        ran = await mcp.call("execute_workflow", workflow_id=workflow_id, wait_seconds=20, progress=progress)
        assert ran["status"] == "succeeded"
        assert reported[-1][0] == 2

        reported.clear()  # what was done before anybody listened is reported, too
        waiting = await mcp.call("execute_workflow", workflow_id=await waiting_for_approval(mcp), wait_seconds=20)
        await mcp.call("inspect_execution", execution_id=waiting["execution_id"], wait_seconds=1, progress=progress)
        assert reported == [(1, "start (1)")]
