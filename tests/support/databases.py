"""Databases of a test's own, of every kind."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

import storage.migrations
from storage.database import Database
from storage.migrations.runner import migrate
from tests.support.services import POSTGRESQL_URL, need


def upgrade_to(connection: Connection, revision: str) -> None:
    """Bring the schema to a revision by the migrations."""
    command.upgrade(migrations(connection), revision)


def migrations(connection: Connection | None = None) -> Config:
    """The migrations, to be run on a connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(storage.migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


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
