"""Schedules fired in virtual time, over real ledgers: each slot is started once or is named, whatever is killed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, update

from engine.nodes.schedule import ScheduleParameters
from engine.schedules.firing import ScheduleFiring
from storage.database.database import Database
from storage.tables.schedules import schedules
from storage.tables.workflows import executions
from storage.workflows.repository import SqlWorkflowRepository
from storage.workflows.schedules import SqlSchedules
from tests.support.databases import database_of
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.publication import Publication
from workflow.errors import InvalidArgumentsError, LeaseLostError, QueueFullError
from workflow.identity import LOCAL_ID
from workflow.schedules.schedules import Schedule, ScheduleState, ScheduleTrigger, SlotEntry

START = datetime(2026, 3, 28, 20, tzinfo=UTC)
DEFINITION = WorkflowDefinition.model_validate({"name": "one", "nodes": {"tick": {"type": "manual"}}})
ZONES = ("Europe/Lisbon", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca")


class KilledError(Exception):
    """The process ends here."""


@dataclass
class World:
    """A database, a clock, and the executions that processes have started."""

    database: Database
    at: datetime = START
    inputs: list[dict[str, Any]] = field(default_factory=list)
    refuse: Exception | None = None
    kill: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - it is to be the same each time
    cancelled: list[str] = field(default_factory=list)

    @property
    def store(self) -> SqlSchedules:
        """The real ledger."""
        return SqlSchedules(self.database)

    def now(self) -> datetime:
        """The clock."""
        return self.at

    def perhaps_die(self) -> None:
        """Where tests want it, the process is killed."""
        if self.chance.random() < self.kill:
            raise KilledError

    async def publish(self, *parameters: dict[str, Any]) -> None:
        """Publish a workflow with a trigger for each of these parameters."""
        for each in parameters:
            ScheduleParameters.model_validate(each)
        triggers = [
            ScheduleTrigger(new_id=f"schedule-{n:04}", node=f"tick {n}", parameters=each, timezone="UTC")
            for n, each in enumerate(parameters)
        ]
        await SqlWorkflowRepository(self.database, clock=self).create(
            LOCAL_ID, "w", DEFINITION, change="x", publication=Publication(schedules=triggers), now=self.at
        )

    def process(self) -> ScheduleFiring:
        """The duty of a process that has just started."""
        authoring: Any = SimpleNamespace(version=self._version, compiled=lambda stored: stored)
        intake: Any = SimpleNamespace(accept=self._accept)
        canceller: Any = SimpleNamespace(cancel=self._cancel)
        store: Any = Dying(self)
        announcements: Any = None
        return ScheduleFiring(
            store=store,
            authoring=authoring,
            intake=intake,
            canceller=canceller,
            announcements=announcements,
            clock=self,
        )

    async def fire(self) -> None:
        """What a process does at one moment; a new one goes on where it is killed."""
        while True:
            try:
                await self.process().fire_due()
            except KilledError:
                continue
            return

    async def run_until(self, end: datetime, *, step: timedelta = timedelta(minutes=1)) -> None:
        """Let time go by, and fire what is due."""
        while self.at < end:
            due = await self.store.next_due()
            self.at = min(end, max(self.at + timedelta(seconds=1), due)) if due is not None else end
            await self.fire()

    async def end(self, execution_id: str, state: str = "succeeded") -> None:
        """An execution ends."""
        await self._execute(update(executions).where(executions.c.id == execution_id).values(state=state))

    async def ledger(self, number: int = 0) -> list[SlotEntry]:
        """A schedule's ledger, oldest first."""
        page = await self.store.ledger(LOCAL_ID, f"schedule-{number:04}", limit=10_000)
        return list(reversed(page.items))

    async def schedule(self, number: int = 0) -> Schedule:
        """A schedule as it is now."""
        return await self.store.get(LOCAL_ID, f"schedule-{number:04}")

    async def _accept(self, compiled: Any, submission: Any, *, slot: SlotEntry) -> None:
        """As the intake does: the execution and its entry are written together or not at all, and once."""
        del compiled
        self.perhaps_die()
        if self.refuse is not None:
            raise self.refuse
        if await self.store.states([submission.execution_id]):
            raise LeaseLostError("Another process has it.", fix="Nothing.")
        self.inputs.append(submission.data)
        row = {
            "id": submission.execution_id,
            "owner": LOCAL_ID,
            "workflow_id": "w",
            "state": "running",
            "created_at": self.at,
            "data": b"",
        }
        await self._execute(insert(executions).values(row))
        await self.store.add([slot])
        self.perhaps_die()

    async def _cancel(self, owner: str, execution_id: str) -> None:
        del owner
        self.cancelled.append(execution_id)
        await self.end(execution_id, "cancelled")

    async def _version(self, *_: Any) -> None:
        """Any; the intake does not look."""

    async def _execute(self, statement: Any) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(statement)


