"""The races of worker and control, one process or two, each held at the moment at which it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.dispatch.milestones import Milestone
from tests.support.haystack import postgresql_of_ones_own
from tests.support.here import Here, here
from tests.support.http_target import HttpTarget
from tests.support.milestones import HeldMilestones
from tests.support.waiting import until
from workflow.identity import LOCAL_ID

ASKS: dict[str, Any] = {
    "name": "asks",
    "nodes": {"start": {"type": "manual"}, "ask": {"type": "approval", "parameters": {"question": "Go on?"}}},
    "connections": [["start", "ask"]],
}
APPROVES = {"node": "ask", "data": {"choice": "approve"}}


@dataclass(slots=True)
class Process:
    """A server in this process, and the moments at which its executions can be held."""

    server: Here
    milestones: HeldMilestones = field(default_factory=HeldMilestones)

    async def start(self, definition: dict[str, Any], **body: Any) -> str:
        """The id of an execution of a new workflow, accepted."""
        made = (await self.server.http.post("/api/workflows", json=definition)).json()
        started = await self.server.http.post(f"/api/workflows/{made['workflow_id']}/execute", json=body)
        return str(started.json()["execution_id"])

    async def status(self, execution_id: str) -> str:
        """What REST says."""
        return str((await self.server.http.get(f"/api/executions/{execution_id}")).json()["status"])

    async def until(self, execution_id: str, *statuses: str) -> str:
        """Its status, once it is one of these."""

        async def is_there() -> bool:
            return await self.status(execution_id) in statuses

        await until(is_there, seconds=20)
        return await self.status(execution_id)

    async def act(self, execution_id: str, action: str, body: dict[str, Any] | None = None) -> Any:
        """An action on the execution, over REST."""
        return await self.server.http.post(f"/api/executions/{execution_id}/{action}", json=body or {})


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Process]:
    """One process with the embedded database."""
    milestones = HeldMilestones()
    async with here(tmp_path, milestones=milestones, outbound_allow="127.0.0.1") as server:
        yield Process(server, milestones)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes on one PostgreSQL. Each runs what it accepts."""
    async with AsyncExitStack() as stack:
        shared = {
            "database_url": await stack.enter_async_context(postgresql_of_ones_own()),
            "secret_key": "k" * 48,
            "vault_keys": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "outbound_allow": "127.0.0.1",
            "lease_seconds": 3,
        }
        made = []
        for name in ("one", "other"):
            milestones = HeldMilestones()
            server = await stack.enter_async_context(here(tmp_path / name, milestones=milestones, **shared))
            made.append(Process(server, milestones))
        yield made[0], made[1]


async def test_a_cancellation_before_the_run_has_begun_ends_it(alone: Process) -> None:
    hold = alone.milestones.hold(Milestone.JOURNAL_READ)
    execution_id = await alone.start(ASKS)
    assert await hold.reached() == execution_id
    assert (await alone.act(execution_id, "cancel")).json()["status"] == "cancelled"


async def test_a_cancellation_while_the_end_is_being_stored_comes_too_late(alone: Process) -> None:
    hold = alone.milestones.hold(Milestone.RUN_SAVED)
    execution_id = await alone.start({**ASKS, "nodes": {"start": {"type": "manual"}}, "connections": []})
    await hold.reached()
    cancelling = asyncio.create_task(alone.act(execution_id, "cancel"))
    hold.release()
    answer = await cancelling
    assert answer.status_code == 409
    assert await alone.status(execution_id) == "succeeded"


async def test_a_cancellation_while_the_waiting_is_being_stored_cancels_what_waits(alone: Process) -> None:
    hold = alone.milestones.hold(Milestone.RUN_SAVED)
    execution_id = await alone.start(ASKS)
    await hold.reached()
    cancelling = asyncio.create_task(alone.act(execution_id, "cancel"))
    hold.release()
    assert (await cancelling).json()["status"] == "cancelled"


async def test_of_two_answers_at_once_one_counts_and_the_other_is_refused(alone: Process) -> None:
    execution_id = await alone.start(ASKS)
    await alone.server.services.reader.wait(LOCAL_ID, execution_id, timeout_seconds=20)
    hold = alone.milestones.hold(Milestone.ANSWER_CHECKED)
    first = asyncio.create_task(alone.act(execution_id, "resume", APPROVES))
    await hold.reached()
    second = asyncio.create_task(alone.act(execution_id, "resume", {**APPROVES, "data": {"choice": "reject"}}))
    hold.release()
    assert [(await each).status_code for each in (first, second)] == [200, 409]
    await alone.until(execution_id, "succeeded")
    inspection = await alone.server.services.reader.inspect(LOCAL_ID, execution_id)
    assert [list(run.outputs) for run in inspection.node_runs if run.node == "ask"] == [["approve"]]


async def test_an_answer_reads_the_journal_once_and_the_worker_not_again(
    alone: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = await alone.start(ASKS)
    await alone.server.services.reader.wait(LOCAL_ID, execution_id, timeout_seconds=20)
    store = alone.server.services.reader._store
    reads: list[str] = []
    for name in ("journal", "recorded"):
        read = getattr(store, name)

        async def counted(*arguments: Any, read: Any = read, name: str = name) -> Any:
            reads.append(name)
            return await read(*arguments)

        monkeypatch.setattr(store, name, counted)
    hold = alone.milestones.hold(Milestone.RUN_STORED)
    assert (await alone.act(execution_id, "resume", APPROVES)).status_code == 200
    await hold.reached()
    assert reads == ["recorded"]
    hold.release()


async def test_a_signal_that_the_run_does_not_see_wakes_the_execution_when_it_is_stored(
    two: tuple[Process, Process],
) -> None:
    holder, other = two
    definition = {
        **ASKS,
        "nodes": {**ASKS["nodes"], "early": {"type": "approval", "parameters": {"question": "And this?"}}},
        "connections": [*ASKS["connections"], ["start", "early"]],
    }
    execution_id = await holder.start(definition)
    await holder.server.services.reader.wait(LOCAL_ID, execution_id, timeout_seconds=20)
    hold = holder.milestones.hold(Milestone.JOURNAL_READ)
    assert (await holder.act(execution_id, "resume", {**APPROVES, "node": "early"})).status_code == 200
    await hold.reached()
    # The holder has read its journal; what is added to it now reaches the store and a signal, and not the run.
    answered = await other.act(execution_id, "resume", APPROVES)
    await other.milestones.come_to(Milestone.SIGNALLED)
    assert answered.status_code == 200
    hold.release()
    assert await other.until(execution_id, "succeeded") == "succeeded"


async def test_another_process_cancels_what_the_holder_runs(two: tuple[Process, Process], target: HttpTarget) -> None:
    holder, other = two
    call = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    definition = {**ASKS, "nodes": {"start": {"type": "manual"}, "call": call}, "connections": [["start", "call"]]}
    execution_id = await holder.start(definition)
    async with asyncio.timeout(20):
        await target.arrived.wait()
    answer = await other.act(execution_id, "cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    target.release.set()
