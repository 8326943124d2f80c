"""The one thread that writes executions and journals to SQLite, on a connection of its own.

It speaks to the driver itself, and sends the rows of a batch in few statements: each statement gives up the
interpreter lock and has to wait for it again, which on a busy server takes longer than the rows do.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import chain
from typing import Any, Self

from sqlalchemy import Engine, bindparam
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert

from storage.database.database import Database
from storage.executions.batches import CHANGING, Batch, Beside, Row, written_columns
from storage.executions.records import micros
from storage.people.audit import COLUMNS
from storage.tables.accounts import audit_entries
from storage.tables.workflows import executions, journal

LARGEST_STATEMENT_ROWS = 64
"""Rows are sent by powers of two up to this, so that the driver's cache knows every statement after a while."""


class MultiRow:
    """An ``INSERT … VALUES (…) …`` for any number of rows."""

    def __init__(self, statement: str) -> None:
        self._head, values, rest = statement.partition("VALUES (")
        one_row, _, self._tail = rest.partition(")")
        self._row = f"({one_row})"
        self._head += values[:-1]
        self._texts: dict[int, str] = {}

    def execute(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Insert the rows."""
        start = 0
        for count in _powers(len(rows)):
            text = self._texts.get(count)
            if text is None:
                text = self._texts[count] = f"{self._head}{', '.join([self._row] * count)}{self._tail}"
            connection.execute(text, tuple(chain.from_iterable(rows[start : start + count])))
            start += count


def _powers(count: int) -> Iterator[int]:
    """Powers of two that add up to ``count``, the largest first."""
    power = LARGEST_STATEMENT_ROWS
    while count:
        while power > count:
            power >>= 1
        yield power
        count -= power


class SqliteWriter:
    """Implements :class:`~storage.executions.batches.BatchWriter`: one batch at a time; an async context manager
    around its thread. On SQLite one process has everything, so no lease is ever lost, and no letters are sent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        upsert = insert(executions)
        changes = {name: upsert.excluded[name] for name in CHANGING}
        dialect: Any = sqlite.dialect(paramstyle="qmark")
        rows = upsert.values({name: bindparam(name) for name in written_columns()})
        self._executions = MultiRow(
            str(rows.on_conflict_do_update(index_elements=["id"], set_=changes).compile(dialect=dialect))
        )
        self._journal = MultiRow(str(insert(journal).compile(dialect=dialect)))
        entries = insert(audit_entries).values({name: bindparam(name) for name in COLUMNS})
        self._audit = MultiRow(str(entries.on_conflict_do_nothing().compile(dialect=dialect)))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._engine: Engine | None = None

    async def __aenter__(self) -> Self:
        self._engine = self._database.open_for_thread()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._thread.shutdown()
        if self._engine is not None:
            self._engine.dispose()

    async def write(self, prepare: Callable[[], Batch]) -> Collection[str]:
        """One transaction; see the port. ``prepare`` runs in the thread."""
        async with self._database.writing():
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, prepare)
        return ()

    def _write(self, prepare: Callable[[], Batch]) -> None:
        batch = prepare()
        if self._engine is None:
            raise RuntimeError("the store is not open")
        with self._database.translated_errors():
            connection: Any = self._engine.raw_connection().driver_connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._executions.execute(connection, batch.executions)
                self._journal.execute(connection, batch.journal)
                if batch.audit:
                    self._audit.execute(connection, batch.audit)
                for row in chain.from_iterable(batch.beside.values()):
                    connection.execute(_insert_of(row), [_bound(value) for value in row.values.values()])
                self._database.check_file()
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _insert_of(row: Beside) -> str:
    names = list(row.values)
    places = ", ".join("?" * len(names))
    return f"INSERT INTO {row.table.name} ({', '.join(names)}) VALUES ({places}) ON CONFLICT DO NOTHING"  # noqa: S608 - the names are our own  # nosec B608


def _bound(value: Any) -> Any:
    """A column's value as the driver takes it."""
    return micros(value) if isinstance(value, datetime) else value
