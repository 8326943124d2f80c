"""What one transaction of a group commit writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

from sqlalchemy import Table

from storage.executions.records import moment
from storage.tables.workflows import executions, outbox
from workflow.messages import Job

Row = tuple[Any, ...]
CHANGING = ("state", "error_message", "wake_at", "lease_owner", "lease_expires_at", "data")
"""Columns of an execution that a later row changes."""
NOT_THE_HOLDERS = ("signals", "is_cancelled", "write_token")
"""Columns that other processes write, or the database's own writer."""


def written_columns() -> list[str]:
    """The columns of an execution that its holder writes, in the order of its rows."""
    return [column.name for column in executions.c if column.name not in NOT_THE_HOLDERS]


class Letter(NamedTuple):
    """A job on its way to the broker, as a row of the outbox. ``created_at`` is whole microseconds since 1970."""

    execution_id: str
    workflow_id: str
    place: str
    token: str
    created_at: int
    message: bytes
    job: Job

    @property
    def row(self) -> Row:
        """What the table holds of it, for the driver."""
        return self[:-1]

    def columns(self) -> dict[str, Any]:
        """The same by the names of the columns."""
        return dict(zip(outbox.c.keys(), (*self[:4], moment(self.created_at), self.message), strict=True))


class Beside(NamedTuple):
    """A row of another table, by its columns, that is written with an execution. One that is there already stays."""

    table: Table
    values: dict[str, Any]


class Batch(NamedTuple):
    """Rows for the tables of executions, of journals and of letters, by execution the rows beside it, and rows of the
    audit log that come along.

    Journal rows begin with the execution's id and a position, which databases that count by themselves do without.
    ``follows`` has, per execution, the one without which it may not be written; ``None`` for most. ``tokens`` name this
    attempt, one for each execution; ``in_doubt`` has, by execution, the tokens of failed attempts
    that may have been committed all the same, and how many of its journal rows each has written then.
    """

    executions: Sequence[Row]
    follows: Sequence[str | None]
    journal: Sequence[Row]
    letters: Sequence[Letter]
    tokens: Sequence[int]
    in_doubt: Mapping[str, Sequence[tuple[int, int]]]
    beside: Mapping[str, Sequence[Beside]]
    audit: Sequence[Row] = ()


class BatchWriter(Protocol):
    """Writes batches, each in one transaction; an async context manager."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc_info: object) -> None: ...

    async def write(self, prepare: Callable[[], Batch]) -> Collection[str]:
        """Write what ``prepare`` returns, which may take its time; the ids of executions whose lease another process
        has by now: nothing of them was written.

        Raises:
            StorageError: nothing was written, or all of it: see :class:`storage.executions.group_commit.GroupCommit`.
        """
        ...
