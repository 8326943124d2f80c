"""Leases of executions, signals to their holders, and concurrency limits that hold across processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database
from storage.executions.lease import Lease
from storage.executions.outbox import DEFERRED, WORK, Outbox
from storage.executions.reading import is_lost
from storage.executions.records import records_to_bytes
from storage.executions.store import SqlExecutionStore
from storage.tables.workflows import executions, outbox
from workflow.errors import StorageError
from workflow.executions import Execution, Record
from workflow.lost_data import LostDataError
from workflow.messages import Job
from workflow.sharing import ClaimedExecution, Signal
from workflow.states import ACTIVE_STATES, FINISHED, ExecutionEvent, ExecutionState, next_state

logger = logging.getLogger(__name__)

_ACTIVE_STATES = tuple(state.value for state in ACTIVE_STATES)
_QUEUED, _WAITING = ExecutionState.QUEUED.value, ExecutionState.WAITING.value
_RUNNING = next_state(ExecutionState.QUEUED, ExecutionEvent.CLAIM).value
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_CLAIM = (
    update(executions)
    .where(
        executions.c.id == any_(bindparam("ids", type_=ARRAY(Text))),
        executions.c.state == _QUEUED,
        executions.c.lease_owner.is_(None),
    )
    .values(lease_owner=bindparam("holder"), lease_expires_at=bindparam("end"), signals=0)
    .returning(executions)
)
"""What every job costs: the claim of its execution. The counter of signals begins anew, for the claimer reads the
whole journal."""


class SqlLeases:
    """Implements :class:`workflow.sharing.Leases`.

    On SQLite one process holds every lease: there nothing need be asked before it is changed.

    Elsewhere each of these is one statement or transaction on the execution's row, so that the row's lock decides:

    1. Two processes claim the same execution. The first changes its holder; the second looks at the row again when
       it has the lock, and finds nothing to claim. Claims of many skip rows that another one has locked.
    2. A claim meets a holder that is late but alive. Where the renewal comes first the lease is not over; where the
       claim comes first the renewal finds no row of its own, and all that the old holder still writes is refused
       (:class:`storage.executions.postgresql_writer.PostgresqlWriter`).
    3. A job comes twice. Where the first is still being claimed, the second is answered ``None`` at once; later it
       finds the row claimed.
    4. A signal meets the end of a lease. Where the holder's last row comes first, nobody holds it: nothing is stored,
       and the caller claims the execution itself. Where the signal comes first, it stays in the row and the journal,
       and the holder asks for the execution's signals once it has stored its last row.
    5. A signal comes while its holder reads an earlier one. The row counts signals, and the holder remembers up to
       which it has seen, so a later one is never taken for the earlier.
    6. A claimed row cannot be read, for its data is lost. This process ends it, as its holder, and returns the others:
       what can be read must not wait for it. Only the row itself is changed, so its letter, if any, brings a worker to
       an execution that is queued no more (3).
    7. This process ends. It has ended its work before it calls :meth:`release`; what it still writes then would only
       make others wait for the end of a lease.
    """

    def __init__(
        self, database: Database, *, lease: Lease, store: SqlExecutionStore, outbox: Outbox | None = None
    ) -> None:
        self._database = database
        self._lease = lease
        self._store = store
        self._outbox = outbox
        self._wanted: dict[str, asyncio.Future[ClaimedExecution | None]] = {}
        self._wanted_at = _LONG_AGO
        self._claiming: asyncio.Task[None] | None = None

    async def claim_expired(
        self, *, now: datetime, expired_before: datetime, unclaimed_before: datetime | None = None, limit: int
    ) -> Sequence[Execution]:
        """Claim executions whose lease has expired; see the port."""
        ahead = self._database.clock.ahead_of(now)
        expired_before, unclaimed_before = expired_before + ahead, (unclaimed_before or expired_before) + ahead
        holder, end = executions.c.lease_owner, executions.c.lease_expires_at
        is_free: ColumnElement[bool]
        if self._outbox is None:
            is_free = and_(or_(holder.is_(None), holder != self._lease.owner), or_(end.is_(None), end < expired_before))
        else:
            is_free = or_(
                and_(holder != self._lease.owner, end < expired_before),
                and_(holder.is_(None), end < unclaimed_before),
            )
        free = select(executions.c.id).where(executions.c.state.in_(_ACTIVE_STATES), is_free)
        oldest = executions.c.created_at, executions.c.id
        found = await self._claim_all(free.order_by(*oldest).limit(limit), now)
        if not self._database.is_sqlite and len(found) < limit:
            # A process claims a waiting execution to let it go on. While it does, others signal it; when it ends before
            # it has stored that, nothing else would look at the row again: it is neither active, nor due.
            was_signalled = and_(executions.c.state == _WAITING, executions.c.signals > 0, end < expired_before)
            left = select(executions.c.id).where(was_signalled).order_by(*oldest).limit(limit - len(found))
            found += await self._claim_all(left, now)
        return found

    async def claim_due(self, *, now: datetime, limit: int) -> Sequence[Execution]:
        """Claim waiting executions whose time has come; see the port."""
        query = select(executions).where(executions.c.wake_at <= now).order_by(executions.c.wake_at).limit(limit)
        if self._database.is_sqlite:
            async with self._database.statement() as connection:
                rows = (await connection.execute(query)).all()
            found, unreadable = await self._readable(rows, now)
            if unreadable and not found:
                raise next(iter(unreadable.values()))  # else the caller would look again at once, and find the same
            return found
        free = query.with_only_columns(executions.c.id).where(executions.c.state == _WAITING, self._is_free(now))
        return await self._claim_all(free, now)

    async def next_due(self) -> datetime | None:
        """When the next waiting execution goes on; see the port."""
        async with self._database.statement() as connection:
            found: datetime | None = (await connection.execute(select(func.min(executions.c.wake_at)))).scalar_one()
        return found

    async def claim_idle(
        self, owner: str, execution_id: str, states: Collection[ExecutionState], *, now: datetime
    ) -> Execution | None:
        """Claim an execution that nobody holds; see the port."""
        if self._database.is_sqlite:
            execution = await self._store.get(owner, execution_id)
            if is_lost(execution):
                execution = await self._store.end_lost(owner, execution_id, now=now)
            return execution if execution.state in states else None
        mine = and_(
            executions.c.id == execution_id,
            executions.c.owner == owner,
            executions.c.state.in_([state.value for state in states]),
        )
        found = await self._claim_all(select(executions.c.id).where(mine, self._is_free(now)), now)
        return found[0] if found else None

    async def claim_queued(self, execution_id: str, *, now: datetime) -> ClaimedExecution | None:
        """Claim a queued execution; see the port. Those asked for while a statement is on its way share the next.

        1. More are asked for while a statement is on its way. They gather in a new dictionary, which the task takes
           when it has answered the old one; it ends only when nothing has gathered, with no await in between.
        2. The task goes on for as long as jobs keep coming. A lease counts from the latest asking, not from the first
           one, which may be long ago by then.
        3. The caller is cancelled while it waits, which only the end of the process does. The execution is claimed all
           the same, and :meth:`release` ends its lease.
        """
        if execution_id in self._wanted:
            return None  # the same job, delivered twice
        wanted = self._wanted[execution_id] = asyncio.get_running_loop().create_future()
        self._wanted_at = now
        if self._claiming is None:
            self._claiming = asyncio.create_task(self._claim_wanted(), name="claims")
        return await asyncio.shield(wanted)

    async def _claim_wanted(self) -> None:
        """Claim what is asked for, statement by statement, until nothing is."""
        while self._wanted:
            await asyncio.sleep(0)  # what is asked for in the same turn goes along
            wanted, self._wanted = self._wanted, {}
            try:
                claimed = await self._claim_all_queued(list(wanted), self._wanted_at)
            except Exception as error:  # for the callers to handle
                for future in wanted.values():
                    if not future.done():
                        future.set_exception(error)
                continue
            for execution_id, future in wanted.items():
                if not future.done():
                    future.set_result(claimed.get(execution_id))
        self._claiming = None

    async def _claim_all_queued(self, execution_ids: Sequence[str], now: datetime) -> dict[str, ClaimedExecution]:
        given = {"ids": execution_ids, "holder": self._lease.owner, "end": self._end(now)}
        async with self._database.statement() as connection:
            rows = (await connection.execute(_CLAIM, given)).all()
        found = await self._claimed(rows, now)
        cancelled = {row.id for row in rows if row.is_cancelled}
        return {execution.id: ClaimedExecution(execution, execution.id in cancelled) for execution in found}

    async def admit(self, execution: Execution, job: Job, *, limit: int) -> bool:
        """Let a claimed execution run, or defer it; see the port.

        Transactions of one workflow's limit come one after the other, for each locks the workflow in ``_room``:

        1. Two processes admit at the same moment. The second counts what the first has let run.
        2. An execution ends while another one is admitted. Its end is stored outside the lock, so the count may be
           one too high, never too low. The process that stored the end calls :meth:`release_deferred` afterwards,
           which waits for the lock and then finds what was deferred. Should that process die first, a duty does it.
        3. The letter that brought the execution here is not crossed out yet, or is being swept. Its row is replaced
           by the deferred one; crossing out names the older token. An older copy that arrives later claims the
           execution once more and comes here again.
        """
        if self._outbox is None:
            raise RuntimeError("only what a broker carries can be deferred")
        mine = (executions.c.id == execution.id) & (executions.c.lease_owner == self._lease.owner)
        letter = self._outbox.letter(execution, job)._replace(place=DEFERRED)
        async with self._database.transaction() as connection:
            if await _room(connection, execution.workflow_id, limit):
                await connection.execute(update(executions).where(mine).values(state=_RUNNING))
                return True
            await connection.execute(update(executions).where(mine).values(lease_owner=None, lease_expires_at=None))
            await connection.execute(delete(outbox).where(outbox.c.execution_id == execution.id))
            await connection.execute(insert(outbox).values(letter.columns()))
        return False

    async def release_deferred(self, workflow_id: str, *, limit: int) -> None:
        """Send what was deferred; see the port.

        1. The process ends after the commit and before it carries the letters. Their rows are to be sent now, and old:
           the next sweep sends them.
        2. Two ends in a row release more than there is room for, since what is released does not run yet. Each is
           admitted when its job has come, and deferred again where there is no room.
        """
        if self._outbox is None:
            return
        async with self._database.transaction() as connection:
            room = await _room(connection, workflow_id, limit)
            first = (
                select(outbox.c.execution_id)
                .where(outbox.c.workflow_id == workflow_id, outbox.c.place == DEFERRED)
                .order_by(outbox.c.created_at, outbox.c.execution_id)
                .limit(room)
            )
            go_on = update(outbox).where(outbox.c.execution_id.in_(first)).values(place=WORK).returning(outbox)
            rows = (await connection.execute(go_on)).all() if room else []
            letters = await self._outbox.letters_in(connection, rows)
            # Also those without a letter that can be read: they count as lost on the way, and get another one.
            ids = [row.execution_id for row in rows]
            end = self._outbox.unclaimed_end()
            await connection.execute(update(executions).where(executions.c.id.in_(ids)).values(lease_expires_at=end))
        self._outbox.carry(letters)

    async def deferred_workflows(self, *, limit: int) -> Sequence[str]:
        """Workflows that have deferred executions; see the port."""
        query = select(outbox.c.workflow_id).where(outbox.c.place == DEFERRED).distinct().limit(limit)
        async with self._database.statement() as connection:
            return (await connection.execute(query)).scalars().all()

    async def dead(self, execution_ids: Sequence[str]) -> Collection[str]:
        """Which of these executions are dead; see the port."""
        query = select(executions.c.id).where(
            executions.c.id.in_(execution_ids), executions.c.state == ExecutionState.DEAD.value
        )
        async with self._database.statement() as connection:
            return set((await connection.execute(query)).scalars())

    async def count(self, workflow_id: str) -> int:
        """How many of a workflow's executions are active; see the port."""
        query = select(func.count()).where(
            executions.c.workflow_id == workflow_id, executions.c.state.in_(_ACTIVE_STATES)
        )
        async with self._database.statement() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def signal(self, execution_id: str, records: Sequence[Record], *, is_cancelled: bool = False) -> str | None:
        """Store something for the holder; see the port."""
        raise_count = (
            update(executions)
            .where(executions.c.id == execution_id, executions.c.lease_owner.isnot(None))
            .values(
                signals=executions.c.signals + 1, is_cancelled=or_(executions.c.is_cancelled, literal(is_cancelled))
            )
            .returning(executions.c.lease_owner)
        )
        async with self._database.transaction() as connection:
            holder: str | None = (await connection.execute(raise_count)).scalar_one_or_none()
            if holder is not None and records:
                # The row is locked by now, so the position is behind all that its holder has written.
                entry = (execution_id, records_to_bytes(records))
                await connection.exec_driver_sql("INSERT INTO journal (execution_id, data) VALUES ($1, $2)", entry)
        return holder

    async def signals(self, execution_id: str | None = None) -> Sequence[Signal]:
        """Signals that others have stored; see the port."""
        if self._database.is_sqlite:
            return ()
        query = select(executions.c.id, executions.c.signals, executions.c.is_cancelled).where(executions.c.signals > 0)
        if execution_id is not None:
            query = query.where(executions.c.id == execution_id)
        else:
            query = query.where(executions.c.lease_owner == self._lease.owner)
        async with self._database.statement() as connection:
            return [Signal(*row) for row in await connection.execute(query)]

    async def renew(self, *, now: datetime) -> None:
        """Prolong the leases; see the port."""
        end = self._end(now)
        async with self._database.statement() as connection:
            await connection.execute(
                update(executions)
                .where(executions.c.lease_owner == self._lease.owner, executions.c.state.in_(_ACTIVE_STATES))
                .values(lease_expires_at=end)
            )

    async def release(self) -> None:
        """Give up the leases; see the port."""
        mine = update(executions).where(executions.c.lease_owner == self._lease.owner)
        async with self._database.statement() as connection:
            await connection.execute(mine.values(lease_expires_at=_LONG_AGO))

    async def _claim_all(self, free: Select[Any], now: datetime) -> list[Execution]:
        """Claim what a query of ids finds, except what another process is claiming."""
        if not self._database.is_sqlite:
            free = free.with_for_update(skip_locked=True)
        claim = (
            update(executions)
            .where(executions.c.id.in_(free))
            .values(lease_owner=self._lease.owner, lease_expires_at=self._end(now))
            .returning(executions)
        )
        async with self._database.statement() as connection:
            rows = sorted((await connection.execute(claim)).all(), key=lambda row: (row.created_at, row.id))
        return await self._claimed(rows, now)

    def _end(self, now: datetime) -> datetime:
        """The end of leases that begin now, by the clock that all processes share."""
        return self._lease.from_(now + self._database.clock.ahead_of(now))

    def _is_free(self, now: datetime) -> ColumnElement[bool]:
        """Whether nobody holds it. Queued ones whose lease is over are for :meth:`claim_expired`."""
        shared = now + self._database.clock.ahead_of(now)
        is_over = and_(executions.c.lease_expires_at < shared, executions.c.state != _QUEUED)
        return or_(executions.c.lease_owner.is_(None), is_over)

    async def _claimed(self, rows: Sequence[Any], now: datetime) -> list[Execution]:
        """The executions of rows that were claimed. What cannot be read now is given back, for the next look."""
        found, unreadable = await self._readable(rows, now)
        if unreadable:
            ids = list(unreadable)
            mine = and_(executions.c.id.in_(ids), executions.c.lease_owner == self._lease.owner)
            async with self._database.statement() as connection:
                await connection.execute(
                    update(executions).where(mine).values(lease_owner=None, lease_expires_at=_LONG_AGO)
                )
        return found

    async def _readable(self, rows: Sequence[Any], now: datetime) -> tuple[list[Execution], dict[str, StorageError]]:
        """The executions of these rows, and by id why others cannot be read now. One whose data is lost has failed
        afterwards, and is in neither: no row's failure is another one's."""
        found: list[Execution] = []
        lost: list[Any] = []
        unreadable: dict[str, StorageError] = {}
        for row in rows:
            try:
                found.append(self._store.adopted(row))
            except LostDataError:
                lost.append(row)
            except StorageError as error:
                unreadable[row.id] = error
        ending = (self._store.end_lost(row.owner, row.id, now=now) for row in lost)
        for row, ended in zip(lost, await asyncio.gather(*ending, return_exceptions=True), strict=True):
            if isinstance(ended, StorageError):
                unreadable[row.id] = ended
            elif isinstance(ended, BaseException):
                raise ended
            elif ended.state not in FINISHED:
                found.append(ended)
        for execution_id, reason in unreadable.items():
            logger.warning("execution %s cannot be read now: %s", execution_id, reason.message)
        return found, unreadable


async def _room(connection: AsyncConnection, workflow_id: str, limit: int) -> int:
    """How many more of a workflow's executions may run; the workflow is locked until the transaction ends."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:id, 0))"), {"id": workflow_id})
    at_work = select(func.count()).where(
        executions.c.workflow_id == workflow_id,
        executions.c.lease_owner.isnot(None),
        executions.c.state == _RUNNING,
    )
    return max(0, limit - int((await connection.execute(at_work)).scalar_one()))
