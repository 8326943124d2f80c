"""Executions as tasks (SEP-2663), through a client that has declared the extension, and through those that have not."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.server.conftest import connected
from tests.support.http_target import HttpTarget
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess
from tests.support.task_client import ANYTHING, TaskClient, TasksExtension, accept
from tools.executions.tasks import EXTENSION

START = {"type": "manual"}
APPROVAL = {"type": "approval", "parameters": {"question": "=Refund {{ $json.amount }}?"}}
MEMBERS = {"taskId", "status", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs", "resultType"}


async def user_accepts(context: Any, params: Any) -> types.ElicitResult:
    """Declares elicitation; tasks are answered with tasks/update."""
    raise AssertionError("nothing is to be asked but through the task")


@pytest.fixture
async def tasks(request: pytest.FixtureRequest, server: ServerProcess, data_dir: Path) -> AsyncIterator[TaskClient]:
    """A client of the extension that can ask its user, over HTTP unless the test has it over something else."""
    extension = TasksExtension()
    options = {"extensions": [extension], "elicitation_callback": user_accepts}
    async with connected(getattr(request, "param", "http"), "modern", server, data_dir, **options) as caller:
        yield TaskClient(caller.client, extension)


@pytest.fixture
async def tasks_http(server: ServerProcess, data_dir: Path) -> AsyncIterator[TaskClient]:
    """A client of the extension that cannot ask its user."""
    extension = TasksExtension()
    async with connected("http", "modern", server, data_dir, extensions=[extension]) as caller:
        yield TaskClient(caller.client, extension)


async def make(tasks: TaskClient, nodes: dict[str, Any], *connections: tuple[str, str], **settings: Any) -> str:
    """The id of a new workflow."""
    definition = {
        "name": "task",
        "nodes": {"start": START, **nodes},
        "connections": [list(each) for each in connections],
        "settings": settings,
    }
    return str((await McpCaller(tasks.client).call("create_workflow", definition=definition))["workflow_id"])


async def test_a_run_is_a_task_that_comes_to_what_the_call_would_have_given(tasks: TaskClient) -> None:
    double = {"type": "set", "parameters": {"fields": {"double": "={{ $json.n * 2 }}"}}}
    workflow_id = await make(tasks, {"double": double}, ("start", "double"))
    task = await tasks.start("execute_workflow", workflow_id=workflow_id, input={"n": 4})
    assert set(task) - {"statusMessage", "_meta"} == MEMBERS
    assert (task["resultType"], task["ttlMs"]) == ("task", 30 * 24 * 3600 * 1000)
    done = await tasks.until(task["taskId"], "completed")
    assert done["resultType"] == "complete"
    result = types.CallToolResult.model_validate(done["result"])
    assert result.structured_content["output"] == {"items": {"double": [{"n": 4, "double": 8}]}}
    seen = await McpCaller(tasks.client).call("inspect_execution", execution_id=task["taskId"])
    assert seen["status"] == "succeeded", "the task's id is the execution's"


async def test_the_result_is_the_one_that_clients_without_tasks_get(
    tasks_http: TaskClient, mcp_http: McpCaller
) -> None:
    workflow_id = await make(tasks_http, {})
    key = uuid.uuid4().hex
    task = await tasks_http.start("execute_workflow", workflow_id=workflow_id, input={"n": 1}, idempotency_key=key)
    done = await tasks_http.until(task["taskId"], "completed")
    plain = await mcp_http.client.call_tool(
        "execute_workflow", {"workflow_id": workflow_id, "input": {"n": 1}, "idempotency_key": key}
    )
    # The second call has the key of the first, and its answer says so.
    assert plain.structured_content == {**done["result"]["structuredContent"], "repeated": True}
    (text,) = types.CallToolResult.model_validate(done["result"]).content
    (plain_text,) = plain.content
    assert isinstance(text, types.TextContent)
    assert isinstance(plain_text, types.TextContent)
    assert json.loads(plain_text.text) == {**json.loads(text.text), "repeated": True}


async def test_a_failed_run_is_completed_and_its_result_says_how_it_failed(tasks_http: TaskClient) -> None:
    workflow_id = await make(
        tasks_http, {"bad": {"type": "stop_and_error", "parameters": {"message": "no such customer"}}}, ("start", "bad")
    )
    task = await tasks_http.start("execute_workflow", workflow_id=workflow_id)
    done = await tasks_http.until(task["taskId"], "completed", "failed")
    assert (done["status"], done["statusMessage"]) == ("completed", "no such customer")
    assert done["result"]["structuredContent"]["error"]["node"] == "bad"


@pytest.mark.parametrize("tasks", ["http", "stdio"], indirect=True)
async def test_what_a_task_asks_is_answered_by_updating_it(tasks: TaskClient) -> None:
    workflow_id = await make(tasks, {"ask": APPROVAL}, ("start", "ask"))
    items = [{"amount": 5}, {"amount": 7}]
    task_id = (await tasks.start("execute_workflow", workflow_id=workflow_id, input=items))["taskId"]
    asking = await tasks.until(task_id, "input_required")
    first, second = asking["inputRequests"]
    request = asking["inputRequests"][first]
    assert (request["method"], request["params"]["message"]) == ("elicitation/create", "Refund 5?")
    assert request["params"]["requestedSchema"]["properties"]["choice"]["enum"] == ["approve", "reject"]

    with pytest.raises(MCPError) as caught:
        await tasks.update(task_id, {first: accept(choice="approve"), second: accept(choice="perhaps")})
    assert caught.value.error.code == types.INVALID_PARAMS
    ignored = {first: {"action": "decline"}, "another": accept(choice="approve"), second: {"nothing": "usable"}}
    assert set(await tasks.update(task_id, ignored)) - {"_meta"} == {"resultType"}
    assert list((await tasks.get(task_id))["inputRequests"]) == [first, second]

    await tasks.update(task_id, {first: accept(choice="approve", comment="fine")})
    assert list((await tasks.get(task_id))["inputRequests"]) == [second]
    await tasks.update(task_id, {first: accept(choice="reject"), second: accept(choice="reject")})
    output = (await tasks.until(task_id, "completed"))["result"]["structuredContent"]["output"]
    (approved,), (rejected,) = output["items"]["ask.approve"], output["items"]["ask.reject"]
    assert (approved["amount"], rejected["amount"]) == (5, 7)
    said = [{name: each["approval"][name] for name in ("choice", "comment", "by")} for each in (approved, rejected)]
    assert said == [
        {"choice": "approve", "comment": "fine", "by": "person"},
        {"choice": "reject", "comment": None, "by": "person"},
    ]


async def test_a_client_that_cannot_ask_is_told_what_the_task_waits_for(tasks_http: TaskClient) -> None:
    workflow_id = await make(tasks_http, {"ask": APPROVAL}, ("start", "ask"))
    task_id = (await tasks_http.start("execute_workflow", workflow_id=workflow_id, input={"amount": 5}))["taskId"]
    async with asyncio.timeout(20):
        while "ask waits" not in (task := await tasks_http.get(task_id)).get("statusMessage", ""):
            continue
    assert task["status"] == "working"
    assert "control_execution" in task["statusMessage"]
    assert "inputRequests" not in task


async def test_cancelling_a_task_ends_the_run_and_may_be_said_twice(tasks: TaskClient) -> None:
    workflow_id = await make(tasks, {"wait": {"type": "wait", "parameters": {"seconds": 3600}}}, ("start", "wait"))
    task_id = (await tasks.start("execute_workflow", workflow_id=workflow_id))["taskId"]
    for _ in range(2):
        assert set(await tasks.send("tasks/cancel", task_id)) - {"_meta"} == {"resultType"}
        assert (await tasks.until(task_id, "cancelled"))["taskId"] == task_id


async def test_a_workflow_that_is_not_kept_makes_no_task(tasks_http: TaskClient) -> None:
    workflow_id = await make(tasks_http, {}, durability="none")
    ran = await McpCaller(tasks_http.client).call("execute_workflow", workflow_id=workflow_id)
    assert ran["status"] == "succeeded"


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_only_clients_that_declare_the_extension_have_tasks(
    server: ServerProcess, data_dir: Path, era: str
) -> None:
    async with connected("http", era, server, data_dir) as mcp:
        await check_that_it_has_no_tasks(mcp)


async def check_that_it_has_no_tasks(mcp: McpCaller) -> None:
    """The client gets plain answers, and the extension's methods are refused."""
    workflow_id = await mcp.create({"start": START})
    ran = await mcp.call("execute_workflow", workflow_id=workflow_id)
    is_modern = mcp.client.protocol_version == "2026-07-28"
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        with pytest.raises(MCPError) as caught:
            await TaskClient(mcp.client).send(method, ran["execution_id"])
        wanted = types.MISSING_REQUIRED_CLIENT_CAPABILITY if is_modern else types.METHOD_NOT_FOUND
        assert caught.value.error.code == wanted
        if is_modern:
            assert caught.value.error.data == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}


