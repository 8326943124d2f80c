"""Tasks over services in this process: whose they are, answers that come at once, the conformance suite's tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp.client.client import Client

from engine.dispatch.milestones import Milestone
from engine.runs.submission import Submission
from server.assembly.composition import Services, running_services
from server.settings.settings import Settings
from storage.clock import SystemClock
from tests.support.milestones import HeldMilestones
from tests.support.task_client import TaskClient, TasksExtension, accept
from tests.support.waiting import found
from tools.executions.questions import Abilities
from tools.executions.tasks import STATUS, Tasks
from tools.executions.views import execution_summary
from tools.protocol.tool import Answer
from workflow.errors import ExecutionNotFoundError, IllegalTransitionError, NotWaitingError
from workflow.executions import Execution, Suspension
from workflow.identity import LOCAL_ACTOR, LOCAL_ID
from workflow.states import ExecutionState

ASKING = {
    "name": "asking",
    "nodes": {"start": {"type": "manual"}, "ask": {"type": "approval", "parameters": {"question": "Sure?"}}},
    "connections": [["start", "ask"]],
}
STRANGER = replace(LOCAL_ACTOR, user_id="bob", workspace_id="bobs")
FORMS = Abilities(types.ElicitationCapability())


@pytest.fixture
def milestones() -> HeldMilestones:
    """Where the tests hold executions."""
    return HeldMilestones()


@pytest.fixture
async def services(data_dir: Path, milestones: HeldMilestones) -> AsyncIterator[Services]:
    """The whole server but for its edges."""
    settings = Settings.load(data_dir=data_dir, conformance_fixtures=True)
    async with running_services(settings, has_http=False, milestones=milestones) as services:
        yield services


async def asking_execution(services: Services, *, items: int) -> str:
    """An execution that waits for answers."""
    made = await services.authoring.create(LOCAL_ACTOR, ASKING)
    plan = services.authoring.compiled(made.workflow)
    submission = Submission(
        trigger="manual", initiator=LOCAL_ACTOR.initiator, data=[{}] * items, answer_form="execution"
    )
    execution_id = await services.requests.execute(plan, submission)
    await services.reader.wait(LOCAL_ID, execution_id, timeout_seconds=20)
    return execution_id


def test_every_state_of_an_execution_is_a_status() -> None:
    assert set(STATUS) == set(ExecutionState)


async def _answer(execution: Execution) -> Answer:
    return Answer(execution_summary(execution))


async def test_tasks_of_others_are_not_there(services: Services) -> None:
    tasks = Tasks(
        reader=services.reader,
        announcements=services.announcements,
        control=services.control,
        answer=_answer,
        clock=SystemClock(),
        kept_days=None,
    )
    task_id = await asking_execution(services, items=1)
    mine = await tasks.get(task_id, actor=LOCAL_ACTOR, client=FORMS)
    assert (mine["status"], mine["ttlMs"]) == ("input_required", None)
    answers = {key: accept(choice="approve") for key in mine["inputRequests"]}
    assert await tasks.is_there(task_id, actor=LOCAL_ACTOR)
    assert not await tasks.is_there(task_id, actor=STRANGER)
    with pytest.raises(ExecutionNotFoundError):
        await tasks.get(task_id, actor=STRANGER, client=FORMS)
    with pytest.raises(ExecutionNotFoundError):
        await tasks.update(task_id, answers, actor=STRANGER)
    with pytest.raises(ExecutionNotFoundError):
        await tasks.cancel(task_id, actor=STRANGER)
    with pytest.raises(ExecutionNotFoundError):
        await anext(tasks.changes(task_id, actor=STRANGER, client=FORMS))
    assert await tasks.get(task_id, actor=LOCAL_ACTOR, client=FORMS) == {**mine, "pollIntervalMs": 200}


async def test_an_answer_that_comes_while_the_execution_is_about_to_run_counts_once(
    services: Services, milestones: HeldMilestones
) -> None:
    execution_id = await asking_execution(services, items=2)
    first, second = await services.reader.waiting(LOCAL_ID, execution_id)

    async def answer(waiting: Suspension, choice: str) -> Any:
        return await services.control.answer(LOCAL_ACTOR, execution_id, waiting, data={"choice": choice}, by="person")

    hold = milestones.hold(Milestone.JOURNAL_READ)
    await answer(first, "approve")
    await hold.reached()
    await answer(second, "approve")
    with pytest.raises(NotWaitingError):
        await answer(second, "reject")
    hold.release()
    async with asyncio.timeout(20):
        while (await services.reader.get(LOCAL_ID, execution_id)).state is not ExecutionState.SUCCEEDED:
            await services.reader.wait(LOCAL_ID, execution_id, timeout_seconds=5)
    (ask,) = [run for run in (await services.reader.inspect(LOCAL_ID, execution_id)).node_runs if run.node == "ask"]
    assert [item.json["approval"]["choice"] for item in ask.outputs["approve"]] == ["approve"] * 2


async def test_answers_that_come_at_once_each_count_once(services: Services) -> None:
    execution_id = await asking_execution(services, items=20)
    waiting = await services.reader.waiting(LOCAL_ID, execution_id)
    control = services.control

    async def answer(index: int, choice: str) -> Any:
        return await control.answer(LOCAL_ACTOR, execution_id, waiting[index], data={"choice": choice}, by="person")

    given = await asyncio.gather(
        *(answer(index, choice) for index in range(20) for choice in ("approve", "reject")), return_exceptions=True
    )
    assert sum(isinstance(each, Exception) for each in given) == 20
    async with asyncio.timeout(20):
        while (await services.reader.get(LOCAL_ID, execution_id)).state is not ExecutionState.SUCCEEDED:
            await services.reader.wait(LOCAL_ID, execution_id, timeout_seconds=5)
    inspection = await services.reader.inspect(LOCAL_ID, execution_id)
    assert [run.node for run in inspection.node_runs] == ["start", "ask"]
    choices = [item.json["approval"]["choice"] for item in inspection.node_runs[1].outputs["approve"]]
    assert choices == ["approve"] * 20


async def test_the_conformance_suites_tools_are_real_runs(services: Services) -> None:
    async def ask(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Alice"})

    async with Client(services.mcp, extensions=[TasksExtension()], elicitation_callback=ask) as client:
        tasks = TaskClient(client)
        greeting = await client.call_tool("greet", {"name": "World"})
        assert greeting.content == [types.TextContent(type="text", text="Hello, World!")]
        failed = await tasks.start("protocol_error_job")
        assert (await tasks.until(failed["taskId"], "failed"))["error"]["code"] == types.INTERNAL_ERROR
        both = (await tasks.start("multi_input"))["taskId"]

        async def questions() -> list[str] | None:
            keys = list((await tasks.until(both, "input_required"))["inputRequests"])
            return keys if len(keys) == 2 else None  # the two nodes ask one after the other

        keys = await found(questions)
        await tasks.update(both, {key: accept(confirm=True) for key in keys})
        await tasks.until(both, "completed")
        asked = await client.session.call_tool("test_tool_with_task", {}, allow_input_required=True)
        assert isinstance(asked, types.InputRequiredResult)


async def test_what_is_cancelled_as_it_goes_on_is_cancelled(services: Services) -> None:
    for pause in range(6):
        execution_id = await asking_execution(services, items=1)
        (waiting,) = await services.reader.waiting(LOCAL_ID, execution_id)
        await services.control.answer(LOCAL_ACTOR, execution_id, waiting, data={"choice": "approve"}, by="person")
        for _ in range(pause):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            try:
                ended = await services.control.cancel(LOCAL_ACTOR, execution_id)
            except IllegalTransitionError:
                ended = await services.reader.get(LOCAL_ID, execution_id)
                assert ended.state is ExecutionState.SUCCEEDED
            else:
                assert ended.state is ExecutionState.CANCELLED
