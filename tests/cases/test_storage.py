"""What is stored: one damaged part is one execution's failure, the newest stay, and a database that is gone is noticed.

Each kind is shown with the whole server; neighbours of the rows, files and cursors themselves are beside their modules
(tests/storage/executions/test_lost_data.py and test_pruning.py, tests/storage/database/test_cursors.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.here import Here, here
from tests.support.waiting import found
from workflow.identity import LOCAL_ID

LARGE = "x" * (300 << 10)
WAITS: dict[str, Any] = {
    "name": "waits",
    "nodes": {
        "start": {"type": "manual"},
        "keep": {"type": "set", "parameters": {"fields": {"n": "={{ $json.n }}"}}},
        "wait": {"type": "wait", "parameters": {"seconds": 2}},
    },
    "connections": [["start", "keep"], ["keep", "wait"]],
}


async def waiting(server: Here, definition: dict[str, Any], **body: Any) -> str:
    """The id of an execution of a new workflow that waits."""
    made = await server.http.post("/api/workflows", json=definition)
    assert made.status_code == 201, made.text
    answer = await server.http.post(f"/api/workflows/{made.json()['workflow_id']}/execute", json=body)
    execution_id = str(answer.json()["execution_id"])
    assert (await server.seen(execution_id))["status"] == "waiting"
    return execution_id


def in_database(data_dir: Path, statement: str, *values: Any) -> None:
    """Change a database behind the server's back."""
    with sqlite3.connect(data_dir / "jobsprint.db", timeout=10) as connection:
        connection.execute(statement, values)
    connection.close()


def damage_row(data_dir: Path, execution_id: str) -> None:
    """What a page of the file that lost a bit makes of a row."""
    in_database(data_dir, "UPDATE executions SET data = substr(data, 1, 20) WHERE id = ?", execution_id)


def damage_journal(data_dir: Path, execution_id: str) -> None:
    """The same of the journal."""
    in_database(data_dir, "UPDATE journal SET data = X'5B' WHERE execution_id = ?", execution_id)


def delete_files(data_dir: Path, execution_id: str) -> None:
    """The large values are gone."""
    for file in (data_dir / "blobs" / execution_id).iterdir():
        file.unlink()


def shorten_files(data_dir: Path, execution_id: str) -> None:
    """The disk was full when somebody copied them."""
    for file in (data_dir / "blobs" / execution_id).iterdir():
        file.write_bytes(file.read_bytes()[:-10])


DAMAGES: list[Callable[[Path, str], None]] = [damage_row, damage_journal, delete_files, shorten_files]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_timer_beside_a_damaged_execution_goes_off(
    data_dir: Path, damage: Callable[[Path, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    async with here(data_dir) as server:
        bad = await waiting(server, WAITS, input=[{"n": LARGE}])
        good = await waiting(server, WAITS, input=[{"n": 1}])
        damage(data_dir, bad)
        assert (await server.seen(good, left="waiting"))["status"] == "succeeded"
        seen = await server.seen(bad, left="waiting")
        assert (seen["status"], seen["error"]["code"]) == ("failed", "lost_data")
        assert len((await server.http.get("/api/executions")).json()["executions"]) == 2
    assert len([each for each in caplog.records if bad in each.getMessage() and each.levelname == "ERROR"]) == 1


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_start_beside_a_damaged_execution_goes_well(
    data_dir: Path, damage: Callable[[Path, str], None]
) -> None:
    async with here(data_dir) as server:
        bad = await waiting(server, WAITS, input=[{"n": LARGE}])
        good = await waiting(server, WAITS, input=[{"n": 1}])
    damage(data_dir, bad)
    in_database(data_dir, "UPDATE executions SET state = 'running', wake_at = NULL")
    async with here(data_dir) as server:
        assert (await server.seen(good))["status"] in ("waiting", "succeeded")
        seen = await server.seen(bad)
        assert (seen["status"], seen["error"]["code"]) == ("failed", "lost_data")


async def test_retention_by_count_keeps_the_newest_whatever_their_ids_are(data_dir: Path) -> None:
    async with here(data_dir, retention_count=3, retention_interval_seconds=1) as server:
        child = {"name": "child", "nodes": {"start": {"type": "manual"}}}
        child_id = (await server.http.post("/api/workflows", json=child)).json()["workflow_id"]
        parent = {
            "name": "parent",
            "nodes": {
                "start": {"type": "manual"},
                "call": {"type": "execute_workflow", "parameters": {"workflow_id": child_id}},
            },
            "connections": [["start", "call"]],
        }
        ended = [(await server.execution(parent))["execution_id"] for _ in range(8)]

        async def kept() -> list[dict[str, Any]] | None:
            listed: list[dict[str, Any]] = (await server.http.get("/api/executions?limit=100")).json()["executions"]
            return listed if len(listed) == 6 else None

        listed = await found(kept)
        parents = [each["execution_id"] for each in listed if each["execution_id"] in ended]
        assert parents == ended[:-4:-1], "the newest three, newest first, each with its child"


@pytest.mark.parametrize(
    "cursor", ["WzFd", "x", "WyJhIiwxLDJd", "Wzk5OTk5OTk5OTk5OTk5OTk5OSwieCJd", "W10", "💥", "AAAA", "bnVsbA"]
)
@pytest.mark.parametrize("path", ["executions", "workflows", "prompts", "audit", "conversations", "keys"])
async def test_a_cursor_made_by_hand_is_the_callers_mistake(whole: Here, path: str, cursor: str) -> None:
    answer = await whole.http.get(f"/api/{path}", params={"cursor": cursor})
    assert answer.status_code in (400, 404), answer.text


@pytest.fixture(scope="module")
async def whole(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that tests share which change nothing."""
    async with here(tmp_path_factory.mktemp("whole")) as server:
        assert await server.services.authoring.workflows.page(LOCAL_ID, text=None, limit=1, cursor=None)
        yield server
