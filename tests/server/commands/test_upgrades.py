"""Data of every older schema goes on under the newest: what was listed is listed, and what waited is finished."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, insert, select

from storage.database.database import Database
from storage.migrations.runner import migrate, newest_revision
from tests.support.databases import migrations, upgrade_to
from tests.support.haystack import postgresql_of_ones_own
from tests.support.here import Here, here

SECRETS = {"secret_key": "k" * 48, "vault_keys": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
WAITING = {
    "name": "approval",
    "nodes": {
        "hook": {"type": "webhook", "parameters": {"path": "leads"}},
        "ask": {"type": "approval", "parameters": {"question": "May it?"}},
        "add": {"type": "set", "parameters": {"fields": {"two": "={{ 1 + 1 }}"}}},
    },
    "connections": [["hook", "ask"], ["ask.approve", "add"]],
}
DONE = {
    "name": "done",
    "nodes": {"start": {"type": "manual"}, "add": {"type": "set", "parameters": {"fields": {"n": "={{ $json.n }}"}}}},
    "connections": [["start", "add"]],
}
Rows = dict[str, list[dict[str, Any]]]


OLDER = [each.revision for each in ScriptDirectory.from_config(migrations()).walk_revisions()][:0:-1]


@asynccontextmanager
async def server(data_dir: Path, database: str) -> AsyncIterator[Here]:
    """A server on a database that may be of an older schema."""
    async with here(data_dir, database_url=database, **SECRETS) as opened:
        yield opened


async def live_in(opened: Here) -> None:
    """Leave something of everything that a schema may have."""
    http = opened.http
    for path, body in {
        "/api/credentials": {"name": "crm", "kind": "bearer", "token": "s3cr3t", "allowed_hosts": ["api.example.com"]},
        "/api/prompts": {
            "name": "greeting",
            "title": "A greeting",
            "description": "Greets.",
            "messages": [{"role": "user", "content": "Hello."}],
        },
    }.items():
        answer = await http.post(path, json=body)
        assert answer.status_code == 201, answer.text
    for definition in (WAITING, DONE):
        answer = await http.post("/api/workflows", params={"publish": definition is WAITING}, json=definition)
        assert answer.status_code == 201, answer.text
    done = answer.json()["workflow_id"]
    await http.post(f"/api/workflows/{done}/execute", json={"input": [{"n": 1}], "wait_seconds": 20})
    accepted = (await http.post("/webhooks/leads", json={"n": 2})).json()
    assert (await opened.seen(accepted["execution_id"]))["status"] == "waiting"


async def rows_of(url: str) -> Rows:
    """Everything in a database, by table."""

    def read(connection: Connection) -> Rows:
        tables = MetaData()
        tables.reflect(connection)
        return {
            table.name: [dict(row._mapping) for row in connection.execute(select(table))]
            for table in tables.sorted_tables
        }

    async with Database(url) as database, database.transaction() as connection:
        return await connection.run_sync(read)


async def put_into(url: str, rows: Rows, revision: str) -> None:
    """Make an older schema and put into it what it has room for."""

    def write(connection: Connection) -> None:
        upgrade_to(connection, revision)
        tables = MetaData()
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if table.name == "alembic_version":
                continue
            there = {tuple(row) for row in connection.execute(select(*table.primary_key.columns))}
            for row in rows.get(table.name, []):
                kept = {name: value for name, value in row.items() if name in table.columns}
                if tuple(kept[column.name] for column in table.primary_key.columns) not in there:
                    connection.execute(insert(table).values(kept))

    async with Database(url) as database, database.transaction() as connection:
        await connection.run_sync(write)


@pytest.fixture(scope="module")
async def lived_in(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What a server has left in its database."""
    folder = tmp_path_factory.mktemp("lived-in")
    url = f"sqlite:///{folder}/jobsprint.db"
    async with server(folder / "data", url) as opened:
        await live_in(opened)
    return await rows_of(url)


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/old.db"
        return
    async with postgresql_of_ones_own() as made:
        yield made


async def seen(opened: Here) -> dict[str, Any]:
    """What its callers see of what every schema has."""
    workflows = (await opened.http.get("/api/workflows")).json()["workflows"]
    executions = (await opened.http.get("/api/executions")).json()["executions"]
    return {
        "workflows": sorted((each["name"], each["version"]) for each in workflows),
        "executions": [
            (await opened.http.get(f"/api/executions/{each['execution_id']}")).json() for each in executions
        ],
    }


@pytest.mark.parametrize("revision", OLDER)
async def test_what_was_there_is_there_and_what_waited_is_finished(
    lived_in: Rows, url: str, revision: str, tmp_path: Path
) -> None:
    await put_into(url, lived_in, revision)
    async with server(tmp_path / "data", url) as opened:
        found = await seen(opened)
        assert found["workflows"] == [("approval", 1), ("done", 1)]
        by_status = {each["status"]: each for each in found["executions"]}
        assert sorted(by_status) == ["succeeded", "waiting"]
        assert by_status["succeeded"]["output"]["items"]["add"] == [{"n": 1}]
        path = f"/api/executions/{by_status['waiting']['execution_id']}/resume"
        answered = await opened.http.post(path, json={"node": "ask", "data": {"choice": "approve"}})
        assert answered.status_code == 200, answered.text
        finished = await opened.seen(by_status["waiting"]["execution_id"], left="waiting")
        assert (finished["status"], finished["output"]["items"]["add"][0]["two"]) == ("succeeded", 2)
        again = (await opened.http.post("/webhooks/leads", json={"n": 3})).json()
        assert (await opened.seen(again["execution_id"]))["status"] == "waiting"


async def test_processes_that_start_together_on_an_older_schema_migrate_it_once(lived_in: Rows) -> None:
    async with postgresql_of_ones_own() as url:
        await put_into(url, lived_in, OLDER[0])
        async with Database(url) as one, Database(url) as two, Database(url) as three:
            await asyncio.gather(*map(migrate, (one, two, three)))
        rows = await rows_of(url)
        assert rows["alembic_version"] == [{"version_num": newest_revision()}]
        assert len(rows["executions"]) == len(lived_in["executions"])
