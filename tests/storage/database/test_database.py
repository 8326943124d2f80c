"""Migrations make the tables that the code speaks to; failures come in our words."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, inspect, select, text

from storage.database.database import Database
from storage.migrations.runner import migrate
from storage.models.prompts import SqlPrompts
from storage.workflows.repository import SqlWorkflowRepository
from tests.support.databases import empty_database_of, upgrade_to
from workflow.errors import StorageError, UnstorableValueError
from workflow.identity import LOCAL_ID


def seen_in(connection: Connection) -> dict[str, Any]:
    """What a database's tables are, in whatever order their columns and indexes were made, and what is in them."""
    inspector, tables = inspect(connection), MetaData()
    tables.reflect(connection)
    seen: dict[str, Any] = {}
    for table in tables.sorted_tables:
        columns = inspector.get_columns(table.name)
        indexes = inspector.get_indexes(table.name)
        seen[table.name] = {
            "columns": sorted((each["name"], str(each["type"]), each["nullable"]) for each in columns),
            "counted": [each["name"] for each in columns if "nextval" in str(each["default"])],
            "key": inspector.get_pk_constraint(table.name)["constrained_columns"],
            "foreign keys": sorted(
                (each["constrained_columns"], each["referred_table"]) for each in inspector.get_foreign_keys(table.name)
            ),
            "indexes": sorted(
                (each["column_names"], each["unique"], str(each.get("dialect_options", {}).get("postgresql_where")))
                for each in indexes
            ),
            "rows": [dict(row._mapping) for row in connection.execute(select(table))],
        }
    return seen


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_an_empty_database_gets_what_the_migrations_make(kind: str, tmp_path: Path) -> None:
    seen = []
    for name, make in {"migrated": lambda each: upgrade_to(each, "head"), "new": None}.items():
        (tmp_path / name).mkdir()
        async with empty_database_of(kind, tmp_path / name) as database:
            if make is None:
                await migrate(database)
            async with database.transaction() as connection:
                if make is not None:
                    await connection.run_sync(make)
                seen.append(await connection.run_sync(seen_in))
    migrated, new = seen
    assert new == migrated
    assert {"users", "turns", "connections", "executions", "outbox"} <= set(new)


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
    with pytest.raises(UnstorableValueError):
        await workflows.get(LOCAL_ID, "half a pair: \ud800")


@pytest.mark.parametrize("number", [1 << 64, 10**30])
async def test_a_number_beyond_all_that_are_kept_is_the_callers_mistake(database: Database, number: int) -> None:
    with pytest.raises(UnstorableValueError, match="looked for"):
        await SqlPrompts(database).get(LOCAL_ID, "greeting", number)
