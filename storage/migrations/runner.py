"""Brings a database to the newest schema."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from storage.database.database import Database
from storage.tables import accounts, connections, models  # noqa: F401 - their tables are among those made
from storage.tables.workflows import metadata

MIGRATIONS_LOCK = 0x4A6F6273
"""Key of PostgreSQL's advisory lock, so that processes that start together migrate one after the other: 'Jobs'."""


async def migrate(database: Database) -> None:
    """Run every migration that the database has not seen, in one transaction; make the newest schema in an empty one.

    Raises:
        StorageError: the database failed; its schema is as it was.
    """
    async with database.transaction() as connection:
        if not database.is_sqlite:
            # Those that wait for the lock, and those that rewrite a large table, take their time.
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATIONS_LOCK})
        await connection.run_sync(_upgrade)


def newest_revision() -> str:
    """The schema that this version's code is written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("there are no migrations")
    return head


def known_revisions() -> Collection[str]:
    """Every schema that this version can migrate to the newest."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _upgrade(connection: Connection) -> None:
    config = _config()
    if not inspect(connection).has_table("alembic_version"):
        # What a chain of migrations comes to, at a fifth of the time; a test holds the two against each other.
        metadata.create_all(connection, checkfirst=False)
        MigrationContext.configure(connection).stamp(ScriptDirectory.from_config(config), "head")
        return
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
