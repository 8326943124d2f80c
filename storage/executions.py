"""Executions and their journals in the database."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Select, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.ai_tables import exchanges
from storage.blobs import BlobStore
from storage.cursors import decode_cursor, encode_cursor
from storage.database import Database
from storage.group_commit import GroupCommit, Note
from storage.records import execution_from_row, execution_to_bytes, micros, records_from_bytes, records_to_bytes
from storage.search import contains
from storage.sqlite_reader import SqliteReader
from storage.sqlite_writer import SqliteWriter
from storage.tables import executions, journal
from workflow.errors import ExecutionNotFoundError, StorageError
from workflow.executions import Execution, Record
from workflow.ports import ExecutionFilter, Page
from workflow.states import FINISHED, ExecutionState

_ENDED = tuple(state.value for state in FINISHED)
_HELD = (ExecutionState.QUEUED.value, ExecutionState.RUNNING.value)


class SqlExecutionStore:
    """Implements :class:`workflow.ports.ExecutionStore`; an async context manager around its threads.

    ``owner`` names this process; its leases last ``lease_seconds`` unless renewed.
    """

    def __init__(self, database: Database, *, blobs: BlobStore, owner: str, lease_seconds: float) -> None:
        self._database = database
        self._blobs = blobs
        self._owner = owner
        self._lease = timedelta(seconds=lease_seconds)
        self._lease_until: int | None = None
        self._positions = itertools.count(time.time_ns() // 1_000)
        self._statements = _Statements("", "")
        self._writer: SqliteWriter | None = None
        self._reader: SqliteReader | None = None
        self._commit = GroupCommit(self._write)

    async def __aenter__(self) -> Self:
        self._statements = _Statements.of(self._database)
        if self._database.is_sqlite:
            self._writer = SqliteWriter(
                self._database, executions=self._statements.execution, journal=self._statements.journal
            )
            await self._writer.__aenter__()
            self._reader = SqliteReader(self._database, self._blobs)
            await self._reader.__aenter__()
        await self._commit.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._commit.__aexit__(*exc_info)
        if self._writer is not None:
            await self._writer.__aexit__(*exc_info)
        if self._reader is not None:
            await self._reader.__aexit__(*exc_info)

    def save(self, execution: Execution, records: Sequence[Record] = ()) -> None:
        """Note an execution as it is now; see the port."""
        error, held = execution.error, execution.is_held
        with self._database.translated_errors():
            row = (
                execution.id,
                execution.owner,
                execution.workflow_id,
                execution.state.value,
                micros(execution.created_at),
                error.message.replace("\0", "\ufffd") if error is not None else None,
                micros(execution.wake_at),
                self._owner if held else None,
                self._lease_until if held else None,
                execution_to_bytes(execution),
            )
            entries = [records_to_bytes(records)] if records else []
        self._commit.note(execution.id, Note(row, entries, held))

    async def committed(self, execution_id: str) -> None:
        """Return when everything noted is on the disk; see the port."""
        await self._commit.committed(execution_id)

    async def get(self, owner: str, execution_id: str) -> Execution:
        """One execution; see the port."""
        await self._written(execution_id)
        if self._reader is not None:
            return await self._reader.execution(owner, execution_id)
        async with self._database.transaction() as connection:
            return await self._read(connection, owner, execution_id)

    async def journal(self, execution_id: str) -> Sequence[Record]:
        """Everything in the journal; see the port."""
        await self._written(execution_id)
        if self._reader is not None:
            return await self._reader.journal(execution_id)
        async with self._database.transaction() as connection:
            return await self._read_journal(connection, execution_id)

    async def recorded(self, owner: str, execution_id: str) -> tuple[Execution, Sequence[Record]]:
        """An execution and its journal; see the port."""
        await self._written(execution_id)
        if self._reader is not None:
            return await self._reader.recorded(owner, execution_id)
        async with self._database.transaction() as connection:
            execution = await self._read(connection, owner, execution_id)
            return execution, await self._read_journal(connection, execution_id)

    async def _written(self, execution_id: str) -> None:
        """Let what is noted go to the disk first, so that readers find what they were told of."""
        with contextlib.suppress(StorageError):
            await self._commit.committed(execution_id)

    async def page(self, where: ExecutionFilter, *, limit: int, cursor: str | None) -> Page[Execution]:
        """Executions, newest first; see the port."""
        query = select(executions).where(executions.c.owner == where.owner)
        if where.workflow_id is not None:
            query = query.where(executions.c.workflow_id == where.workflow_id)
        if where.state is not None:
            query = query.where(executions.c.state == where.state.value)
        if where.text:
            query = query.where(contains(executions.c.error_message, where.text))
        if where.created_after is not None:
            query = query.where(executions.c.created_at > where.created_after)
        if cursor is not None:
            query = query.where(executions.c.id < decode_cursor(cursor, str)[0])
        found = await self._all(query.order_by(executions.c.id.desc()).limit(limit + 1))
        next_cursor = encode_cursor(found[limit - 1].id) if len(found) > limit else None
        return Page(found[:limit], next_cursor)

    async def due(self, *, now: datetime, limit: int) -> Sequence[Execution]:
        """Waiting executions whose time has come; see the port."""
        query = select(executions).where(executions.c.wake_at <= now).order_by(executions.c.wake_at).limit(limit)
        return await self._all(query)

    async def next_due(self) -> datetime | None:
        """When the next waiting execution goes on; see the port."""
        async with self._database.transaction() as connection:
            found: datetime | None = (await connection.execute(select(func.min(executions.c.wake_at)))).scalar_one()
        return found

    async def prune(self, *, ended_before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete ended executions; see the port. Their age counts from when they were created.

        What was said to models goes with them, or by its own age where it is of none.
        """
        due = []
        if ended_before is not None:
            due.append(executions.c.created_at < ended_before)
        if keep is not None:
            oldest_kept = select(executions.c.id).order_by(executions.c.id.desc()).offset(keep).limit(1)
            due.append(executions.c.id <= oldest_kept.scalar_subquery())
        if not due:
            return 0
        chosen = select(executions.c.id).where(executions.c.state.in_(_ENDED), or_(*due))
        async with self._database.transaction() as connection:
            ids = (await connection.execute(chosen.order_by(executions.c.id).limit(limit))).scalars().all()
            await connection.execute(delete(journal).where(journal.c.execution_id.in_(ids)))
            await connection.execute(delete(exchanges).where(exchanges.c.execution_id.in_(ids)))
            if ended_before is not None:
                strays = exchanges.c.execution_id.is_(None) & (exchanges.c.created_at < ended_before)
                await connection.execute(delete(exchanges).where(strays))
            await connection.execute(delete(executions).where(executions.c.id.in_(ids)))
        await asyncio.to_thread(self._blobs.delete, ids)
        return len(ids)

    async def owner_of(self, execution_id: str) -> str:
        """Whose the execution is; see the port."""
        await self._written(execution_id)
        query = select(executions.c.owner).where(executions.c.id == execution_id)
        async with self._database.transaction() as connection:
            owner: str | None = (await connection.execute(query)).scalar_one_or_none()
        if owner is None:
            raise ExecutionNotFoundError(execution_id)
        return owner

    async def claim(self, *, now: datetime, expired_before: datetime, limit: int) -> Sequence[Execution]:
        """Take leases that have expired; see the port."""
        free = (
            select(executions.c.id)
            .where(
                executions.c.state.in_(_HELD),
                or_(executions.c.lease_owner.is_(None), executions.c.lease_owner != self._owner),
                or_(executions.c.lease_expires_at.is_(None), executions.c.lease_expires_at < expired_before),
            )
            .order_by(executions.c.id)
            .limit(limit)
        )
        if not self._database.is_sqlite:
            free = free.with_for_update(skip_locked=True)
        taken = (
            update(executions)
            .where(executions.c.id.in_(free))
            .values(lease_owner=self._owner, lease_expires_at=now + self._lease)
            .returning(executions)
        )
        async with self._database.transaction() as connection:
            found = sorted((await connection.execute(taken)).all(), key=lambda row: str(row.id))
        self._lease_until = micros(now + self._lease)
        for row in found:
            self._commit.is_stored(row.id)
        return [self._execution(row) for row in found]

    async def renew(self, *, now: datetime) -> None:
        """Prolong the leases; see the port."""
        self._lease_until = micros(now + self._lease)
        async with self._database.transaction() as connection:
            await connection.execute(
                update(executions)
                .where(executions.c.lease_owner == self._owner, executions.c.state.in_(_HELD))
                .values(lease_expires_at=now + self._lease)
            )

    async def release(self) -> None:
        """Let go of the leases; see the port."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(executions).where(executions.c.lease_owner == self._owner).values(lease_expires_at=None)
            )

    async def _read(self, connection: AsyncConnection, owner: str, execution_id: str) -> Execution:
        query = select(executions).where(executions.c.id == execution_id, executions.c.owner == owner)
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise ExecutionNotFoundError(execution_id)
        return self._execution(row)

    async def _read_journal(self, connection: AsyncConnection, execution_id: str) -> list[Record]:
        query = select(journal.c.data).where(journal.c.execution_id == execution_id).order_by(journal.c.position)
        rows = (await connection.execute(query)).scalars()
        with self._database.translated_errors():
            return [record for row in rows for record in records_from_bytes(self._blobs.get(execution_id, row))]

    async def _all(self, query: Select[Any]) -> list[Execution]:
        async with self._database.transaction() as connection:
            rows = (await connection.execute(query)).all()
        return [self._execution(row) for row in rows]

    def _execution(self, row: Any) -> Execution:
        with self._database.translated_errors():
            return execution_from_row(row, self._blobs.get(row.id, row.data))

    async def _write(self, notes: Collection[tuple[str, Note]]) -> None:
        """One transaction for all of a batch.

        Raises:
            StorageError: nothing of it was written.
        """
        positions = [next(self._positions) for _, note in notes for _ in note.entries]
        if self._writer is not None:
            async with self._database.writing():
                await self._writer.write(lambda: self._rows(notes, positions))
            return
        rows, entries = await asyncio.to_thread(self._rows, notes, positions)
        async with self._database.transaction() as connection:
            await connection.exec_driver_sql(self._statements.execution, rows)
            if entries:
                await connection.exec_driver_sql(self._statements.journal, entries)

    def _rows(
        self, notes: Collection[tuple[str, Note]], positions: Sequence[int]
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Parameters for both statements; what is too large for a row is in a file by then."""
        put, place = self._blobs.put, iter(positions)
        with self._database.translated_errors():
            rows = [(*note.row[:-1], put(execution_id, note.row[-1])) for execution_id, note in notes]
            entries = [
                (execution_id, next(place), put(execution_id, data))
                for execution_id, note in notes
                for data in note.entries
            ]
        return rows, entries


class _Statements:
    """The two statements that every batch is made of, as text for the driver: made once, run for many rows."""

    def __init__(self, execution: str, journal_entry: str) -> None:
        self.execution = execution
        self.journal = journal_entry

    @classmethod
    def of(cls, database: Database) -> Self:
        module: Any = sqlite if database.is_sqlite else postgresql
        dialect: Any = database.engine.dialect
        upsert = module.insert(executions)
        upsert = upsert.on_conflict_do_update(
            index_elements=["id"],
            set_={
                name: upsert.excluded[name]
                for name in ("state", "error_message", "wake_at", "lease_owner", "lease_expires_at", "data")
            },
        )
        return cls(str(upsert.compile(dialect=dialect)), str(insert(journal).compile(dialect=dialect)))
