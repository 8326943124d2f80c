"""What workspaces have declared of actions, and the shapes of their results, in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.database import Database
from storage.tables.connections import action_declarations, connections, result_shapes
from workflow.action_notes import ReadDeclaration, ResultShape

_KEY = ["connection_id", "action"]


class SqlActionNotes:
    """Implements :class:`workflow.action_notes.ActionNotes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def declare_read(self, owner: str, declaration: ReadDeclaration) -> None:
        """Keep it; see the port."""
        await self._put(action_declarations, owner, asdict(declaration))

    async def withdraw_read(self, owner: str, connection_id: str, action: str) -> bool:
        """Delete it; see the port."""
        table = action_declarations.c
        gone = delete(action_declarations).where(
            table.owner == owner, table.connection_id == connection_id, table.action == action
        )
        async with self._database.statement() as statement:
            return (await statement.execute(gone)).rowcount > 0

    async def declared_reads(self, owner: str) -> Sequence[ReadDeclaration]:
        """All of them; see the port."""
        query = select(action_declarations).where(action_declarations.c.owner == owner)
        async with self._database.statement() as statement:
            rows = (await statement.execute(query)).mappings().all()
        return [ReadDeclaration(**_without_owner(row)) for row in rows]

    async def keep_shape(self, owner: str, shape: ResultShape) -> None:
        """Keep it; see the port."""
        await self._put(result_shapes, owner, {name: getattr(shape, name) for name in (*_KEY, "shape", "seen_at")})

    async def shapes(self, owner: str, connection_id: str) -> Sequence[ResultShape]:
        """Those of one connection; see the port."""
        table = result_shapes.c
        query = select(result_shapes).where(table.owner == owner, table.connection_id == connection_id)
        async with self._database.statement() as statement:
            rows = (await statement.execute(query)).mappings().all()
        return [ResultShape(**_without_owner(row)) for row in rows]

    async def _put(self, table: Table, owner: str, values: dict[str, Any]) -> None:
        """Insert the row or change it, while its connection is the workspace's."""
        make = sqlite.insert if self._database.is_sqlite else postgresql.insert
        rest = {name: value for name, value in values.items() if name not in _KEY}
        there = select(connections.c.id).where(
            connections.c.owner == owner, connections.c.id == values["connection_id"]
        )
        async with self._database.transaction() as transaction:
            if (await transaction.execute(there)).one_or_none() is not None:
                await transaction.execute(
                    make(table).values(owner=owner, **values).on_conflict_do_update(index_elements=_KEY, set_=rest)
                )


def _without_owner(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "owner"}
