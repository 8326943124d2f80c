"""Batches of executions and journals on PostgreSQL: arrays in few statements, and never over another's lease."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Self

from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database
from storage.executions.batches import CHANGING, Batch, Row, written_columns
from storage.tables.workflows import executions, journal, outbox

_WRITTEN = tuple(written_columns())
_ENTRY = ("execution_id", "data")
_LETTER = tuple(column.name for column in outbox.c)


class PostgresqlWriter:
    """Implements :class:`storage.executions.batches.BatchWriter`; ``owner`` is the holder whose executions it writes.

    1. The lease may be gone: a process that was stopped for longer than its lease still has batches to write. The
       upsert changes rows of its own leases only, and entries and letters join the rows that it changed; so nothing
       is written of an execution that another process has claimed.
    2. Another process claims the execution at the same moment. Both change its row, so one waits for the other's
       commit, and then looks at the row as it is: after the claim the batch leaves it out; after the batch the claim
       looks again whether the lease is over.
    3. Another process signals at the same moment. It changes the row before it adds to the journal, as the batch
       does; positions are taken under the row's lock, so they rise in the order of the commits.
    4. An earlier attempt may have been committed, or may still be about to: its connection broke, and the server goes
       on with the statement. ``_written_before`` locks the rows, which waits for such a statement, and only then
       reads whose token they have. The rows stay locked until this batch is committed. The pause before a retry is
       for a statement that has not reached its rows yet.
    5. Two batches, or a batch and a renewal, lock the same rows in different orders. PostgreSQL ends one of them,
       which is a failure as any other: the batch is written again.
    """

    def __init__(self, database: Database, *, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._statement = _statement()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Nothing to close: the connections belong to the database."""

    async def write(self, prepare: Callable[[], Batch]) -> Collection[str]:
        """One statement, and one for each row beside an execution; see the port."""
        batch = prepare()
        database = self._database
        is_one = not batch.in_doubt and not batch.beside
        async with database.statement() if is_one else database.transaction() as connection:
            written = await self._written_before(connection, batch)
            saved = await connection.exec_driver_sql(
                self._statement,
                (
                    *_columns(batch.executions, len(_WRITTEN)),
                    list(batch.tokens),
                    list(batch.follows),
                    self._owner,
                    *_columns(list(_unwritten(batch.journal, written)), len(_ENTRY)),
                    *_columns([letter.row for letter in batch.letters], len(_LETTER)),
                ),
            )
            kept = {row[0] for row in saved}
            for execution_id, rows in batch.beside.items():
                for row in rows if execution_id in kept else ():
                    await connection.execute(postgresql.insert(row.table).values(row.values).on_conflict_do_nothing())
        return {row[0] for row in batch.executions} - kept

    async def _written_before(self, connection: AsyncConnection, batch: Batch) -> dict[str, int]:
        """By execution, how many of its journal rows an earlier attempt has written that failed after its commit."""
        if not batch.in_doubt:
            return {}
        found = await connection.execute(
            select(executions.c.id, executions.c.write_token)
            .where(executions.c.id.in_(batch.in_doubt))
            .with_for_update()
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


def _statement() -> str:
    """What writes a batch: executions by their columns, then the tokens and the holder, then entries and letters, each
    as one array per column. It returns the ids of the executions that the holder has a lease of, or that are new."""
    holder = len(_WRITTEN) + 3
    saved = (*_WRITTEN, "write_token")
    changes = ", ".join(f"{name} = excluded.{name}" for name in (*CHANGING, "write_token"))
    newer = ", ".join(f"{name} = excluded.{name}" for name in _LETTER[1:])
    return f"""
        WITH given AS (
            SELECT * FROM {_rows(executions, saved, 1, also="follows")}
        ), own AS (
            INSERT INTO executions ({", ".join(saved)}) SELECT {", ".join(saved)} FROM given WHERE follows IS NULL
            ON CONFLICT (id) DO UPDATE SET {changes} WHERE executions.lease_owner = ${holder} RETURNING id
        ), followers AS (
            INSERT INTO executions ({", ".join(saved)}) SELECT {", ".join(f"given.{name}" for name in saved)}
            FROM given JOIN own ON own.id = given.follows ON CONFLICT (id) DO NOTHING RETURNING id
        ), saved AS (
            SELECT id FROM own UNION ALL SELECT id FROM followers
        ), noted AS (
            INSERT INTO journal ({", ".join(_ENTRY)}) SELECT {", ".join(_ENTRY)}
            FROM {_rows(journal, _ENTRY, holder + 1)} JOIN saved ON id = execution_id ORDER BY nth
        ), sent AS (
            INSERT INTO outbox ({", ".join(_LETTER)}) SELECT {", ".join(_LETTER)}
            FROM {_rows(outbox, _LETTER, holder + 1 + len(_ENTRY))} JOIN saved ON id = execution_id
            ON CONFLICT (execution_id) DO UPDATE SET {newer}
        )
        SELECT id FROM saved
    """  # noqa: S608 - the names are our own  # nosec B608


def _rows(table: Table, columns: Sequence[str], first: int, *, also: str = "") -> str:
    """Rows with these columns of the table, one of text beside them, and their order, of arrays that are parameters
    from ``first`` on."""
    dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
    types = (table.c[name].type.dialect_impl(dialect).compile(dialect=dialect).partition("(")[0] for name in columns)
    kinds = [*types, "text"] if also else list(types)
    names = [*columns, also] if also else columns
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds, first))
    return f"unnest({arrays}) WITH ORDINALITY AS given ({', '.join(names)}, nth)"


def _columns(rows: Sequence[Row], count: int) -> Sequence[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]
