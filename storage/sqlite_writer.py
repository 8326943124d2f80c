"""The one thread that writes executions and journals to SQLite, on a connection of its own.

It speaks to the driver itself, and sends the rows of a batch in few statements: each statement gives up the
interpreter lock and has to wait for it again, which on a busy server takes longer than the rows do.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Self

from sqlalchemy import Engine

from storage.database import Database

Row = tuple[Any, ...]
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
    """Runs batches one after the other; an async context manager around its thread."""

    def __init__(self, database: Database, *, executions: str, journal: str) -> None:
        self._database = database
        self._executions = MultiRow(executions)
        self._journal = MultiRow(journal)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._engine: Engine | None = None

    async def __aenter__(self) -> Self:
        self._engine = self._database.open_for_thread()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._thread.shutdown()
        if self._engine is not None:
            self._engine.dispose()

    async def write(self, prepare: Callable[[], tuple[Sequence[Row], Sequence[Row]]]) -> None:
        """One transaction of the execution rows and journal rows that ``prepare`` gives, which runs in the thread.

        Raises:
            StorageError: nothing of it was written.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, prepare)

    def _write(self, prepare: Callable[[], tuple[Sequence[Row], Sequence[Row]]]) -> None:
        executions, journal = prepare()
        if self._engine is None:
            raise RuntimeError("the store is not open")
        with self._database.translated_errors():
            connection: Any = self._engine.raw_connection().driver_connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._executions.execute(connection, executions)
                self._journal.execute(connection, journal)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
