"""Databases to try every repository on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.database.database import Database
from tests.support.databases import database_of, empty_database_of

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
async def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database of the test's own, without tables."""
    async with empty_database_of(request.param, tmp_path) as database:
        yield database


@pytest.fixture(params=KINDS)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database of the test's own with the newest schema."""
    async with database_of(request.param, tmp_path) as database:
        yield database
