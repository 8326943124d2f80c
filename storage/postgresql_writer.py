"""Batches of executions and journals on PostgreSQL: arrays in few statements, and never over another's lease."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Self

from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.batches import CHANGING, Batch, Row, written_columns
from storage.database import Database
from storage.tables import executions, journal, outbox


class PostgresqlWriter:
    """Implements :class:`storage.batches.BatchWriter`; ``owner`` is whose leases allow to write.

    A process that was stopped for longer than its lease finds that others have taken what it had in hand. What it
    would still write of that is refused here, row by row, by the one place that knows.
    """

    def __init__(self, database: Database, *, owner: str) -> None:
        self._database = database
        self._owner = owner
        columns = written_columns()
        columns.append("write_token")
        changes = ", ".join(f"{name} = excluded.{name}" for name in (*CHANGING, "write_token"))
        self._save = (
            f"{_insert(executions, columns)} ON CONFLICT (id) DO UPDATE SET {changes} "
            f"WHERE executions.lease_owner = ${len(columns) + 1} RETURNING id"
        )
        self._note = _insert(journal, ("execution_id", "data"))
        letter = [column.name for column in outbox.c]
        newer = ", ".join(f"{name} = excluded.{name}" for name in letter[1:])
        self._send = f"{_insert(outbox, letter)} ON CONFLICT (execution_id) DO UPDATE SET {newer}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Nothing is its own: the database has the connections."""

    async def write(self, prepare: Callable[[], Batch]) -> Collection[str]:
        """One transaction; see the port."""
        batch = prepare()
        async with self._database.transaction() as connection:
            written = await self._written_before(connection, batch)
            saved = await connection.exec_driver_sql(
                self._save, (*_columns(batch.executions), list(batch.tokens), self._owner)
            )
            kept = {row[0] for row in saved}
            entries = [entry for entry in _unwritten(batch.journal, written) if entry[0] in kept]
            if entries:
                await connection.exec_driver_sql(self._note, _columns(entries))
            letters = [letter.row for letter in batch.letters if letter.execution_id in kept]
            if letters:
                await connection.exec_driver_sql(self._send, _columns(letters))
        return {row[0] for row in batch.executions} - kept

    async def _written_before(self, connection: AsyncConnection, batch: Batch) -> dict[str, int]:
        """How many of an execution's journal rows an attempt has written that was committed and not heard of."""
        if not batch.in_doubt:
            return {}
        found = await connection.execute(
            select(executions.c.id, executions.c.write_token).where(executions.c.id.in_(batch.in_doubt))
        )
        return {row.id: dict(batch.in_doubt[row.id]).get(row.write_token, 0) for row in found}


def _unwritten(rows: Sequence[Row], written: Mapping[str, int]) -> Iterator[Row]:
    """The rows without their positions, but for the first of each execution that are there already."""
    left = dict(written)
    for execution_id, _, data in rows:
        if left.get(execution_id, 0) > 0:
            left[execution_id] -= 1
        else:
            yield execution_id, data


def _insert(table: Table, columns: Sequence[str]) -> str:
    """An INSERT of many rows that come as one array per column."""
    dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
    types = [_array_of(table.c[name].type.dialect_impl(dialect), dialect) for name in columns]
    arrays = ", ".join(f"${number}::{kind}" for number, kind in enumerate(types, 1))
    return f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT * FROM unnest({arrays})"  # noqa: S608


def _array_of(column_type: Any, dialect: Any) -> str:
    return f"{column_type.compile(dialect=dialect).partition('(')[0]}[]"


def _columns(rows: Sequence[Row]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))
