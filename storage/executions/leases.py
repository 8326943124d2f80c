"""Who has an execution in hand: leases, what others tell their holders, and limits that hold across processes."""

from __future__ import annotations

import asyncio
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
from storage.executions.outbox import HELD, WORK, Outbox, letter_of
from storage.executions.records import records_to_bytes
from storage.executions.store import SqlExecutionStore
from storage.tables.workflows import executions, outbox
from workflow.executions import Execution, Record
from workflow.messages import Job
from workflow.sharing import ClaimedExecution, Signal
from workflow.states import ACTIVE_STATES, ExecutionState

_HELD_STATES = tuple(state.value for state in ACTIVE_STATES)
_QUEUED, _RUNNING, _WAITING = ExecutionState.QUEUED.value, ExecutionState.RUNNING.value, ExecutionState.WAITING.value
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_TAKE = (
    update(executions)
    .where(
        executions.c.id == any_(bindparam("ids", type_=ARRAY(Text))),
        executions.c.state == _QUEUED,
        executions.c.lease_owner.is_(None),
    )
    .values(lease_owner=bindparam("holder"), lease_expires_at=bindparam("end"), signals=0)
    .returning(executions)
)
"""What is taken for every job there is."""


class SqlLeases:
    """Implements :class:`workflow.sharing.Leases`.

    On SQLite one process has everything in hand: there nothing need be asked before it is changed.
    """

    def __init__(
        self, database: Database, *, lease: Lease, store: SqlExecutionStore, outbox: Outbox | None = None
    ) -> None:
        self._database = database
        self._lease = lease
        self._store = store
        self._outbox = outbox
        self._wanted: dict[str, asyncio.Future[ClaimedExecution | None]] = {}
        self._taking: asyncio.Task[None] | None = None

    async def claim_expired(
        self, *, now: datetime, expired_before: datetime, unclaimed_before: datetime | None = None, limit: int
    ) -> Sequence[Execution]:
        """Take leases that have expired; see the port."""
        holder, end = executions.c.lease_owner, executions.c.lease_expires_at
        is_free: ColumnElement[bool]
        if self._outbox is None:
            is_free = and_(or_(holder.is_(None), holder != self._lease.owner), or_(end.is_(None), end < expired_before))
        else:
            is_free = or_(
                and_(holder != self._lease.owner, end < expired_before),
                and_(holder.is_(None), end < (unclaimed_before or expired_before)),
            )
        free = select(executions.c.id).where(executions.c.state.in_(_HELD_STATES), is_free)
        return await self._take_all(free.order_by(executions.c.id).limit(limit), now)

    async def claim_due(self, *, now: datetime, limit: int) -> Sequence[Execution]:
        """Waiting executions whose time has come; see the port."""
        query = select(executions).where(executions.c.wake_at <= now).order_by(executions.c.wake_at).limit(limit)
        if self._database.is_sqlite:
            async with self._database.statement() as connection:
                return [self._store.adopted(row) for row in await connection.execute(query)]
        free = query.with_only_columns(executions.c.id).where(executions.c.state == _WAITING, _is_free(now))
        return await self._take_all(free, now)

    async def next_due(self) -> datetime | None:
        """When the next waiting execution goes on; see the port."""
        async with self._database.statement() as connection:
            found: datetime | None = (await connection.execute(select(func.min(executions.c.wake_at)))).scalar_one()
        return found

    async def claim_idle(
        self, owner: str, execution_id: str, states: Collection[ExecutionState], *, now: datetime
    ) -> Execution | None:
        """Take in hand what nobody has in hand; see the port."""
        if self._database.is_sqlite:
            execution = await self._store.get(owner, execution_id)
            return execution if execution.state in states else None
        mine = and_(
            executions.c.id == execution_id,
            executions.c.owner == owner,
            executions.c.state.in_([state.value for state in states]),
        )
        found = await self._take_all(select(executions.c.id).where(mine, _is_free(now)), now)
        return found[0] if found else None

    async def claim_queued(self, execution_id: str, *, now: datetime) -> ClaimedExecution | None:
        """Take a queued execution in hand; see the port. Those asked for meanwhile go in one statement."""
        wanted = self._wanted.get(execution_id)
        if wanted is not None:
            return None  # the same job, delivered twice
        wanted = self._wanted[execution_id] = asyncio.get_running_loop().create_future()
        if self._taking is None:
            self._taking = asyncio.create_task(self._take_wanted(now), name="takes")
        return await asyncio.shield(wanted)

    async def _take_wanted(self, now: datetime) -> None:
        """Take what is asked for, statement by statement, until nothing is."""
        while self._wanted:
            await asyncio.sleep(0)  # those that ask in the same turn go along
            wanted, self._wanted = self._wanted, {}
            try:
                taken = await self._take_queued(list(wanted), now)
            except Exception as error:  # it is theirs who wait
                for future in wanted.values():
                    if not future.done():
                        future.set_exception(error)
                continue
            for execution_id, future in wanted.items():
                if not future.done():
                    future.set_result(taken.get(execution_id))
        self._taking = None

    async def _take_queued(self, execution_ids: Sequence[str], now: datetime) -> dict[str, ClaimedExecution]:
        given = {"ids": execution_ids, "holder": self._lease.owner, "end": self._lease.from_(now)}
        async with self._database.statement() as connection:
            rows = (await connection.execute(_TAKE, given)).all()
        return {row.id: ClaimedExecution(self._store.adopted(row), row.is_cancelled) for row in rows}

    async def admit(self, execution: Execution, job: Job, *, limit: int) -> bool:
        """Let an execution in, or hold it back; see the port."""
        if self._outbox is None:
            raise RuntimeError("only what a broker carries can be held back")
        mine = (executions.c.id == execution.id) & (executions.c.lease_owner == self._lease.owner)
        letter = self._outbox.letter(execution, job)._replace(place=HELD)
        async with self._database.transaction() as connection:
            if await _room(connection, execution.workflow_id, limit):
                await connection.execute(update(executions).where(mine).values(state=_RUNNING))
                return True
            await connection.execute(update(executions).where(mine).values(lease_owner=None, lease_expires_at=None))
            await connection.execute(
                delete(outbox).where(outbox.c.execution_id == execution.id)
            )  # the letter that brought it here may not be crossed out yet
            await connection.execute(insert(outbox).values(letter.columns()))
        return False

    async def release_deferred(self, workflow_id: str, *, limit: int) -> None:
        """Send on what was held back; see the port."""
        if self._outbox is None:
            return
        async with self._database.transaction() as connection:
            room = await _room(connection, workflow_id, limit)
            first = (
                select(outbox.c.execution_id)
                .where(outbox.c.workflow_id == workflow_id, outbox.c.place == HELD)
                .order_by(outbox.c.created_at, outbox.c.execution_id)
                .limit(room)
            )
            go_on = update(outbox).where(outbox.c.execution_id.in_(first)).values(place=WORK).returning(outbox)
            letters = [letter_of(row) for row in await connection.execute(go_on)] if room else []
            ids = [letter.execution_id for letter in letters]
            end = self._outbox.unclaimed_end()
            await connection.execute(update(executions).where(executions.c.id.in_(ids)).values(lease_expires_at=end))
        self._outbox.carry(letters)

    async def deferred_workflows(self, *, limit: int) -> Sequence[str]:
        """Workflows of which something is held back; see the port."""
        query = select(outbox.c.workflow_id).where(outbox.c.place == HELD).distinct().limit(limit)
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
        """How many of a workflow's executions have not ended and do not wait; see the port."""
        query = select(func.count()).where(
            executions.c.workflow_id == workflow_id, executions.c.state.in_(_HELD_STATES)
        )
        async with self._database.statement() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def signal(self, execution_id: str, records: Sequence[Record], *, is_cancelled: bool = False) -> str | None:
        """Tell its holder something; see the port."""
        tell = (
            update(executions)
            .where(executions.c.id == execution_id, executions.c.lease_owner.isnot(None))
            .values(
                signals=executions.c.signals + 1, is_cancelled=or_(executions.c.is_cancelled, literal(is_cancelled))
            )
            .returning(executions.c.lease_owner)
        )
        async with self._database.transaction() as connection:
            holder: str | None = (await connection.execute(tell)).scalar_one_or_none()
            if holder is not None and records:
                # Its position comes from the sequence: behind all that its holder has written.
                entry = (execution_id, records_to_bytes(records))
                await connection.exec_driver_sql("INSERT INTO journal (execution_id, data) VALUES ($1, $2)", entry)
        return holder

    async def signals(self, execution_id: str | None = None) -> Sequence[Signal]:
        """What others have told of executions in hand; see the port."""
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
        end = self._lease.from_(now)
        async with self._database.statement() as connection:
            await connection.execute(
                update(executions)
                .where(executions.c.lease_owner == self._lease.owner, executions.c.state.in_(_HELD_STATES))
                .values(lease_expires_at=end)
            )

    async def release(self) -> None:
        """Let go of the leases; see the port."""
        mine = update(executions).where(executions.c.lease_owner == self._lease.owner)
        async with self._database.statement() as connection:
            await connection.execute(mine.values(lease_expires_at=_LONG_AGO))

    async def _take_all(self, free: Select[Any], now: datetime) -> list[Execution]:
        """Take what a query of ids finds and nobody else is taking."""
        if not self._database.is_sqlite:
            free = free.with_for_update(skip_locked=True)
        take = (
            update(executions)
            .where(executions.c.id.in_(free))
            .values(lease_owner=self._lease.owner, lease_expires_at=self._lease.from_(now))
            .returning(executions)
        )
        async with self._database.statement() as connection:
            rows = sorted((await connection.execute(take)).all(), key=lambda row: str(row.id))
        return [self._store.adopted(row) for row in rows]


def _is_free(now: datetime) -> ColumnElement[bool]:
    """Whether nobody has it in hand; queued ones whose holder is gone are for those who claim."""
    is_over = and_(executions.c.lease_expires_at < now, executions.c.state != _QUEUED)
    return or_(executions.c.lease_owner.is_(None), is_over)


async def _room(connection: AsyncConnection, workflow_id: str, limit: int) -> int:
    """How many more of a workflow's executions may run; until the transaction ends nobody else may ask."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:id, 0))"), {"id": workflow_id})
    at_work = select(func.count()).where(
        executions.c.workflow_id == workflow_id,
        executions.c.lease_owner.isnot(None),
        executions.c.state == _RUNNING,
    )
    return max(0, limit - int((await connection.execute(at_work)).scalar_one()))
