"""How processes share a database: leases, signals, limits, letters to the broker, duties. On PostgreSQL; a file of
SQLite's is one process's own, which holds everything."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from storage.database.database import Database
from storage.executions.leadership import SqlLeadership
from storage.executions.lease import Lease
from storage.executions.leases import SqlLeases
from storage.executions.outbox import Outbox
from storage.executions.records import records_to_bytes
from storage.executions.store import SqlExecutionStore
from storage.tables.workflows import executions
from tests.storage.executions.test_repositories import KEY, NOW, execution
from tests.support.databases import database_of
from tests.support.engine import FixedClock
from workflow.errors import LeaseLostError, QueueUnavailableError
from workflow.executions import Execution, Resumption
from workflow.identity import LOCAL_ID
from workflow.messages import Job
from workflow.sharing import UNCLAIMED_SECONDS, Signal
from workflow.states import ExecutionState

LEASE = timedelta(seconds=30)
WAITS = (ExecutionState.WAITING,)


@dataclass(eq=False)
class Broker:
    """A broker that keeps what it is sent, or is away."""

    jobs: list[str] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)
    is_away: bool = False

    async def publish(self, job: Job) -> None:
        """Take a job."""
        if self.is_away:
            raise QueueUnavailableError("It is away.", fix="Wait.")
        self.jobs.append(job.execution_id)

    async def bury(self, job: Job, reason: str) -> None:
        """Take a dead letter."""
        self.buried.append(job.execution_id)


@dataclass(eq=False, kw_only=True)
class Process:
    """What a process has of the database."""

    store: SqlExecutionStore
    leases: SqlLeases
    outbox: Outbox


@pytest.fixture
async def database(tmp_path: object) -> AsyncIterator[Database]:
    """A database that processes share."""
    async with database_of("postgresql", tmp_path) as database:  # type: ignore[arg-type]
        yield database


@pytest.fixture
def broker() -> Broker:
    """The broker that all share."""
    return Broker()


@pytest.fixture
def clock() -> FixedClock:
    """The time."""
    clock = FixedClock()
    clock.at = NOW
    return clock


@asynccontextmanager
async def process(name: str, database: Database, broker: Broker, clock: FixedClock) -> AsyncIterator[Process]:
    """A process of this name."""
    lease = Lease(owner=name, seconds=LEASE.total_seconds())
    async with AsyncExitStack() as stack:
        outbox = await stack.enter_async_context(
            Outbox(database, broker=broker, clock=clock, new_id=lambda: str(uuid.uuid4()))  # type: ignore[arg-type]
        )
        store = await stack.enter_async_context(SqlExecutionStore(database, lease=lease, blobs=None, outbox=outbox))
        yield Process(store=store, leases=SqlLeases(database, lease=lease, store=store, outbox=outbox), outbox=outbox)


@pytest.fixture
async def one(database: Database, broker: Broker, clock: FixedClock) -> AsyncIterator[Process]:
    """A process."""
    async with process("one", database, broker, clock) as one:
        yield one


@pytest.fixture
async def two(database: Database, broker: Broker, clock: FixedClock) -> AsyncIterator[Process]:
    """Another one."""
    async with process("two", database, broker, clock) as two:
        yield two


def job_of(execution: Execution) -> Job:
    """The job of an execution."""
    return Job(workflow_id=execution.workflow_id, execution_id=execution.id, trigger="manual")


async def accepted(process: Process, number: int = 1) -> Execution:
    """An execution that one process has taken in, for any to run."""
    made = execution(number)
    process.store.save(made, job=job_of(made))
    await process.store.committed(made.id)
    return made


async def running(process: Process, number: int = 1) -> Execution:
    """An execution that a process has claimed and begun."""
    await accepted(process, number)
    taken = await process.leases.claim_queued(execution(number).id, now=NOW)
    assert taken is not None
    begun = taken.execution.changed(state=ExecutionState.RUNNING, started_at=NOW)
    process.store.save(begun)
    await process.store.committed(begun.id)
    return begun


async def until_sent(broker: Broker, *execution_ids: str) -> None:
    """Wait until the broker has exactly these jobs."""
    async with asyncio.timeout(10):
        while broker.jobs != list(execution_ids):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_what_is_accepted_is_sent_and_of_two_who_would_take_it_one_does(
    one: Process, two: Process, broker: Broker
) -> None:
    made = await accepted(one)
    await until_sent(broker, made.id)
    both = await asyncio.gather(*(each.leases.claim_queued(made.id, now=NOW) for each in (one, two, one, two)))
    (taken,) = [each for each in both if each is not None]
    assert taken == (made, False)


async def test_claims_that_share_statements_have_leases_from_when_they_were_asked_for(
    one: Process, database: Database
) -> None:
    first, second = await accepted(one, 1), await accepted(one, 2)
    claiming = asyncio.create_task(one.leases.claim_queued(first.id, now=NOW))
    for _ in range(3):
        await asyncio.sleep(0)  # its statement is on its way
    await asyncio.gather(claiming, one.leases.claim_queued(second.id, now=NOW + 2 * LEASE))
    query = select(executions.c.lease_expires_at).where(executions.c.id == second.id)
    async with database.statement() as connection:
        assert (await connection.execute(query)).scalar_one() == NOW + 3 * LEASE


async def test_what_nobody_was_told_of_because_the_broker_was_away_is_swept_up_later(
    one: Process, two: Process, broker: Broker, clock: FixedClock
) -> None:
    broker.is_away = True
    first, second = await accepted(one, 1), await accepted(one, 2)
    assert await two.outbox.sweep(before=NOW + LEASE, limit=10) == 0
    broker.is_away = False
    assert await two.outbox.sweep(before=NOW, limit=10) == 0, "they are not that old"
    swept = await asyncio.gather(*(each.outbox.sweep(before=NOW + LEASE, limit=10) for each in (one, two)))
    assert sum(swept) == 2
    assert sorted(broker.jobs) == [first.id, second.id]
    assert await one.outbox.sweep(before=NOW + LEASE, limit=10) == 0


async def test_a_letter_that_was_sent_is_crossed_out(one: Process, database: Database, broker: Broker) -> None:
    made = await accepted(one)
    await until_sent(broker, made.id)
    async with asyncio.timeout(10):
        while await one.outbox.sweep(before=NOW + LEASE, limit=10):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_dead_execution_has_a_dead_letter(one: Process, broker: Broker) -> None:
    begun = await running(one)
    one.store.save(begun.changed(state=ExecutionState.DEAD), job=job_of(begun))
    await one.store.committed(begun.id)
    async with asyncio.timeout(10):
        while not broker.buried:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert await one.leases.dead([begun.id, "another"]) == {begun.id}


async def test_whose_lease_is_over_can_write_no_more(one: Process, two: Process) -> None:
    begun = await running(one)
    late = NOW + LEASE * 2
    (taken,) = await two.leases.claim_expired(now=late, expired_before=late, limit=10)
    assert taken.id == begun.id
    one.store.save(
        begun.changed(state=ExecutionState.SUCCEEDED, finished_at=NOW), [Resumption(key=KEY, at=NOW, by="x")]
    )
    with pytest.raises(LeaseLostError):
        await one.store.committed(begun.id)
    assert (await two.store.get(LOCAL_ID, begun.id)).state is ExecutionState.RUNNING
    assert await two.store.journal(begun.id) == [], "nor does its journal grow"


async def test_what_the_server_still_writes_after_its_connection_broke_is_not_written_twice(
    one: Process, database: Database
) -> None:
    begun = await running(one)
    said = Resumption(key=KEY, at=NOW, by="x")
    mine, token = executions.c.id == begun.id, 77
    async with database.transaction() as lost:
        # What an attempt with this token would have written, and has not committed yet.
        await lost.execute(update(executions).where(mine).values(write_token=token))
        entry = {"execution_id": begun.id, "data": records_to_bytes([said])}
        await lost.execute(text("INSERT INTO journal (execution_id, data) VALUES (:execution_id, :data)"), entry)
        number = (await lost.execute(text("SELECT txid_current()"))).scalar_one()
        one.store.save(begun, [said])
        one.store._commit._gathered[begun.id].in_doubt = [(token, 1)]
        again = asyncio.create_task(one.store.committed(begun.id))
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid::text = :number")
        async with asyncio.timeout(10), database.statement() as connection:
            while not (await connection.execute(waits, {"number": str(number)})).scalar_one():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    await again
    assert await one.store.journal(begun.id) == [said]


async def test_a_job_that_no_worker_took_is_found_when_its_patience_is_over(one: Process, two: Process) -> None:
    made = await accepted(one)
    soon = NOW + LEASE * 2
    assert await two.leases.claim_expired(now=soon, expired_before=soon, limit=10) == []
    late = NOW + timedelta(seconds=UNCLAIMED_SECONDS + 1)
    (found,) = await two.leases.claim_expired(now=soon, expired_before=soon, unclaimed_before=late, limit=10)
    assert found.id == made.id


async def test_only_what_nobody_has_in_hand_can_be_seized(one: Process, two: Process) -> None:
    begun = await running(one)
    assert await two.leases.claim_idle(LOCAL_ID, begun.id, WAITS, now=NOW) is None
    waiting = begun.changed(state=ExecutionState.WAITING, wake_at=NOW + LEASE)
    one.store.save(waiting)
    await one.store.committed(begun.id)
    assert await two.leases.claim_idle("another workspace", begun.id, WAITS, now=NOW) is None
    both = await asyncio.gather(*(each.leases.claim_idle(LOCAL_ID, begun.id, WAITS, now=NOW) for each in (one, two)))
    assert sorted(both, key=bool) == [None, waiting]
    assert await one.leases.claim_due(now=NOW + LEASE, limit=10) == [], "it has a holder"


async def test_what_is_due_goes_to_one_process(one: Process, two: Process) -> None:
    for number in range(10):
        begun = await running(one, number)
        one.store.save(begun.changed(state=ExecutionState.WAITING, wake_at=NOW + LEASE))
        await one.store.committed(begun.id)
    found = await asyncio.gather(*(each.leases.claim_due(now=NOW + LEASE, limit=8) for each in (one, two)))
    assert sorted(each.id for part in found for each in part) == [execution(number).id for number in range(10)]


async def test_a_holder_is_told_what_others_say_and_finds_it_in_the_journal(one: Process, two: Process) -> None:
    begun = await running(one)
    said = Resumption(key=KEY, at=NOW, by="person", data=1)
    assert await two.leases.signal(begun.id, [said]) == "one"
    assert await one.leases.signals() == [Signal(begun.id, 1, False)]
    assert await one.store.journal(begun.id) == [said]
    assert await two.leases.signal(begun.id, [], is_cancelled=True) == "one"
    assert await one.leases.signals(begun.id) == [Signal(begun.id, 2, True)]
    assert await two.leases.signals() == []
    one.store.save(begun.changed(state=ExecutionState.WAITING))
    await one.store.committed(begun.id)
    assert await two.leases.signal(begun.id, [said]) is None, "nobody has it: it can be seized"
    assert await one.store.journal(begun.id) == [said]


async def test_a_claim_of_a_cancelled_execution_says_so(one: Process, two: Process) -> None:
    begun = await running(one)
    await two.leases.signal(begun.id, [], is_cancelled=True)
    late = NOW + LEASE * 2
    (taken,) = await two.leases.claim_expired(now=late, expired_before=late, limit=10)
    two.store.save(taken.changed(state=ExecutionState.QUEUED), job=job_of(taken))
    await two.store.committed(taken.id)
    again = await two.leases.claim_queued(taken.id, now=late)
    assert again is not None
    assert again.is_cancelled


async def test_a_limit_holds_across_processes_and_what_is_held_back_comes_in_its_turn(
    one: Process, two: Process, broker: Broker
) -> None:
    async def admitted(number: int) -> bool:
        at_work = (one, two)[number % 2]
        await accepted(at_work, number)
        taken = await at_work.leases.claim_queued(execution(number).id, now=NOW)
        assert taken is not None
        return await at_work.leases.admit(taken.execution, job_of(taken.execution), limit=2)

    is_in = await asyncio.gather(*map(admitted, range(6)))
    assert sum(is_in) == 2
    async with asyncio.timeout(10):
        while len(broker.jobs) < 6:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    broker.jobs.clear()
    assert await one.leases.deferred_workflows(limit=10) == ["w"]
    await one.leases.release_deferred("w", limit=2)
    assert broker.jobs == []
    first = is_in.index(True)
    holder = (one, two)[first % 2]
    holder.store.save(execution(first, state=ExecutionState.SUCCEEDED, finished_at=NOW))
    await holder.store.committed(execution(first).id)
    await two.leases.release_deferred("w", limit=2)
    next_one = execution(is_in.index(False)).id
    await until_sent(broker, next_one)
    assert await two.leases.claim_queued(next_one, now=NOW) is not None


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_duty_is_one_process_s_until_it_resigns_or_its_time_is_over(kind: str, tmp_path: object) -> None:
    async with database_of(kind, tmp_path) as database:  # type: ignore[arg-type]
        one, two = (SqlLeadership(database, holder=name) for name in ("one", "two"))
        assert await one.hold("sweep", now=NOW, seconds=30)
        assert not await two.hold("sweep", now=NOW, seconds=30)
        assert await two.hold("retention", now=NOW, seconds=30)
        assert await one.hold("sweep", now=NOW + timedelta(seconds=20), seconds=30), "it is prolonged"
        assert not await two.hold("sweep", now=NOW + timedelta(seconds=40), seconds=30)
        assert await two.hold("sweep", now=NOW + timedelta(seconds=51), seconds=30)
        await two.resign("sweep")
        assert await one.hold("sweep", now=NOW + timedelta(seconds=52), seconds=30)
