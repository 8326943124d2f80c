"""A full disk or a locked database is reported clearly and corrupts nothing; the server works again afterwards."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.server_process import ServerProcess

DEFINITION = {
    "name": "small",
    "nodes": {"start": {"type": "manual"}, "set": {"type": "set", "parameters": {"fields": {"x": 1}}}},
    "connections": [["start", "set"]],
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here; a full disk was not tried")
    yield folder
    subprocess.run(["/bin/umount", str(folder)], check=True)


def create(server: ServerProcess) -> str:
    """The URL that executes a new workflow."""
    made = httpx2.post(f"{server.url}/api/workflows", json=DEFINITION).json()
    return f"{server.url}/api/workflows/{made['workflow_id']}/execute"


def execute(url: str, text: str = "") -> httpx2.Response:
    """Execute and wait for the end."""
    return httpx2.post(url, json={"input": {"text": text}, "wait_seconds": 20}, timeout=40)


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4_096):
            pass


def assert_sound(data_dir: Path) -> None:
    """The database is whole, and holds nothing half done."""
    with contextlib.closing(sqlite3.connect(data_dir / "jobsprint.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        states = connection.execute("SELECT DISTINCT state FROM executions").fetchall()
    assert states == [("succeeded",)]


def test_a_full_disk_refuses_new_executions_until_there_is_room(small_disk: Path) -> None:
    data_dir = small_disk / "data"
    with ServerProcess(data_dir, {"JOBSPRINT_LOG_LEVEL": "error"}) as server:
        url = create(server)
        assert execute(url).json()["status"] == "succeeded"
        filler = small_disk / "filler"
        fill(filler)
        refused = None
        for _ in range(50):  # pages that are free already take the first ones
            refused = execute(url, "x" * 50_000)
            if refused.status_code != 200:
                break
        assert refused is not None
        assert (refused.status_code, refused.json()["code"]) == (503, "not_accepted")
        assert "fix" in refused.json()
        filler.unlink()
        assert execute(url).json()["status"] == "succeeded"
    assert_sound(data_dir)


def test_a_locked_database_refuses_new_executions_until_it_is_free(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with ServerProcess(data_dir, {"JOBSPRINT_LOG_LEVEL": "error"}) as server:
        url = create(server)
        locker = sqlite3.connect(data_dir / "jobsprint.db", isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        refused = execute(url)
        assert (refused.status_code, refused.json()["code"]) == (503, "not_accepted")
        assert "locked" in refused.json()["title"]
        locker.execute("ROLLBACK")
        locker.close()
        assert execute(url).json()["status"] == "succeeded"
    assert_sound(data_dir)
