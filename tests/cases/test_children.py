"""Sub-workflows: they end with their parent, call each other within bounds, and survive a store that fails.

Sources of the kinds: PrefectHQ/prefect#12713, apache/incubator-kie-kogito-runtimes#4252 (a cancelled parent's child
goes on), kestra-io/kestra#18491 (two flows that call each other), n8n-io/n8n#14203 (a waiting child's own end).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.dispatch.milestones import Milestone
from tests.engine.executions.test_races import Process
from tests.engine.executions.test_races import two as two
from tests.support.here import here
from tests.support.http_target import HttpTarget
from tests.support.milestones import HeldMilestones
from tests.support.waiting import until
from workflow.errors import NotAcceptedError, StorageError
from workflow.execution_figures import ExecutionFilter
from workflow.identity import LOCAL_ID


def definition(nodes: dict[str, Any], *edges: tuple[str, str], **settings: Any) -> dict[str, Any]:
    return {
        "name": "case",
        "nodes": {"start": {"type": "manual"}, **nodes},
        "connections": [list(edge) for edge in edges],
        "settings": settings,
    }


def calling(workflow_id: str, kind: str = "execute_workflow", **parameters: Any) -> dict[str, Any]:
    node = {"type": kind, "parameters": {"workflow_id": workflow_id, **parameters}}
    return definition({"call": node}, ("start", "call"))


WAITS = definition({"wait": {"type": "wait", "parameters": {"seconds": 3600}}}, ("start", "wait"))


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Process]:
    milestones = HeldMilestones()
    settings = {"outbound_allow": "127.0.0.1", "sub_workflow_depth": 5, "sub_workflow_calls": 12}
    async with here(tmp_path, milestones=milestones, **settings) as server:
        yield Process(server, milestones)


async def made(process: Process, workflow: dict[str, Any]) -> str:
    answer = await process.server.http.post("/api/workflows", json=workflow)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["workflow_id"])


async def started(process: Process, workflow_id: str, **body: Any) -> str:
    answer = await process.server.http.post(f"/api/workflows/{workflow_id}/execute", json=body)
    assert answer.status_code in (200, 202), answer.text
    return str(answer.json()["execution_id"])


async def states(process: Process, workflow_id: str) -> list[str]:
    where = ExecutionFilter(owner=LOCAL_ID, workflow_id=workflow_id)
    page = await process.server.services.reader.page(where, limit=100, cursor=None)
    return [execution.state.value for execution in page.items]


async def until_states(process: Process, workflow_id: str, *wanted: str) -> None:
    async def is_there() -> bool:
        return await states(process, workflow_id) == list(wanted)

    await until(is_there, seconds=20)


# They end with their parent.


async def test_a_waiting_child_is_cancelled_with_its_parent(alone: Process) -> None:
    child = await made(alone, WAITS)
    parent = await started(alone, await made(alone, calling(child)))
    await until_states(alone, child, "waiting")
    assert (await alone.act(parent, "cancel")).json()["status"] == "cancelled"
    assert await states(alone, child) == ["cancelled"]


async def test_a_running_childs_effect_is_cancelled_with_its_grandparent(alone: Process, target: HttpTarget) -> None:
    call = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    child = await made(alone, definition({"call": call}, ("start", "call")))
    middle = await made(alone, calling(child))
    grandparent = await started(alone, await made(alone, calling(middle)))
    async with asyncio.timeout(20):
        await target.arrived.wait()
    assert (await alone.act(grandparent, "cancel")).json()["status"] == "cancelled"
    await until_states(alone, child, "cancelled")
    assert await states(alone, middle) == ["cancelled"]
    target.release.set()


async def test_every_item_of_a_for_each_is_cancelled(alone: Process) -> None:
    child = await made(alone, WAITS)
    parent = await started(alone, await made(alone, calling(child, "for_each")), input=[{"n": n} for n in range(4)])
    await until_states(alone, child, *["waiting"] * 4)
    await alone.act(parent, "cancel")
    assert await states(alone, child) == ["cancelled"] * 4


async def test_siblings_end_when_one_fails_the_parent(alone: Process) -> None:
    fails = {"type": "stop_and_error", "parameters": {"message": "no"}}
    wait = {"type": "wait", "parameters": {"seconds": 3600}}
    route = {"type": "if", "parameters": {"condition": "={{ $json.n == 0 }}"}}
    child = await made(
        alone,
        definition(
            {"route": route, "first": {"type": "wait", "parameters": {"seconds": 1}}, "no": fails, "wait": wait},
            ("start", "route"),
            ("route.true", "first"),
            ("first", "no"),
            ("route.false", "wait"),
        ),
    )
    parent = await started(alone, await made(alone, calling(child, "for_each")), input=[{"n": n} for n in range(3)])
    assert await alone.until(parent, "failed") == "failed"

    async def are_over() -> bool:
        return sorted(await states(alone, child)) == ["cancelled", "cancelled", "failed"]

    await until(are_over, seconds=20)


async def test_a_child_that_nobody_waits_for_goes_on(alone: Process) -> None:
    child = await made(alone, WAITS)
    wait = {"type": "wait", "parameters": {"seconds": 3600}}
    call = {"type": "execute_workflow", "parameters": {"workflow_id": child, "wait": False}}
    parent = await started(
        alone, await made(alone, definition({"call": call, "wait": wait}, ("start", "call"), ("call", "wait")))
    )
    await alone.until(parent, "waiting")
    await until_states(alone, child, "waiting")
    await alone.act(parent, "cancel")
    assert await states(alone, child) == ["waiting"]


async def test_another_process_cancels_the_children_of_what_it_cancels(two: tuple[Process, Process]) -> None:
    holder, other = two
    child = await made(holder, WAITS)
    parent = await started(holder, await made(holder, calling(child)))
    await until_states(holder, child, "waiting")
    answer = (await other.act(parent, "cancel")).json()
    assert answer["status"] == "cancelled", answer
    assert await states(other, child) == ["cancelled"]


async def test_what_a_killed_process_did_not_cancel_is_swept(alone: Process) -> None:
    child = await made(alone, WAITS)
    parent = await started(alone, await made(alone, calling(child)))
    await until_states(alone, child, "waiting")
    await alone.until(parent, "waiting")
    services = alone.server.services
    await services.reader.wait(LOCAL_ID, parent, timeout_seconds=20)
    # The process was killed right after the parent's end was stored.
    canceller = services.control._canceller
    async with canceller._wakeups.moving(parent):
        await canceller._cancel(LOCAL_ID, parent)
    assert await states(alone, child) == ["waiting"]
    await canceller.sweep()
    assert await states(alone, child) == ["cancelled"]


# Bounds.


async def calling_itself(process: Process, kind: str = "execute_workflow", **parameters: Any) -> str:
    """The id of a workflow that calls itself."""
    workflow_id = await made(process, WAITS)
    answer = await process.server.http.put(
        f"/api/workflows/{workflow_id}", json=calling(workflow_id, kind, **parameters), headers={"if-match": '"1"'}
    )
    assert answer.status_code == 200, answer.text
    return workflow_id


async def test_a_workflow_that_calls_itself_ends_at_some_depth(alone: Process) -> None:
    workflow_id = await calling_itself(alone)
    root = await started(alone, workflow_id, wait_seconds=20)
    assert await alone.until(root, "failed") == "failed"
    assert await states(alone, workflow_id) == ["failed"] * 6
    where = ExecutionFilter(owner=LOCAL_ID, workflow_id=workflow_id)
    deepest = (await alone.server.services.reader.page(where, limit=1, cursor=None)).items[0]
    assert deepest.error is not None
    assert (deepest.error.code, deepest.error.node) == ("calls_too_deep", "call")


async def test_two_workflows_that_call_each_other_end_too(alone: Process) -> None:
    one = await made(alone, WAITS)
    other = await made(alone, calling(one))
    await alone.server.http.put(f"/api/workflows/{one}", json=calling(other), headers={"if-match": '"1"'})
    assert await alone.until(await started(alone, one), "failed") == "failed"
    assert len(await states(alone, one)) + len(await states(alone, other)) == 6


async def test_a_chain_that_nobody_waits_for_ends_too(alone: Process) -> None:
    workflow_id = await calling_itself(alone, wait=False)
    await started(alone, workflow_id)

    async def has_ended() -> bool:
        found = await states(alone, workflow_id)
        return len(found) == 6 and set(found) <= {"succeeded", "failed"}

    await until(has_ended, seconds=20)


async def test_a_tree_of_calls_has_so_many_executions_and_no_more(alone: Process) -> None:
    workflow_id = await made(alone, WAITS)
    call = {"type": "for_each", "parameters": {"workflow_id": workflow_id, "concurrency": 1}}
    several = {"type": "split_out", "parameters": {"field": "each"}}
    again = {"type": "set", "parameters": {"fields": {"each": "={{ [1, 2, 3, 4] }}"}}}
    tree = definition(
        {"again": again, "several": several, "call": call},
        ("start", "again"),
        ("again", "several"),
        ("several", "call"),
    )
    answer = await alone.server.http.put(f"/api/workflows/{workflow_id}", json=tree, headers={"if-match": '"1"'})
    assert answer.status_code == 200, answer.text
    root = await started(alone, workflow_id)
    assert await alone.until(root, "failed") == "failed"
    assert len(await states(alone, workflow_id)) <= 1 + 12


async def test_error_workflows_that_call_each_other_end(alone: Process) -> None:
    fails = {"type": "stop_and_error", "parameters": {"message": "no"}}
    one = await made(alone, definition({"no": fails}, ("start", "no")))
    other = await made(alone, definition({"no": fails}, ("start", "no"), error_workflow=one))
    await alone.server.http.put(
        f"/api/workflows/{one}",
        json=definition({"no": fails}, ("start", "no"), error_workflow=other),
        headers={"if-match": '"1"'},
    )
    await started(alone, one)

    async def have_ended() -> bool:
        return len(await states(alone, one)) + len(await states(alone, other)) == 6

    await until(have_ended, seconds=20)


# The time of a workflow.


async def test_waiting_counts_toward_a_time_that_the_workflow_sets(alone: Process) -> None:
    workflow = {**WAITS, "settings": {"timeout_seconds": 0.5}}
    execution_id = await started(alone, await made(alone, workflow))
    assert await alone.until(execution_id, "failed") == "failed"
    seen = (await alone.server.http.get(f"/api/executions/{execution_id}")).json()
    assert seen["error"]["code"] == "execution_timeout"


async def test_a_child_ends_with_a_parent_whose_time_is_over(alone: Process) -> None:
    child = await made(alone, WAITS)
    parent = {**calling(child), "settings": {"timeout_seconds": 1}}
    execution_id = await started(alone, await made(alone, parent))
    assert await alone.until(execution_id, "failed") == "failed"
    await until_states(alone, child, "cancelled")


async def test_waiting_is_free_where_the_workflow_sets_no_time(alone: Process) -> None:
    execution_id = await started(alone, await made(alone, WAITS))
    await alone.until(execution_id, "waiting")
    execution = await alone.server.services.reader.get(LOCAL_ID, execution_id)
    assert execution.wake_at is not None
    assert (execution.wake_at - execution.created_at).total_seconds() > 3_000


# A store that fails for a while.


@pytest.mark.parametrize("failure", [NotAcceptedError, StorageError])
async def test_a_child_that_cannot_be_stored_is_started_when_the_store_works(
    alone: Process, monkeypatch: pytest.MonkeyPatch, failure: type[StorageError]
) -> None:
    child = await made(alone, definition({}))
    parent = await made(alone, calling(child))
    intake = alone.server.services.webhooks._intake
    accept, failures = intake.accept, [1, 2]

    async def failing(compiled: Any, submission: Any, **options: Any) -> Any:
        if submission.parent is not None and failures:
            failures.pop()
            raise failure("The database is locked.", fix="Wait.")
        return await accept(compiled, submission, **options)

    monkeypatch.setattr(intake, "accept", failing)
    execution_id = await started(alone, parent)
    assert await alone.until(execution_id, "succeeded", "failed") == "succeeded"
    assert failures == []
    assert await states(alone, child) == ["succeeded"]


async def test_a_queue_that_is_full_for_a_moment_does_not_fail_the_parent(alone: Process) -> None:
    hold = alone.milestones.hold(Milestone.JOURNAL_READ)
    child = await made(alone, definition({}))
    parent = await started(alone, await made(alone, calling(child)))
    await hold.reached()
    dispatch = alone.server.services.webhooks._intake._dispatch
    capacity, dispatch._capacity = dispatch._capacity, 1
    hold.release()
    await alone.until(parent, "running")
    dispatch._capacity = capacity
    assert await alone.until(parent, "succeeded", "failed") == "succeeded"
