"""Databases to try every repository on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.migrations.runner import migrate
from tests.support.services import POSTGRESQL_URL, need


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database of the test's own, without tables."""
    if request.param == "sqlite":
        async with Database(f"sqlite:///{tmp_path / 'test.db'}") as database:
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


@pytest.fixture
async def database(empty_database: Database) -> Database:
    """A database with the newest schema."""
    await migrate(empty_database)
    return empty_database