async def test_what_no_tool_started_is_no_task(tasks_http: TaskClient, http: httpx2.AsyncClient) -> None:
    workflow_id = await make(tasks_http, {})
    over_rest = (await http.post(f"/api/workflows/{workflow_id}/execute")).json()["execution_id"]
    for unknown in (over_rest, "nothing"):
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            with pytest.raises(MCPError) as caught:
                await tasks_http.send(method, unknown)
            assert caught.value.error.code == types.INVALID_PARAMS


@pytest.mark.parametrize("name", ["another-task", None])
async def test_a_request_must_be_routed_by_its_own_task(http: httpx2.AsyncClient, name: str | None) -> None:
    capabilities = {"extensions": {EXTENSION: {}}}
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    }
    headers = {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tasks/get",
        "accept": "application/json, text/event-stream",
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {"taskId": "a-task", "_meta": meta}}
    answer = await http.post("/mcp", json=body, headers={**headers, **({"mcp-name": name} if name else {})})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, types.HEADER_MISMATCH)


async def test_a_stream_tells_of_each_change_of_its_tasks(tasks: TaskClient, target: HttpTarget) -> None:
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    workflow_id = await make(tasks, {"ask": ask}, ("start", "ask"))
    task_id = (await tasks.start("execute_workflow", workflow_id=workflow_id))["taskId"]
    async with asyncio.timeout(20):
        await target.arrived.wait()
        listening = asyncio.create_task(listen(tasks, [task_id, "another"]))
        now = await tasks.extension.changes.get()
        assert (now["taskId"], now["status"]) == (task_id, "working")
        assert now["_meta"]["io.modelcontextprotocol/subscriptionId"] is not None
        target.release.set()
        while (now := await tasks.extension.changes.get())["status"] == "working":
            continue
    seen = await tasks.get(task_id)
    for member in ("status", "createdAt", "lastUpdatedAt", "ttlMs", "result"):
        assert now[member] == seen[member]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_client_without_the_extension_cannot_listen_to_tasks(mcp_http: McpCaller) -> None:
    with pytest.raises(MCPError) as caught:
        await listen(TaskClient(mcp_http.client), ["a-task"])
    assert caught.value.error.code == types.MISSING_REQUIRED_CLIENT_CAPABILITY


