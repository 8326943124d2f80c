"""Brings a database to the newest schema."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, select, text

from storage.database.database import Database
from storage.tables import accounts, connections, models, schedules  # noqa: F401 - their tables are among those made
from storage.tables.workflows import metadata

REVISION = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table: the one row of it names the schema."""
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
    return max(known_revisions())


def known_revisions() -> Collection[str]:
    """Every schema that this version can migrate to the newest."""
    return {script.name.partition("_")[0] for script in (Path(__file__).parent / "versions").glob("[0-9]*.py")}


def _upgrade(connection: Connection) -> None:
    if not inspect(connection).has_table(REVISION.name):
        # What a chain of migrations comes to, at a fifth of the time; a test holds the two against each other.
        metadata.create_all(connection, checkfirst=False)
        REVISION.create(connection)
        connection.execute(REVISION.insert().values(version_num=newest_revision()))
    elif connection.scalar(select(REVISION.c.version_num)) != newest_revision():
        _upgrade_by_alembic(connection)


def _upgrade_by_alembic(connection: Connection) -> None:
    # Loading it takes as long as all else that is done here, and most processes start with the newest schema.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