class Dying:
    """The real ledger, in a process that may be killed before it settles."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.store, name)

    async def settle(self, settled: Any) -> None:
        """Perhaps."""
        self._world.perhaps_die()
        await self._world.store.settle(settled)
        self._world.perhaps_die()


@pytest.fixture(params=["sqlite", "postgresql"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Time has not begun yet."""
    async with database_of(request.param, tmp_path) as database:
        yield World(database)


def outcomes(entries: list[SlotEntry]) -> dict[str, int]:
    """How many slots had which outcome."""
    counted: Counter[str] = Counter()
    for entry in entries:
        counted[entry.outcome.value] += entry.count
    return dict(counted)


async def test_each_slot_starts_a_run_with_its_time(world: World) -> None:
    await world.publish(
        {"cron": "0 9 * * *", "timezone": "Europe/Lisbon", "input": {"list": "all"}, "overlap": "allow"}
    )
    await world.run_until(START + timedelta(days=3))
    assert world.inputs == [
        {
            "list": "all",
            "slot_at": f"2026-03-{day}T08:00:00.000Z",
            "local_time": f"2026-03-{day}T09:00:00+01:00",
            "timezone": "Europe/Lisbon",
            "outcome": "started",
        }
        for day in (29, 30, 31)
    ]
    schedule = await world.schedule()
    assert schedule.next_slot_at == datetime(2026, 4, 1, 8, tzinfo=UTC)


async def test_time_without_a_server_is_caught_up_as_the_policy_says(world: World) -> None:
    await world.publish({"every": "5 minutes", "overlap": "allow", "catch_up_seconds": 3600, "catch_up_most": 2})
    await world.fire()
    world.at = START + timedelta(hours=5)
    await world.fire()
    assert outcomes(await world.ledger()) == {"missed": 57, "caught_up": 2, "started": 1}
    (missed, *caught) = await world.ledger()
    assert (missed.count, missed.reason) == (57, "late")
    assert [entry.slot_at for entry in caught] == [world.at - timedelta(minutes=each) for each in (10, 5, 0)]


async def test_a_month_without_a_server_is_one_entry(world: World) -> None:
    await world.publish({"every": "20 seconds", "overlap": "allow"})
    await world.fire()
    world.at = START + timedelta(days=30)
    await world.fire()
    entries = await world.ledger()
    assert outcomes(entries) == {"missed": 129_597, "caught_up": 1, "started": 2}
    assert len(entries) == 4


async def test_a_run_that_goes_on_is_dealt_with_as_the_policy_says(world: World) -> None:
    policies = ("skip", "allow", "queue", "cancel")
    await world.publish(*({"every": "1 minute", "overlap": each} for each in policies))
    await world.run_until(START + timedelta(minutes=4))
    assert outcomes(await world.ledger(0)) == {"started": 1, "skipped": 3}
    assert outcomes(await world.ledger(1)) == {"started": 4}
    assert outcomes(await world.ledger(2)) == {"started": 1, "skipped": 2}
    assert outcomes(await world.ledger(3)) == {"started": 4}
    assert len(world.cancelled) == 3
    queued = await world.schedule(2)
    assert queued.waiting_slot_at == START + timedelta(minutes=2)
    await world.end(queued.recent[-1])
    await world.run_until(START + timedelta(minutes=4, seconds=10))
    assert outcomes(await world.ledger(2)) == {"started": 2, "skipped": 2}
    assert (await world.schedule(2)).waiting_slot_at is None


async def test_runs_that_fail_in_a_row_pause_it(world: World) -> None:
    await world.publish({"every": "1 minute", "pause_after_failures": 2})
    for minute in range(1, 4):
        await world.run_until(START + timedelta(minutes=minute))
        recent = (await world.schedule()).recent
        if recent:
            await world.end(recent[-1], "succeeded" if minute == 1 else "failed")
    await world.run_until(START + timedelta(minutes=10))
    schedule = await world.schedule()
    assert (schedule.state, schedule.note) == (ScheduleState.PAUSED, "its last 2 runs failed")
    assert outcomes(await world.ledger()) == {"started": 3}


