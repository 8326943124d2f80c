"""Idempotency keys in the database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.database import Database
from storage.tables.workflows import idempotency_keys as keys
from workflow.ports import BoundKey

KEPT = timedelta(hours=24)
"""The same key means the same execution for so long (engine.md, "Durable execution")."""


class SqlIdempotencyKeys:
    """Implements :class:`workflow.ports.IdempotencyKeys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, workflow_id: str, key: str, execution_id: str, *, now: datetime) -> str:
        """Bind the key unless it is bound; see the port."""
        return (await self._bound(workflow_id, key, execution_id, None, now)).execution_id

    async def bind(
        self, workflow_id: str, key: str, execution_id: str, *, request: Mapping[str, str], now: datetime
    ) -> BoundKey:
        """Bind the key, with what it is for, unless it is bound; see the port."""
        return await self._bound(workflow_id, key, execution_id, json.dumps(dict(request)), now)

    async def free(self, workflow_id: str, key: str, execution_id: str) -> None:
        """Unbind the key where it is bound to the execution; see the port."""
        mine = (keys.c.workflow_id == workflow_id) & (keys.c.key == _storable(key))
        async with self._database.transaction() as connection:
            await connection.execute(delete(keys).where(mine & (keys.c.execution_id == execution_id)))

    async def _bound(
        self, workflow_id: str, key: str, execution_id: str, request: str | None, now: datetime
    ) -> BoundKey:
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        stored = _storable(key)
        bind = dialect.insert(keys).values(
            workflow_id=workflow_id, key=stored, execution_id=execution_id, request=request, created_at=now
        )
        mine = (keys.c.workflow_id == workflow_id) & (keys.c.key == stored)
        async with self._database.transaction() as connection:
            await connection.execute(delete(keys).where(keys.c.created_at < now - KEPT))
            await connection.execute(bind.on_conflict_do_nothing())
            row = (await connection.execute(select(keys.c.execution_id, keys.c.request).where(mine))).one()
        return BoundKey(row.execution_id, json.loads(row.request) if row.request is not None else None)


def _storable(key: str) -> str:
    """The key, or a digest of one that not every database can store: with a NUL, or half a surrogate pair."""
    if key.isprintable():
        return key
    return f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
