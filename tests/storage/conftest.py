"""Databases to try every repository on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.migrations.runner import migrate
from tests.support.databases import empty_database_of


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database of the test's own, without tables."""
    async with empty_database_of(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def database(empty_database: Database) -> Database:
    """A database with the newest schema."""
    await migrate(empty_database)
    return empty_database