async def test_a_start_that_is_refused_is_in_the_ledger_and_one_without_room_is_tried_again(world: World) -> None:
    await world.publish({"every": "1 minute", "overlap": "allow"})
    await world.fire()
    world.refuse = InvalidArgumentsError("The input is wrong.", pointer="/input", fix="Mend it.")
    await world.run_until(START + timedelta(minutes=1))
    world.refuse = QueueFullError(1)
    await world.run_until(START + timedelta(minutes=2, seconds=10))
    assert outcomes(await world.ledger()) == {"failed": 1}
    world.refuse = None
    await world.run_until(START + timedelta(minutes=2, seconds=12))
    assert [(e.outcome.value, e.reason) for e in await world.ledger()] == [
        ("failed", "The input is wrong."),
        ("started", None),
    ]


async def test_a_clock_set_back_fires_nothing_twice_and_one_set_forward_what_the_policy_says(world: World) -> None:
    await world.publish({"every": "1 minute", "overlap": "allow"})
    await world.run_until(START + timedelta(minutes=10))
    world.at = START + timedelta(minutes=3)
    await world.fire()
    await world.run_until(START + timedelta(minutes=12))
    assert outcomes(await world.ledger()) == {"started": 12}
    world.at = START + timedelta(minutes=120)
    await world.fire()
    assert outcomes(await world.ledger()) == {"started": 13, "missed": 106, "caught_up": 1}


async def test_one_that_has_no_further_slot_ends(world: World) -> None:
    await world.publish({"every": "1 minute", "ending": "2026-03-28T20:02:30Z"})
    await world.run_until(START + timedelta(minutes=5))
    schedule = await world.schedule()
    assert (schedule.state, schedule.note) == (ScheduleState.ENDED, "it has no further slot")
    assert outcomes(await world.ledger()) == {"started": 1, "skipped": 1}


async def test_parameters_that_nobody_can_read_stop_that_schedule_alone(world: World) -> None:
    await world.publish({"every": "1 minute"}, {"every": "1 minute"})
    broken = await world.schedule(0)
    async with world.database.transaction() as connection:
        await connection.execute(update(schedules).where(schedules.c.id == broken.id).values(parameters={"x": 1}))
    await world.run_until(START + timedelta(minutes=1))
    assert (await world.schedule(0)).state is ScheduleState.PAUSED
    assert outcomes(await world.ledger(1)) == {"started": 1}


@pytest.mark.parametrize("count", [40, pytest.param(1_000, marks=pytest.mark.long)])
async def test_schedules_in_five_zones_over_changes_of_clocks_with_kills_at_random(world: World, count: int) -> None:
    """Each slot is in the ledger exactly once; those that start have one execution, and no execution has no slot."""
    chance = random.Random(7)  # noqa: S311 - it is to be the same each time
    parameters: list[dict[str, Any]] = []
    for number in range(count):
        zone = ZONES[number % len(ZONES)]
        cron = f"{chance.randrange(60)} {chance.choice(['*/6', '1,2,3', '2', '0-3', str(chance.randrange(24))])} * * *"
        parameters.append(
            {"cron": cron, "timezone": zone, "overlap": "allow", "jitter_seconds": chance.choice([0, 40])}
        )
    await world.publish(*parameters)
    world.kill = 0.05 if count < 100 else 0.002
    while world.at < START + timedelta(hours=36):
        await world.fire()
        world.at += timedelta(minutes=chance.choice([1, 7, 15, 45]))
    world.kill = 0.0
    world.at = START + timedelta(hours=37)
    await world.fire()
    started: set[str] = set()
    for number, each in enumerate(parameters):
        made = ScheduleParameters.model_validate(each)
        last = (await world.schedule(number)).last_slot_at
        wanted = [slot.at for slot in made.times("UTC").until(START, last, most=1_000)]
        seen: list[datetime] = []
        for entry in await world.ledger(number):
            until = entry.until_at or entry.slot_at
            covered = [at for at in wanted if entry.slot_at <= at <= until]
            assert len(covered) == entry.count
            seen += covered
            if entry.execution_id is not None:
                assert entry.execution_id not in started
                started.add(entry.execution_id)
        assert sorted(seen) == wanted, each
        assert last >= START + timedelta(hours=36) - timedelta(days=1)
    assert len(world.inputs) == len(started)
