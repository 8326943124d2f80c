"""The one thread that reads single executions and journals from SQLite, on a connection of its own.

SQLAlchemy's asyncio layer carries each step of a query (connect, begin, execute, fetch, commit) to a thread and back,
which for two short queries takes ten times as long as the one trip that it is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self, TypeVar

from sqlalchemy import Engine, bindparam, select
from sqlalchemy.dialects import sqlite

from storage.database.database import Database
from storage.executions.reading import RowReader
from storage.executions.records import moment
from storage.tables.workflows import executions, journal
from workflow.errors import ExecutionNotFoundError
from workflow.executions import Execution, Record

T = TypeVar("T")


class _Row(NamedTuple):
    """What a row holds that makes an execution; its times as they are stored."""

    id: str
    owner: str
    workflow_id: str
    state: str
    created_at: Any
    wake_at: Any
    root_id: str | None
    data: bytes


_DIALECT: Any = sqlite.dialect(paramstyle="qmark")
_ID: Any = bindparam("id")
_OWNER: Any = bindparam("owner")
_EXECUTION = str(
    select(*(executions.c[name] for name in _Row._fields))
    .where(executions.c.id == _ID, executions.c.owner == _OWNER)
    .compile(dialect=_DIALECT)
)
_JOURNAL = str(
    select(journal.c.data).where(journal.c.execution_id == _ID).order_by(journal.c.position).compile(dialect=_DIALECT)
)


class SqliteReader:
    """Reads executions one after the other; an async context manager around its thread.

    Every method raises :class:`workflow.errors.StorageError` where the database fails.
    """

    def __init__(self, database: Database, rows: RowReader) -> None:
        self._database = database
        self._rows = rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._engine: Engine | None = None
        self._connection: Any = None

    async def __aenter__(self) -> Self:
        self._engine = self._database.open_for_thread()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._thread.shutdown()
        if self._engine is not None:
            self._engine.dispose()

    async def execution(self, owner: str, execution_id: str) -> Execution:
        """One execution of the owner's.

        Raises:
            ExecutionNotFoundError: no such execution.
        """
        return await self._in_thread(lambda connection: self._execution(connection, owner, execution_id))

    async def journal(self, execution_id: str) -> list[Record]:
        """Everything in its journal.

        Raises:
            LostDataError: part of it is missing or damaged.
        """
        return await self._in_thread(lambda connection: self._journal(connection, execution_id))

    async def recorded(self, owner: str, execution_id: str) -> tuple[Execution, list[Record]]:
        """Both.

        Raises:
            ExecutionNotFoundError: no such execution.
            LostDataError: part of the journal is missing or damaged.
        """
        return await self._in_thread(lambda connection: self._recorded(connection, owner, execution_id))

    async def _in_thread(self, read: Callable[[Any], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, read)

    def _read(self, read: Callable[[Any], T]) -> T:
        if self._engine is None:
            raise RuntimeError("the store is not open")
        self._database.check_file()
        with self._database.translated_errors():
            if self._connection is None:
                self._connection = self._engine.raw_connection().driver_connection
            return read(self._connection)

    def _execution(self, connection: Any, owner: str, execution_id: str) -> Execution:
        found = connection.execute(_EXECUTION, (execution_id, owner)).fetchone()
        if found is None:
            raise ExecutionNotFoundError(execution_id)
        row = _Row(*found)
        row = row._replace(created_at=moment(row.created_at), wake_at=moment(row.wake_at))
        return self._rows.shown(row)

    def _journal(self, connection: Any, execution_id: str) -> list[Record]:
        return self._rows.journal(execution_id, _entries(connection, execution_id))

    def _recorded(self, connection: Any, owner: str, execution_id: str) -> tuple[Execution, list[Record]]:
        execution = self._execution(connection, owner, execution_id)
        return execution, self._rows.left_of(execution, _entries(connection, execution_id))


def _entries(connection: Any, execution_id: str) -> list[bytes]:
    return [data for (data,) in connection.execute(_JOURNAL, (execution_id,)).fetchall()]
