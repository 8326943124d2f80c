"""A person is asked while a call waits: forms and pages, in both protocol eras, over both transports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.server.conftest import connected
from tests.support.approvals import first_half, refuse, second_half, waiting_for_approval
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess
from tests.support.task_client import TaskClient, TasksExtension, accept

START = {"type": "manual"}
EVERYWHERE = pytest.mark.parametrize(
    "person", ["http-modern", "http-legacy", "stdio-modern", "stdio-legacy"], indirect=True
)
Asked = list[Any]
Answer = Callable[[Any], Awaitable[types.ElicitResult]]
Person = Callable[[Answer], AbstractAsyncContextManager[tuple[McpCaller, Asked]]]


@pytest.fixture(params=["http-modern", "http-legacy"])
def person(request: pytest.FixtureRequest, server: ServerProcess, data_dir: Path) -> Person:
    """Clients of each era whose user answers as the test says; with them, what the user was asked."""
    transport, era = request.param.split("-")

    @asynccontextmanager
    async def connect(answer: Answer) -> AsyncIterator[tuple[McpCaller, Asked]]:
        asked: Asked = []

        async def ask(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
            asked.append(params)
            return await answer(params)

        async with connected(transport, era, server, data_dir, elicitation_callback=ask) as caller:
            yield caller, asked

    return connect


def filled_in(**content: Any) -> Answer:
    """The user fills the form in so."""

    async def answer(params: Any) -> types.ElicitResult:
        assert params.mode == "form"
        return types.ElicitResult(action="accept", content=content)

    return answer


@EVERYWHERE
async def test_the_user_answers_on_the_way_and_the_call_goes_on(person: Person) -> None:
    async with person(filled_in(choice="approve", comment="fine")) as (mcp, asked):
        workflow_id = await waiting_for_approval(mcp)
        ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input={"amount": 5})
        assert ran["status"] == "succeeded"
        answer = ran["output"]["items"]["ask.approve"][0]["approval"]
        assert (answer["choice"], answer["comment"], answer["by"]) == ("approve", "fine", "person")
        (form,) = asked
        assert form.message == "Refund 5?"
        assert form.requested_schema["required"] == ["choice"]
        assert form.requested_schema["properties"]["choice"]["enum"] == ["approve", "reject"]
        listed = await mcp.call("list_executions", workflow_id=workflow_id)
        assert [each["execution_id"] for each in listed["executions"]] == [ran["execution_id"]]


async def test_a_user_who_will_not_answer_leaves_it_waiting(person: Person) -> None:
    async with person(refuse) as (mcp, asked):
        workflow_id = await waiting_for_approval(mcp)
        ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input=[{"amount": 5}, {"amount": 6}])
        assert (ran["status"], len(asked)) == ("waiting", 2)
        assert "control_execution" in ran["next"]
        seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"], wait_seconds=1)
        assert (seen["status"], len(seen["waiting"]), len(asked)) == ("waiting", 2, 4)


async def test_who_only_looks_is_not_asked(person: Person) -> None:
    async with person(filled_in(choice="reject")) as (mcp, asked):
        workflow_id = await waiting_for_approval(mcp)
        ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input={"amount": 5}, wait_seconds=0)
        while (await mcp.call("inspect_execution", execution_id=ran["execution_id"]))["status"] != "waiting":
            continue
        assert asked == []
        seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"], wait_seconds=20)
        assert (seen["status"], len(asked)) == ("succeeded", 1)


async def test_what_somebody_else_decides_is_decided_on_their_page(person: Person) -> None:
    async def open_page(params: Any) -> types.ElicitResult:
        async with httpx2.AsyncClient() as browser:
            assert "For: the lead" in (await browser.get(params.url)).text
            await browser.post(params.url, data={"choice": "approve"})
        return types.ElicitResult(action="accept")

    async with person(open_page) as (mcp, asked):
        workflow_id = await waiting_for_approval(mcp, who="the lead")
        ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input={"amount": 5})
        assert ran["status"] == "succeeded"
        assert [each.mode for each in asked] == ["url"]
        ((item,),) = [items for items in ran["output"]["items"].values() if items]
        answer = item["approval"]
        assert (answer["choice"], answer["comment"], answer["by"], answer["who"]) == ("approve", None, "link", "link")


async def test_a_client_that_cannot_ask_gets_an_answer_that_says_how_to_go_on(mcp_http: McpCaller) -> None:
    workflow_id = await waiting_for_approval(mcp_http)
    ran = await mcp_http.call("execute_workflow", workflow_id=workflow_id, input={"amount": 5})
    assert ran["status"] == "waiting"
    assert "control_execution" in ran["next"]


async def test_an_answer_and_a_task_find_their_executions_after_a_restart(data_dir: Path) -> None:
    server = ServerProcess(data_dir)
    server.start()
    async with connected("http", "modern", server, data_dir, elicitation_callback=refuse) as mcp:
        workflow_id = await waiting_for_approval(mcp)
        asked = await first_half(mcp.client, workflow_id)
    declaring: dict[str, Any] = {"elicitation_callback": refuse, "extensions": [TasksExtension()]}
    async with connected("http", "modern", server, data_dir, **declaring) as mcp:
        task = await TaskClient(mcp.client).start("execute_workflow", workflow_id=workflow_id, input={"amount": 6})
        server.kill()
    with server:
        async with connected("http", "modern", server, data_dir, elicitation_callback=refuse) as mcp:
            result = await second_half(mcp.client, workflow_id, asked)
            assert result.structured_content["status"] == "succeeded"
            listed = await mcp.call("list_executions", workflow_id=workflow_id)
            assert len(listed["executions"]) == 2, "one of each call"
        async with connected("http", "modern", server, data_dir, **declaring) as mcp:
            tasks = TaskClient(mcp.client)
            asking = await tasks.until(task["taskId"], "input_required")
            assert asking["createdAt"] == task["createdAt"]
            await tasks.update(task["taskId"], {next(iter(asking["inputRequests"])): accept(choice="approve")})
            done = await tasks.until(task["taskId"], "completed")
            assert done["result"]["structuredContent"]["status"] == "succeeded"


async def test_what_the_client_carries_cannot_be_read_changed_or_used_for_another_call(
    server: ServerProcess, data_dir: Path
) -> None:
    async with connected("http", "modern", server, data_dir, elicitation_callback=refuse) as mcp:
        workflow_id = await waiting_for_approval(mcp)
        asked = await first_half(mcp.client, workflow_id)
        listed = await mcp.call("list_executions", workflow_id=workflow_id)
        state = asked.request_state
        assert state is not None
        assert listed["executions"][0]["execution_id"] not in state
        changed = state[:-1] + ("A" if state[-1] != "A" else "B")
        for wrong in ({"state": changed}, {"amount": 500}):
            with pytest.raises(MCPError) as caught:
                await second_half(mcp.client, workflow_id, asked, **wrong)
            assert caught.value.error.code == types.INVALID_PARAMS
        ran = await second_half(mcp.client, workflow_id, asked)
        assert ran.structured_content["status"] == "succeeded"
