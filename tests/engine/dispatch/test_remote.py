"""Executions of other processes are followed although events are lost, late or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.announcements import Announcements
from engine.dispatch.milestones import Milestone
from engine.dispatch.remote import RemoteExecutions
from storage.clock import SystemClock
from storage.database.database import Database
from storage.events.in_process import InProcessEventBus
from storage.executions.blobs import BlobStore
from storage.executions.lease import Lease
from storage.executions.store import SqlExecutionStore
from tests.support.databases import database_of
from tests.support.milestones import HeldMilestones
from workflow.executions import Execution, NodeRun, Record
from workflow.identity import LOCAL_ACTOR, LOCAL_ID
from workflow.items import JsonObject
from workflow.states import ExecutionEvent, ExecutionState

NOW = datetime(2024, 1, 6, tzinfo=UTC)


@dataclass(slots=True)
class OtherProcess:
    """What runs the execution: it stores, and publishes events or does not."""

    store: SqlExecutionStore
    announcements: Announcements
    execution: Execution

    async def save(self, *records: Record) -> None:
        """Store the execution as it is, and add to its journal."""
        self.store.save(self.execution, records)
        await self.store.committed(self.execution.id)

    async def move(self, event: ExecutionEvent, *, announce: bool) -> None:
        """Store a new state."""
        self.execution = self.execution.moved(event)
        await self.save()
        if announce:
            self.announcements.state_changed(self.execution)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with database_of("sqlite", tmp_path) as database:
        yield database


@pytest.fixture
async def other(database: Database, tmp_path: Path) -> AsyncIterator[OtherProcess]:
    ids = iter(range(10_000))
    bus = InProcessEventBus()
    announcements = Announcements(bus=bus, clock=SystemClock(), new_id=lambda: f"event-{next(ids)}")
    lease = Lease(owner="other", seconds=30)
    async with SqlExecutionStore(database, blobs=BlobStore(tmp_path / "blobs"), lease=lease) as store:
        execution = Execution(
            id="e",
            owner=LOCAL_ID,
            initiator=LOCAL_ACTOR.initiator,
            workflow_id="w",
            workflow_name="one",
            workflow_version=1,
            state=ExecutionState.RUNNING,
            trigger="manual",
            start_node="start",
            input=None,
            created_at=NOW,
        )
        made = OtherProcess(store, announcements, execution)
        await made.save()
        yield made


@pytest.fixture
def milestones() -> HeldMilestones:
    return HeldMilestones()


@pytest.fixture
async def remote(other: OtherProcess, milestones: HeldMilestones) -> AsyncIterator[RemoteExecutions]:
    async with RemoteExecutions(announcements=other.announcements, store=other.store, milestones=milestones) as remote:
        yield remote


def node_run(name: str) -> NodeRun:
    return NodeRun(
        node=name, run_index=0, status="succeeded", started_at=NOW, duration_ms=1.0, items_in=1, logical_time=NOW
    )


async def followed(remote: RemoteExecutions) -> list[JsonObject]:
    return [step async for step in remote.steps(LOCAL_ID, "e")]


def nodes_in(steps: list[JsonObject]) -> list[Any]:
    return [step["node"] for step in steps if "node" in step]


async def test_an_end_whose_event_is_lost_is_found_in_the_store(
    remote: RemoteExecutions, other: OtherProcess, milestones: HeldMilestones
) -> None:
    hold = milestones.hold(Milestone.STORE_ASKED)
    following = asyncio.create_task(followed(remote))
    await hold.reached()
    await other.move(ExecutionEvent.SUCCEED, announce=False)
    hold.release()
    async with asyncio.timeout(10):
        assert nodes_in(await following) == []


async def test_an_event_of_an_earlier_wait_does_not_end_the_following(
    remote: RemoteExecutions, other: OtherProcess, milestones: HeldMilestones
) -> None:
    hold, again = milestones.hold(Milestone.STORE_ASKED), milestones.hold(Milestone.STORE_ASKED)
    following = asyncio.create_task(followed(remote))
    await hold.reached()
    other.announcements.state_changed(other.execution.moved(ExecutionEvent.SUSPEND))
    hold.release()
    await again.reached()
    assert not following.done()
    await other.move(ExecutionEvent.SUCCEED, announce=True)
    again.release()
    async with asyncio.timeout(10):
        await following


async def test_node_runs_without_events_come_from_the_journal(
    remote: RemoteExecutions, other: OtherProcess, milestones: HeldMilestones
) -> None:
    await other.save(node_run("before"))
    hold = milestones.hold(Milestone.STORE_ASKED)
    following = asyncio.create_task(followed(remote))
    await hold.reached()
    await other.save(node_run("lost"))
    await other.move(ExecutionEvent.SUCCEED, announce=True)
    hold.release()
    async with asyncio.timeout(10):
        assert list(dict.fromkeys(nodes_in(await following))) == ["before", "lost"]


async def test_an_execution_that_has_ended_before_is_not_waited_for(
    remote: RemoteExecutions, other: OtherProcess, milestones: HeldMilestones
) -> None:
    await other.save(node_run("start"))
    await other.move(ExecutionEvent.SUCCEED, announce=False)
    async with asyncio.timeout(10):
        assert set(nodes_in(await followed(remote))) == {"start"}
