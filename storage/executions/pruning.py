"""Which executions that have ended are deleted, and with what: an execution and its children go together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, or_, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database
from storage.executions.blobs import BlobStore
from storage.tables.models import exchanges
from storage.tables.workflows import executions, journal
from workflow.states import FINISHED, ExecutionState

_ENDED = tuple(state.value for state in FINISHED)
_CREATION = (executions.c.created_at, executions.c.id)
_NEWEST_FIRST = (executions.c.created_at.desc(), executions.c.id.desc())
MOST_PARAMETERS = 500
"""Ids in one statement."""


class Pruning:
    """Deletes executions that have ended, oldest first. Their age counts from when they were created.

    A family is a root, which no other execution started, with its children and theirs. It is deleted in one
    transaction, and only when all of it has ended; of a family only the root counts towards the number that is kept.
    Older versions deleted roots without their families: what is left of one goes by the age of each that is left.
    """

    def __init__(self, database: Database, blobs: BlobStore | None) -> None:
        self._database = database
        self._blobs = blobs

    async def prune(self, *, ended_before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete up to ``limit`` families that began before then, or are not among the latest ``keep``; how many
        executions that were. What was said to models goes with them, or by its own age where it is of none.

        Raises:
            StorageError: the database failed, and nothing was deleted.
        """
        async with self._database.transaction() as connection:
            due = await self._due(connection, ended_before, keep)
            if due is None:
                return 0
            ids = await self._families(connection, due, limit)
            for start in range(0, len(ids), MOST_PARAMETERS):
                part = ids[start : start + MOST_PARAMETERS]
                await connection.execute(delete(journal).where(journal.c.execution_id.in_(part)))
                await connection.execute(delete(exchanges).where(exchanges.c.execution_id.in_(part)))
                await connection.execute(delete(executions).where(executions.c.id.in_(part)))
            if ended_before is not None:
                strays = exchanges.c.execution_id.is_(None) & (exchanges.c.created_at < ended_before)
                await connection.execute(delete(exchanges).where(strays))
        if self._blobs is not None:
            await asyncio.to_thread(self._blobs.delete, ids)
        return len(ids)

    async def _families(self, connection: AsyncConnection, due: ColumnElement[bool], limit: int) -> list[str]:
        """The ids of the oldest families that are due and have ended, ``limit`` executions or a few more."""
        found: list[str] = []
        last: tuple[datetime, str] | None = None
        while len(found) < limit:
            seen = await self._seen(connection, due, behind=last, limit=limit)
            for family in await self._ended(connection, [row.root_id or row.id for row in seen]):
                if len(found) < limit:
                    found += family
            if len(seen) < limit:
                break
            last = (seen[-1].created_at, seen[-1].id)
        return found

    @staticmethod
    async def _due(
        connection: AsyncConnection, ended_before: datetime | None, keep: int | None
    ) -> ColumnElement[bool] | None:
        """Which executions are due where nothing keeps them; ``None`` where none is."""
        due: list[ColumnElement[bool]] = []
        if ended_before is not None:
            due.append(executions.c.created_at < ended_before)
        if keep is not None:
            # Each of these reads as much of its state's index as is kept at most.
            newest = [
                select(*_CREATION)
                .where(executions.c.state == state.value, executions.c.root_id.is_(None))
                .order_by(*_NEWEST_FIRST)
                .limit(keep + 1)
                .subquery()
                for state in ExecutionState
            ]
            every = union_all(*map(select, newest)).subquery()
            oldest_but_one = select(every).order_by(every.c.created_at.desc(), every.c.id.desc()).offset(keep).limit(1)
            found = (await connection.execute(oldest_but_one)).one_or_none()
            if found is not None:
                due.append(tuple_(*_CREATION) <= (found.created_at, found.id))
        return or_(*due) if due else None

    @staticmethod
    async def _seen(
        connection: AsyncConnection, due: ColumnElement[bool], *, behind: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Any]:
        """The oldest roots that are due, and what is due of families without one, behind one of them."""
        roots = executions.alias()
        has_root = exists().where(roots.c.id == executions.c.root_id)
        query = select(*_CREATION, executions.c.root_id).where(due, or_(executions.c.root_id.is_(None), ~has_root))
        if behind is not None:
            query = query.where(tuple_(*_CREATION) > behind)
        query = query.order_by(*_CREATION).limit(limit)
        # State by state, each in the order of its index, so that no more than these are read.
        rows = [(await connection.execute(query.where(executions.c.state == state))).all() for state in _ENDED]
        return sorted(chain.from_iterable(rows), key=lambda row: (row.created_at, row.id))[:limit]

    @staticmethod
    async def _ended(connection: AsyncConnection, roots: Sequence[str]) -> list[list[str]]:
        """The families of these roots of which all members have ended."""
        families: dict[str, list[str]] = {root: [] for root in roots}
        for start in range(0, len(roots), MOST_PARAMETERS):
            part = roots[start : start + MOST_PARAMETERS]
            for column in (executions.c.id, executions.c.root_id):
                query = select(executions.c.id, executions.c.root_id, executions.c.state).where(column.in_(part))
                for row in await connection.execute(query):
                    family = row.root_id or row.id
                    if row.state not in _ENDED:
                        families.pop(family, None)
                    elif family in families:
                        families[family].append(row.id)
        return list(families.values())
