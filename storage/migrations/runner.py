"""Brings a database to the newest schema."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from storage.database import Database

MIGRATIONS_LOCK = 0x4A6F6273
"""Key of PostgreSQL's advisory lock, so that processes that start together migrate one after the other: 'Jobs'."""


async def migrate(database: Database) -> None:
    """Run every migration that the database has not seen, in one transaction.

    Raises:
        StorageError: the database failed; its schema is as it was.
    """
    async with database.transaction() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATIONS_LOCK})
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
