"""Databases of a test's own, of every kind."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

import storage.migrations
from storage.database.database import Database
from storage.migrations.runner import migrate
from storage.tables.accounts import add_local, workspaces
from storage.tables.workflows import metadata
from tests.support.services import POSTGRESQL_URL, need

FILE = "test.db"
_newest_files: list[bytes] = []
_clean_schemas: list[str] = []
_EMPTIED = f"""DO $$ BEGIN
{"".join(f"DELETE FROM {table.name}; " for table in reversed(metadata.sorted_tables))}
ALTER SEQUENCE journal_positions RESTART;
END $$"""  # noqa: S608 - the names are our own


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
        async with Database(f"sqlite:///{folder / FILE}") as database:
            yield database
        return
    need("PostgreSQL")
    schema = f"test_{uuid.uuid4().hex}"
    async with Database(POSTGRESQL_URL, schema=schema) as database:
        await _run(database, f"CREATE SCHEMA {schema}")
        yield database
        await _run(database, f"DROP SCHEMA {schema} CASCADE")


@asynccontextmanager
async def database_of(kind: str, folder: Path) -> AsyncIterator[Database]:
    """The same with the newest schema. It is made once in a process; then a file is copied, and a schema emptied."""
    if kind == "sqlite":
        await put_newest(folder / FILE)
        async with Database(f"sqlite:///{folder / FILE}") as database:
            yield database
        return
    need("PostgreSQL")
    schema = _clean_schemas.pop() if _clean_schemas else await _new_schema()
    async with Database(POSTGRESQL_URL, schema=schema) as database:
        try:
            yield database
        finally:
            async with database.transaction() as connection:
                await connection.execute(text(_EMPTIED))
                await connection.run_sync(lambda connection: add_local(workspaces, connection))
    _clean_schemas.append(schema)


async def put_newest(path: Path) -> None:
    """Put an empty SQLite database with the newest schema there, unless there is one; to make one takes longer than
    most tests."""
    _put(path, await _newest_file())


async def drop_schemas() -> None:
    """What this process keeps of PostgreSQL's is gone."""
    while _clean_schemas:
        async with Database(POSTGRESQL_URL) as database:
            await _run(database, f"DROP SCHEMA {_clean_schemas.pop()} CASCADE")


def _put(path: Path, content: bytes) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


async def _newest_file() -> bytes:
    if not _newest_files:
        with TemporaryDirectory() as folder:
            async with empty_database_of("sqlite", Path(folder)) as database:
                await migrate(database)
            _newest_files.append((Path(folder) / FILE).read_bytes())
    return _newest_files[0]


async def _new_schema() -> str:
    schema = f"test_{uuid.uuid4().hex}"
    async with Database(POSTGRESQL_URL, schema=schema) as database:
        await _run(database, f"CREATE SCHEMA {schema}")
        await migrate(database)
    return schema


async def _run(database: Database, statement: str) -> None:
    async with database.transaction() as connection:
        await connection.execute(text(statement))
