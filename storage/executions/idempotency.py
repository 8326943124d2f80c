"""Idempotency keys in the database."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.database import Database
from storage.tables.workflows import idempotency_keys as keys
from workflow.errors import StorageError
from workflow.idempotency import BoundKey

logger = logging.getLogger(__name__)

KEPT = timedelta(hours=24)
"""The same key means the same execution for so long (engine.md, "Durable execution")."""


TIDIED_EVERY, TIDIED_AT_ONCE = timedelta(minutes=10), 10_000


class SqlIdempotencyKeys:
    """Implements :class:`workflow.idempotency.IdempotencyKeys`.

    1. Two processes bind one key at the same moment. The primary key lets one of them in; the other one's statement
       waits for that one's commit, changes nothing, and the binding is read afterwards.
    2. A key is older than a day. The same statement binds it anew, so nothing needs to be deleted first: two that
       deleted the same old keys in different orders would end each other's transactions.
    3. The binding is freed between the statement and the reading: it is bound once more.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tidied_at: datetime | None = None

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
        binding = {"execution_id": execution_id, "request": request, "created_at": now}
        bind = dialect.insert(keys).values(workflow_id=workflow_id, key=stored, **binding)
        bind = bind.on_conflict_do_update(
            index_elements=["workflow_id", "key"], set_=binding, where=keys.c.created_at < now - KEPT
        ).returning(keys.c.execution_id, keys.c.request)
        bound = select(keys.c.execution_id, keys.c.request).where(
            keys.c.workflow_id == workflow_id, keys.c.key == stored
        )
        row = None
        while row is None:
            for query in (bind, bound):
                async with self._database.statement() as connection:
                    row = (await connection.execute(query)).one_or_none()
                if row is not None:
                    break
        await self._tidy(now)
        return BoundKey(row.execution_id, json.loads(row.request) if row.request is not None else None)

    async def _tidy(self, now: datetime) -> None:
        """Delete some of what is too old, now and then. Keys that are being bound anew are left alone."""
        if self._tidied_at is not None and now - self._tidied_at < TIDIED_EVERY:
            return
        self._tidied_at = now
        old = select(keys.c.workflow_id, keys.c.key).where(keys.c.created_at < now - KEPT).limit(TIDIED_AT_ONCE)
        if not self._database.is_sqlite:
            old = old.with_for_update(skip_locked=True)
        try:
            async with self._database.transaction() as connection:
                await connection.execute(delete(keys).where(tuple_(keys.c.workflow_id, keys.c.key).in_(old)))
        except StorageError as error:  # the next time will do
            logger.info("old idempotency keys stay: %s", error.message)


def _storable(key: str) -> str:
    """The key, or a digest of one that not every database can store: with a NUL, or half a surrogate pair."""
    if key.isprintable():
        return key
    return f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
