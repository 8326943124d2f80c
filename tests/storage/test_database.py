"""Migrations make the tables that the code speaks to; failures come in our words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from storage import account_tables, ai_tables, connection_tables
from storage.database import Database
from storage.migrations.runner import migrate
from storage.tables import metadata
from storage.workflows import SqlWorkflowRepository
from workflow.errors import StorageError, UnstorableValueError
from workflow.identity import LOCAL_ID


async def test_migrations_make_the_tables_of_the_code(empty_database: Database) -> None:
    assert {account_tables.users, ai_tables.turns, connection_tables.connections} <= set(metadata.sorted_tables)
    await migrate(empty_database)

    def is_made_here(thing: Any, name: str, kind: str, *_: object) -> bool:
        """Some indexes are PostgreSQL's only."""
        is_partial = kind == "index" and thing.dialect_options["postgresql"].get("where") is not None
        return not (is_partial and empty_database.is_sqlite)

    def differences(connection: Connection) -> object:
        options = {"compare_type": True, "include_object": is_made_here}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with empty_database.transaction() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_again_and_on_a_shared_database_at_once_does_no_harm(empty_database: Database) -> None:
    if not empty_database.is_sqlite:
        await asyncio.gather(*(migrate(empty_database) for _ in range(3)))
    await migrate(empty_database)
    await migrate(empty_database)


async def test_an_error_rolls_the_whole_transaction_back(database: Database) -> None:
    statement = text("INSERT INTO webhook_paths (path, workflow_id) VALUES ('p', 'absent')")
    with pytest.raises(StorageError):
        async with database.transaction() as connection:
            await connection.execute(statement)
    async with database.transaction() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM webhook_paths"))).scalar_one() == 0


@pytest.mark.parametrize(
    "url", ["mysql://x/y", "nonsense", "postgresql://nobody@127.0.0.1:1/none", "sqlite:////proc/none/x.db"]
)
async def test_a_database_that_cannot_be_used_is_told_in_one_sentence(url: str) -> None:
    with pytest.raises(StorageError):
        async with Database(url) as database:
            await database.ping()


async def test_text_that_no_database_keeps_is_an_error_of_ours(database: Database) -> None:
    workflows = SqlWorkflowRepository(database)
    with pytest.raises(StorageError if not database.is_sqlite else UnstorableValueError):
        await workflows.get(LOCAL_ID, "half a pair: \ud800")
