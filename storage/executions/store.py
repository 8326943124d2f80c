"""Executions and their journals in the database."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.database import Database
from storage.database.search import contains
from storage.executions.batches import Batch, BatchWriter
from storage.executions.blobs import BlobStore
from storage.executions.group_commit import GroupCommit, Note
from storage.executions.lease import Lease
from storage.executions.outbox import Outbox
from storage.executions.postgresql_writer import PostgresqlWriter
from storage.executions.pruning import Pruning
from storage.executions.records import (
    execution_from_row,
    execution_to_bytes,
    micros,
    moment,
    records_from_bytes,
    records_to_bytes,
)
from storage.executions.sqlite_reader import SqliteReader
from storage.executions.sqlite_writer import SqliteWriter
from storage.tables.workflows import executions, journal
from workflow.errors import ExecutionNotFoundError, StorageError
from workflow.executions import Execution, Record
from workflow.messages import Job
from workflow.ports import ExecutionFilter, Page
from workflow.states import FINISHED, ExecutionState

_CREATION = tuple_(executions.c.created_at, executions.c.id)
"""What every list is ordered by."""
_IS_UNENDED = executions.c.state.notin_([state.value for state in (*FINISHED, ExecutionState.DEAD)])


class SqlExecutionStore:
    """Implements :class:`workflow.ports.ExecutionStore`; an async context manager around its threads.

    Active executions are stored under this process's ``lease``. Large values go to ``blobs``, where the database is one
    file of one machine. ``outbox`` carries the jobs that are saved with executions.
    """

    def __init__(
        self, database: Database, *, lease: Lease, blobs: BlobStore | None, outbox: Outbox | None = None
    ) -> None:
        self._database = database
        self._lease = lease
        self._blobs = blobs
        self._outbox = outbox
        self._positions = itertools.count(time.time_ns() // 1_000)
        self._writer: BatchWriter = (
            SqliteWriter(database) if database.is_sqlite else PostgresqlWriter(database, owner=lease.owner)
        )
        self._reader: SqliteReader | None = None
        self._commit = GroupCommit(self._write)
        self._pruning = Pruning(database, blobs)

    async def __aenter__(self) -> Self:
        await self._writer.__aenter__()
        if self._database.is_sqlite:
            self._reader = SqliteReader(self._database, self._blobs)
            await self._reader.__aenter__()
        await self._commit.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._commit.__aexit__(*exc_info)
        await self._writer.__aexit__(*exc_info)
        if self._reader is not None:
            await self._reader.__aexit__(*exc_info)

    def save(
        self,
        execution: Execution,
        records: Sequence[Record] = (),
        *,
        job: Job | None = None,
        is_new: bool = False,
        follows: str | None = None,
    ) -> None:
        """Note an execution as it is now; see the port."""
        error = execution.error
        is_mine = execution.is_active and job is None
        letter, lease_end = None, self._lease.until if is_mine else None
        if job is not None and self._outbox is not None:
            letter = self._outbox.letter(execution, job)
            lease_end = micros(self._outbox.unclaimed_end()) if execution.is_active else None
        with self._database.translated_errors():
            row = (
                execution.id,
                execution.owner,
                execution.workflow_id,
                execution.state.value,
                micros(execution.created_at),
                execution.parent.execution_id if execution.parent is not None else None,
                error.message.replace("\0", "\ufffd") if error is not None else None,
                micros(execution.wake_at),
                self._lease.owner if is_mine else None,
                lease_end,
                execution.root,
                execution_to_bytes(execution),
            )
            entries = [records_to_bytes(records)] if records else []
        self._commit.note(execution.id, Note(row, entries, is_mine, letter, is_new=is_new, follows=follows))

    def adopted(self, row: Any) -> Execution:
        """The execution of a row that this process has claimed."""
        self._commit.is_stored(row.id)
        return self._execution(row)

    async def committed(self, execution_id: str) -> None:
        """Return when everything noted is on the disk; see the port."""
        await self._commit.committed(execution_id)

    async def get(self, owner: str, execution_id: str) -> Execution:
        """One execution; see the port."""
        await self._written(execution_id)
        if self._reader is not None:
            return await self._reader.execution(owner, execution_id)
        async with self._database.statement() as connection:
            return await self._read(connection, owner, execution_id)

    async def journal(self, execution_id: str) -> Sequence[Record]:
        """Everything in the journal; see the port."""
        await self._written(execution_id)
        if self._reader is not None:
            return await self._reader.journal(execution_id)
        async with self._database.statement() as connection:
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
        """Return when what is noted is on the disk, so that readers find what they have seen an event of."""
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
            created, last_id = decode_cursor(cursor, int, str)
            query = query.where((moment(created), last_id) > _CREATION)
        found = await self._all(query.order_by(executions.c.created_at.desc(), executions.c.id.desc()).limit(limit + 1))
        if len(found) <= limit:
            return Page(found, None)
        last = found[limit - 1]
        return Page(found[:limit], encode_cursor(micros(last.created_at) or 0, last.id))

    async def prune(self, *, ended_before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete ended executions; see the port."""
        return await self._pruning.prune(ended_before=ended_before, keep=keep, limit=limit)

    async def unended_children(self, execution_id: str) -> Sequence[Execution]:
        """Those that have not ended; see the port."""
        return await self._all(select(executions).where(executions.c.parent_id == execution_id, _IS_UNENDED))

    async def orphans(self, *, limit: int) -> Sequence[Execution]:
        """Children whose parent failed or was cancelled; see the port."""
        parent = executions.alias("parent")
        ended = parent.c.state.in_((ExecutionState.FAILED.value, ExecutionState.CANCELLED.value))
        query = select(executions).join(parent, parent.c.id == executions.c.parent_id)
        return await self._all(query.where(executions.c.parent_id.isnot(None), _IS_UNENDED, ended).limit(limit))

    async def count_of_root(self, root_id: str) -> int:
        """The descendants; see the port."""
        query = select(func.count()).where(executions.c.root_id == root_id)
        async with self._database.statement() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def owner_of(self, execution_id: str) -> str:
        """Whose the execution is; see the port."""
        await self._written(execution_id)
        query = select(executions.c.owner).where(executions.c.id == execution_id)
        async with self._database.statement() as connection:
            owner: str | None = (await connection.execute(query)).scalar_one_or_none()
        if owner is None:
            raise ExecutionNotFoundError(execution_id)
        return owner

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
            return [record for row in rows for record in records_from_bytes(self._got(execution_id, row))]

    async def _all(self, query: Select[Any]) -> list[Execution]:
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).all()
        return [self._execution(row) for row in rows]

    def _execution(self, row: Any) -> Execution:
        with self._database.translated_errors():
            return execution_from_row(row, self._got(row.id, row.data))

    async def _write(self, notes: Collection[tuple[str, Note]]) -> Collection[str]:
        """One transaction for all of a batch; the executions whose lease another process has, and of which nothing is
        written.

        Raises:
            StorageError: see :class:`~storage.executions.batches.BatchWriter`.
        """
        positions = [next(self._positions) for _, note in notes for _ in note.entries]
        lost = await self._writer.write(lambda: self._batch(notes, positions))
        if self._outbox is not None:
            letters = [note.letter for execution_id, note in notes if note.letter and execution_id not in lost]
            self._outbox.carry(letters)
        return lost

    def _batch(self, notes: Collection[tuple[str, Note]], positions: Sequence[int]) -> Batch:
        """What is to be written; what is too large for a row is in a file by then."""
        place = iter(positions)
        with self._database.translated_errors():
            return Batch(
                [(*note.row[:-1], self._put(execution_id, note.row[-1])) for execution_id, note in notes],
                [note.follows for _, note in notes],
                [
                    (execution_id, next(place), self._put(execution_id, data))
                    for execution_id, note in notes
                    for data in note.entries
                ],
                [note.letter for _, note in notes if note.letter is not None],
                [note.token for _, note in notes],
                {execution_id: note.in_doubt for execution_id, note in notes if note.in_doubt},
            )

    def _put(self, execution_id: str, data: bytes) -> bytes:
        return data if self._blobs is None else self._blobs.put(execution_id, data)

    def _got(self, execution_id: str, stored: bytes) -> bytes:
        return stored if self._blobs is None else self._blobs.get(execution_id, stored)
