"""What the tests of prompts share: the scripted server of models, a database for the history, a prompt manager."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.database.database import Database
from tests.doubles.models import ModelsDouble, serving
from tests.support.databases import database_of
from tests.support.models import ModelsHarness, models_over
from tests.support.prompts import PromptHouse, prompt_house


@pytest.fixture
async def double() -> AsyncIterator[ModelsDouble]:
    """The server, without scripts."""
    async with serving() as double:
        yield double


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A database with the newest schema."""
    async with database_of("sqlite", tmp_path) as database:
        yield database


@pytest.fixture
async def models(double: ModelsDouble, database: Database) -> AsyncIterator[ModelsHarness]:
    """The adapter over the server."""
    async with models_over(double, database) as harness:
        yield harness


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[PromptHouse]:
    """A prompt manager with built-in templates only."""
    async with prompt_house(tmp_path) as found:
        yield found
