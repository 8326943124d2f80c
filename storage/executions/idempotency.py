"""Idempotency keys in the database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.database import Database
from storage.tables.workflows import idempotency_keys as keys

KEPT = timedelta(hours=24)
"""The same key means the same execution for so long (engine.md, "Durable execution")."""


class SqlIdempotencyKeys:
    """Implements :class:`workflow.ports.IdempotencyKeys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, workflow_id: str, key: str, execution_id: str, *, now: datetime) -> str:
        """Bind the key unless it is bound; see the port."""
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        bind = dialect.insert(keys).values(workflow_id=workflow_id, key=key, execution_id=execution_id, created_at=now)
        mine = (keys.c.workflow_id == workflow_id) & (keys.c.key == key)
        async with self._database.transaction() as connection:
            await connection.execute(delete(keys).where(keys.c.created_at < now - KEPT))
            await connection.execute(bind.on_conflict_do_nothing())
            bound: str = (await connection.execute(select(keys.c.execution_id).where(mine))).scalar_one()
        return bound