async def test_an_acknowledgement_names_the_tasks_that_are_the_users(
    tasks_http: TaskClient, server: ServerProcess, data_dir: Path
) -> None:
    acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def note(message: Any) -> None:
        if isinstance(message, types.SubscriptionsAcknowledgedNotification):
            acknowledged.set_result(message.params.notifications.model_dump(by_alias=True, exclude_none=True))

    workflow_id = await make(tasks_http, {"wait": {"type": "wait", "parameters": {"seconds": 60}}}, ("start", "wait"))
    task_id = (await tasks_http.start("execute_workflow", workflow_id=workflow_id))["taskId"]
    options: dict[str, Any] = {"extensions": [TasksExtension()], "message_handler": note}
    async with connected("http", "modern", server, data_dir, **options) as caller, asyncio.timeout(20):
        listening = asyncio.create_task(listen(TaskClient(caller.client), ["another", task_id], toolsListChanged=True))
        assert await acknowledged == {"toolsListChanged": True, "taskIds": [task_id]}
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def listen(tasks: TaskClient, task_ids: list[str], **kinds: bool) -> dict[str, Any]:
    """Keep a stream open that tells of the tasks, until it is cancelled."""
    wanted = {"notifications": {"taskIds": task_ids, **kinds}}
    request = types.Request[dict[str, Any], str](method="subscriptions/listen", params=wanted)
    return await tasks.client.session.send_request(request, ANYTHING)
