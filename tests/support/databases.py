"""Databases of a test's own, of every kind."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text

from storage.database import Database
from storage.migrations.runner import migrate
from tests.support.services import POSTGRESQL_URL, need


@asynccontextmanager
async def empty_database_of(kind: str, folder: Path) -> AsyncIterator[Database]:
    """A database of the kind ``sqlite`` or ``postgresql``, without tables."""
    if kind == "sqlite":
        async with Database(f"sqlite:///{folder / 'test.db'}") as database:
            yield database
        return
    need("PostgreSQL")
    schema = f"test_{uuid.uuid4().hex}"
    async with Database(POSTGRESQL_URL, schema=schema) as database:
        async with database.transaction() as connection:
            await connection.execute(text(f"CREATE SCHEMA {schema}"))
        yield database
        async with database.transaction() as connection:
            await connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


@asynccontextmanager
async def database_of(kind: str, folder: Path) -> AsyncIterator[Database]:
    """The same with the newest schema."""
    async with empty_database_of(kind, folder) as database:
        await migrate(database)
        yield database
