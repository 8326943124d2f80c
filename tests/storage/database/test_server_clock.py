"""Leases go by the database's clock, whatever the processes' own clocks say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.database.database import Database
from storage.database.server_clock import LONGEST_ANSWER_SECONDS, ServerClock
from storage.executions.leadership import SqlLeadership
from tests.storage.executions.test_repositories import execution
from tests.storage.executions.test_sharing import LEASE, WAITS, Broker, Process, job_of, process
from tests.support.databases import database_of
from tests.support.engine import FixedClock
from workflow.identity import LOCAL_ID
from workflow.states import ExecutionState

NOON = datetime(2024, 1, 6, 12, tzinfo=UTC)
SKEWS = [timedelta(), timedelta(hours=-5), timedelta(days=3), timedelta(seconds=45), timedelta(seconds=-45)]


class Ticks:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.at


def test_it_goes_on_between_two_answers_whatever_the_own_clock_does() -> None:
    ticks = Ticks()
    clock = ServerClock(ticks)
    assert clock.ahead_of(NOON) == timedelta(), "before the first answer the own clock is all there is"
    began = clock.began
    ticks.at += 1
    clock.answered(NOON.timestamp(), began=began)
    assert clock.ahead_of(NOON) == timedelta(seconds=0.5), "the answer is from the middle"
    ticks.at += 9.5
    for own in (NOON, NOON + timedelta(days=400), NOON - timedelta(days=400)):
        assert own + clock.ahead_of(own) == NOON + timedelta(seconds=10)


def test_an_answer_that_took_long_says_nothing() -> None:
    ticks = Ticks()
    clock = ServerClock(ticks)
    began = clock.began
    ticks.at += LONGEST_ANSWER_SECONDS + 1
    clock.answered(NOON.timestamp(), began=began)
    assert clock.ahead_of(NOON) == timedelta()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A database that processes share, and whose clock they know."""
    async with database_of("postgresql", tmp_path) as database:
        await database.ask_time()
        yield database


@pytest.fixture
async def one(database: Database) -> AsyncIterator[Process]:
    """A process whose clock is right."""
    clock = FixedClock()
    clock.at = datetime.now(UTC)
    async with process("one", database, Broker(), clock) as one:
        yield one


def own_clock(skew: timedelta) -> FixedClock:
    """A clock that is wrong by this."""
    clock = FixedClock()
    clock.at = datetime.now(UTC) + skew
    return clock


@pytest.mark.parametrize("skew", SKEWS)
async def test_a_process_whose_clock_is_wrong_claims_what_is_over_and_nothing_else(
    database: Database, one: Process, skew: timedelta
) -> None:
    made = execution(1)
    one.store.save(made, job=job_of(made))
    await one.store.committed(made.id)
    claimed = await one.leases.claim_queued(made.id, now=datetime.now(UTC))
    assert claimed is not None
    clock = own_clock(skew)
    async with process("two", database, Broker(), clock) as two:
        taken = await two.leases.claim_expired(now=clock.at, expired_before=clock.at, limit=9)
        assert taken == []
        running = [ExecutionState.RUNNING, ExecutionState.QUEUED]
        assert await two.leases.claim_idle(LOCAL_ID, made.id, running, now=clock.at) is None
        await one.leases.renew(now=datetime.now(UTC) - LEASE - timedelta(seconds=5))
        assert await two.leases.claim_expired(now=clock.at, expired_before=clock.at, limit=9) == [], "one's is right"
        await one.leases.release()
        taken = await two.leases.claim_expired(now=clock.at, expired_before=clock.at, limit=9)
        assert [each.id for each in taken] == [made.id]
        await two.leases.renew(now=clock.at)
    now = datetime.now(UTC)
    assert await one.leases.claim_expired(now=now, expired_before=now, limit=9) == [], "its lease has begun just now"


@pytest.mark.parametrize("skew", SKEWS)
async def test_a_job_is_lost_by_the_databases_clock(database: Database, one: Process, skew: timedelta) -> None:
    clock = own_clock(skew)
    async with process("two", database, Broker(), clock) as two:
        made = execution(1)
        two.store.save(made, job=job_of(made))
        await two.store.committed(made.id)
    now = datetime.now(UTC)
    assert await one.leases.claim_expired(now=now, expired_before=now, unclaimed_before=now, limit=9) == []
    later = now + timedelta(seconds=400)
    lost = await one.leases.claim_expired(now=now, expired_before=now, unclaimed_before=later, limit=9)
    assert [each.id for each in lost] == [made.id]
    assert await one.leases.claim_idle(LOCAL_ID, made.id, WAITS, now=now) is None


@pytest.mark.parametrize("skew", SKEWS)
async def test_a_duty_is_one_processes_whatever_clocks_say(database: Database, skew: timedelta) -> None:
    right, wrong = SqlLeadership(database, holder="one"), SqlLeadership(database, holder="two")
    assert await right.hold("tidy", now=datetime.now(UTC), seconds=30)
    assert not await wrong.hold("tidy", now=datetime.now(UTC) + skew, seconds=30)
    await right.resign("tidy")
    assert await wrong.hold("tidy", now=datetime.now(UTC) + skew, seconds=30)
    assert not await right.hold("tidy", now=datetime.now(UTC), seconds=30)
