"""What can be learned of a database without changing it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database


@dataclass(slots=True, frozen=True, kw_only=True)
class DatabaseFacts:
    """``revision`` is that of its schema, ``None`` where it is empty.

    ``skew_seconds`` is by how much its clock is ahead of ours, ``connections`` how many it takes; of servers only.
    """

    version: str
    revision: str | None
    skew_seconds: float | None = None
    connections: int | None = None


async def facts_of(database: Database) -> DatabaseFacts:
    """The facts.

    Raises:
        StorageError: the database failed.
    """
    async with database.transaction() as connection:
        revision = await _revision(connection)
        if database.is_sqlite:
            version = (await connection.execute(text("SELECT sqlite_version()"))).scalar_one()
            return DatabaseFacts(version=f"SQLite {version}", revision=revision)
        version = (await connection.execute(text("SHOW server_version"))).scalar_one()
        most = (await connection.execute(text("SHOW max_connections"))).scalar_one()
        before = time.time()
        theirs = (await connection.execute(text("SELECT extract(epoch FROM clock_timestamp())"))).scalar_one()
        skew = float(theirs) - (before + time.time()) / 2
        return DatabaseFacts(
            version=f"PostgreSQL {version.split()[0]}", revision=revision, skew_seconds=skew, connections=int(most)
        )


async def _revision(connection: AsyncConnection) -> str | None:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    found: str | None = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    return found
