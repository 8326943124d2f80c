"""Executions and their journals in the database."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.database import Database
from storage.executions.batches import Batch, BatchWriter, Beside
from storage.executions.blobs import BlobStore
from storage.executions.figures import by_error, counted, latest_of, matching, newest, reruns_of
from storage.executions.group_commit import GroupCommit, Note
from storage.executions.lease import Lease
from storage.executions.outbox import Outbox
from storage.executions.postgresql_writer import PostgresqlWriter
from storage.executions.pruning import Pruning
from storage.executions.reading import RowReader, is_lost
from storage.executions.records import (
    execution_to_bytes,
    micros,
    moment,
    record_to_bytes,
    records_to_bytes,
)
from storage.executions.sqlite_reader import SqliteReader
from storage.executions.sqlite_writer import SqliteWriter
from storage.people.audit import SqlAuditLog, driver_row
from storage.tables.schedules import schedule_slots
from storage.tables.workflows import executions, journal
from storage.workflows.schedules import entry_values
from workflow.audit import AuditEntry
from workflow.errors import ExecutionNotFoundError, StorageError
from workflow.execution_figures import ExecutionFigures, ExecutionFilter, LatestRun, Rerun
from workflow.executions import EncodedRecord, Execution, Record
from workflow.messages import Job
from workflow.ports import Page
from workflow.schedules.schedules import SlotEntry
from workflow.states import FINISHED, TRANSITIONS, ExecutionEvent, ExecutionState

logger = logging.getLogger(__name__)

_CREATION = tuple_(executions.c.created_at, executions.c.id)
"""What every list is ordered by."""
_IS_UNENDED = executions.c.state.notin_([state.value for state in (*FINISHED, ExecutionState.DEAD)])


class SqlExecutionStore:
    """Implements :class:`workflow.ports.ExecutionStore`; an async context manager around its threads.

    Active executions are stored under this process's ``lease``. Large values go to ``blobs``, where the database is one
    file of one machine. ``outbox`` carries the jobs that are saved with executions. Where the database is SQLite,
    batches take along what has gathered in the ``audit`` log.
    """

    def __init__(
        self,
        database: Database,
        *,
        lease: Lease,
        blobs: BlobStore | None,
        outbox: Outbox | None = None,
        audit: SqlAuditLog | None = None,
    ) -> None:
        self._database = database
        self._lease = lease
        self._blobs = blobs
        self._outbox = outbox
        self._audit = audit
        self._positions = itertools.count(time.time_ns() // 1_000)
        self._writer: BatchWriter = (
            SqliteWriter(database) if database.is_sqlite else PostgresqlWriter(database, owner=lease.owner)
        )
        self._reader: SqliteReader | None = None
        self._commit = GroupCommit(self._write)
        self._pruning = Pruning(database, blobs)
        self._rows = RowReader(blobs)

    async def __aenter__(self) -> Self:
        await self._writer.__aenter__()
        if self._database.is_sqlite:
            self._reader = SqliteReader(self._database, self._rows)
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
        records: Sequence[Record | EncodedRecord] = (),
        *,
        job: Job | None = None,
        is_new: bool = False,
        follows: str | None = None,
        slot: SlotEntry | None = None,
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
                execution.rerun_of,
                execution_to_bytes(execution),
            )
            entries = [records_to_bytes(records)] if records else []
        note = Note(row, entries, is_mine, letter, is_new=is_new, follows=follows)
        if slot is not None:
            note.beside.append(Beside(schedule_slots, entry_values(slot)))
        self._commit.note(execution.id, note)

    def encode(self, record: Record) -> bytes:
        """A large record, encoded; see the port."""
        with self._database.translated_errors():
            return record_to_bytes(record)

    def adopted(self, row: Any) -> Execution:
        """The execution of a row that this process has claimed.

        Raises:
            LostDataError: part of it is missing or damaged.
            StorageError: a file cannot be read now.
        """
        self._commit.is_stored(row.id)
        with self._database.translated_errors():
            return self._rows.execution(row)

    async def end_lost(self, owner: str, execution_id: str, *, now: datetime) -> Execution:
        """End an execution whose data is lost, as failed, and say so once in the log; the execution as it is then.

        It is left alone where somebody else has ended it, or has stored it anew, since the caller read it.

        Raises:
            StorageError: it could not be stored (yet).
        """
        execution = await self.get(owner, execution_id)
        if not is_lost(execution) or execution.error is None:
            return execution
        if (execution.state, ExecutionEvent.FAIL) not in TRANSITIONS:
            return execution
        failed = execution.moved(ExecutionEvent.FAIL, finished_at=now, notified_at=now, wake_at=None)
        self._commit.is_stored(execution_id)
        self.save(failed)
        await self.committed(execution_id)
        logger.error("%s The execution has failed.", execution.error.message)
        return failed

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
            rows = await _entries(connection, execution_id)
        with self._database.translated_errors():
            return self._rows.journal(execution_id, rows)

    async def recorded(self, owner: str, execution_id: str) -> tuple[Execution, Sequence[Record]]:
        """An execution and its journal; see the port."""
        await self._written(execution_id)
        if self._reader is not None:
            return await self._reader.recorded(owner, execution_id)
        async with self._database.transaction() as connection:
            execution = await self._read(connection, owner, execution_id)
            rows = await _entries(connection, execution_id)
            with self._database.translated_errors():
                return execution, self._rows.left_of(execution, rows)

    async def _written(self, execution_id: str) -> None:
        """Return when what is noted is on the disk, so that readers find what they have seen an event of."""
        with contextlib.suppress(StorageError):
            await self._commit.committed(execution_id)

    async def page(self, where: ExecutionFilter, *, limit: int, cursor: str | None) -> Page[Execution]:
        """Executions, newest first; see the port."""
        query = select(executions).where(*matching(where))
        if cursor is not None:
            created, last_id = decode_cursor(cursor, int, str)
            query = query.where((moment(created), last_id) > _CREATION)
        found = await self._all(query.order_by(executions.c.created_at.desc(), executions.c.id.desc()).limit(limit + 1))
        if len(found) <= limit:
            return Page(found, None)
        last = found[limit - 1]
        return Page(found[:limit], encode_cursor(micros(last.created_at) or 0, last.id))

    async def figures(self, where: ExecutionFilter) -> ExecutionFigures:
        """Counted and measured; see the port."""
        async with self._database.statement() as connection:
            counts = {(row[0], row[1]): row[2] for row in await connection.execute(counted(where))}
        async with self._database.statement() as connection:
            errors = [(row[0], row[1]) for row in await connection.execute(by_error(where))]
        async with self._database.statement() as connection:
            rows = (await connection.execute(newest(where))).all()
        shown = await asyncio.to_thread(lambda: [self._shown(row) for row in rows])
        return ExecutionFigures(counts=counts, errors=errors, newest=shown)

    async def latest(self, owner: str, workflow_ids: Collection[str]) -> Mapping[str, LatestRun]:
        """The last execution of each workflow; see the port."""
        if not workflow_ids:
            return {}
        async with self._database.statement() as connection:
            rows = await connection.execute(latest_of(owner, workflow_ids))
        return {
            row.workflow_id: LatestRun(row.id, ExecutionState(row.state), row.created_at, row.error_message)
            for row in rows
        }

    async def reruns(self, execution_id: str) -> Sequence[Rerun]:
        """What was started from it; see the port."""
        async with self._database.statement() as connection:
            rows = await connection.execute(reruns_of(execution_id))
        return [Rerun(row.id, ExecutionState(row.state)) for row in rows]

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
        return self._shown(row)

    async def _all(self, query: Select[Any]) -> list[Execution]:
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).all()
        return [self._shown(row) for row in rows]

    def _shown(self, row: Any) -> Execution:
        with self._database.translated_errors():
            return self._rows.shown(row)

    async def _write(self, notes: Collection[tuple[str, Note]]) -> Collection[str]:
        """One transaction for all of a batch; the executions whose lease another process has, and of which nothing is
        written.

        Raises:
            StorageError: see :class:`~storage.executions.batches.BatchWriter`.
        """
        positions = [next(self._positions) for _, note in notes for _ in note.entries]
        riders = self._audit.riders() if self._audit is not None else ()
        are_written = False
        try:
            lost = await self._writer.write(lambda: self._batch(notes, positions, riders))
            are_written = True
        finally:
            if self._audit is not None and riders:
                self._audit.rode(riders, are_written=are_written)
        if self._outbox is not None:
            letters = [note.letter for execution_id, note in notes if note.letter and execution_id not in lost]
            self._outbox.carry(letters)
        return lost

    def _batch(
        self, notes: Collection[tuple[str, Note]], positions: Sequence[int], riders: Sequence[AuditEntry]
    ) -> Batch:
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
                {execution_id: note.beside for execution_id, note in notes if note.beside},
                [driver_row(entry) for entry in riders],
            )

    def _put(self, execution_id: str, data: bytes) -> bytes:
        return data if self._blobs is None else self._blobs.put(execution_id, data)


async def _entries(connection: AsyncConnection, execution_id: str) -> Sequence[bytes]:
    """The rows of a journal, in order."""
    query = select(journal.c.data).where(journal.c.execution_id == execution_id).order_by(journal.c.position)
    return (await connection.execute(query)).scalars().all()
