"""The data folder is its owner's only, and a database that goes while the server runs is noticed at once."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.commands.doctor import Symptom, examined
from server.settings.settings import Settings
from tests.support import server_process
from tests.support.here import Here, here
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

LARGE = "x" * (300 << 10)
DEFINITION: dict[str, Any] = {
    "name": "hook",
    "nodes": {"hook": {"type": "webhook", "parameters": {"path": "in"}}},
}


@pytest.fixture(params=[0o000, *(pytest.param(each, marks=pytest.mark.long) for each in (0o022, 0o077))])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What the process that starts the server keeps from new files."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """The mode of everything in a folder, and of the folder itself."""
    return {
        str(path.relative_to(folder)): oct(stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.rglob("*"))
    }


def expected(folder: Path) -> dict[str, str]:
    """What these modes are to be."""
    return {
        str(path.relative_to(folder)): "0o700" if path.is_dir() else "0o600" for path in (folder, *folder.rglob("*"))
    }


async def test_whatever_the_umask_is_files_are_their_owners_only(
    data_dir: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process that was loaded before has a umask of its own.
    monkeypatch.setattr(server_process, "JOBSPRINT", str(Path(sys.executable).with_name("jobsprint")))
    with ServerProcess(data_dir) as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            await client.post("/api/workflows", params={"publish": True}, json=DEFINITION)
            assert (await client.post("/webhooks/in", json={"text": LARGE})).status_code < 300
            await until(lambda: any(data_dir.glob("blobs/*/*")))
        found = modes(data_dir)
        assert {"jobsprint.db", "jobsprint.db-wal", "jobsprint.lock", "secret.key", "vault.keys", "blobs"} <= set(found)
        assert found == expected(data_dir)
    assert modes(data_dir) == expected(data_dir)


def open_up(folder: Path) -> None:
    """Let everybody do everything."""
    for path in (folder, *folder.iterdir()):
        path.chmod(0o777 if path.is_dir() else 0o666)


async def test_what_earlier_versions_left_open_is_closed_at_the_start(data_dir: Path) -> None:
    async with here(data_dir):
        pass
    open_up(data_dir)
    async with here(data_dir):
        assert modes(data_dir) == expected(data_dir)


async def said(settings: Settings) -> Symptom:
    """What the doctor says of the data folder."""
    return next(iter([each async for each in examined(settings) if each.subject == "folder"]))


@pytest.mark.parametrize("name", ["jobsprint.db", "vault.keys", "blobs", "blobs/old/file", "."])
async def test_the_doctor_names_what_is_open_and_how_to_close_it(data_dir: Path, name: str) -> None:
    settings = Settings(data_dir=data_dir)
    assert (await said(settings)).verdict == "well"
    async with here(data_dir):
        (data_dir / "blobs/old").mkdir(mode=0o700, parents=True)
        (data_dir / "blobs/old/file").touch(mode=0o600)
        (data_dir / "blobs").chmod(0o700)
    assert (await said(settings)).verdict == "well"
    path = data_dir / name
    path.chmod(path.stat().st_mode | stat.S_IROTH)
    symptom = await said(settings)
    assert (symptom.verdict, str(path) in symptom.said) == ("wrong", True)
    command = symptom.said.partition("Run: ")[2]
    process = await asyncio.create_subprocess_shell(command)
    assert await process.wait() == 0
    assert (await said(settings)).verdict == "well"


async def test_the_doctor_looks_at_a_database_that_is_not_in_the_folder(data_dir: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other/it.db"
    async with here(data_dir, database_url=url):
        pass
    settings = Settings(data_dir=data_dir, database_url=url)
    assert (await said(settings)).verdict == "well"
    (tmp_path / "other/it.db").chmod(0o644)
    assert str(tmp_path / "other/it.db") in (await said(settings)).said.partition("Run: ")[2]


def removed(data_dir: Path) -> None:
    """The database's file is deleted."""
    (data_dir / "jobsprint.db").unlink()


def replaced(data_dir: Path) -> None:
    """A copy is put in its place."""
    shutil.copy(data_dir / "jobsprint.db", data_dir / "copy.db")
    (data_dir / "copy.db").replace(data_dir / "jobsprint.db")


def emptied(data_dir: Path) -> None:
    """Everything in the data folder is deleted."""
    for path in data_dir.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def folder_removed(data_dir: Path) -> None:
    """The data folder is deleted."""
    shutil.rmtree(data_dir)


def folder_renamed(data_dir: Path) -> None:
    """The data folder has another name."""
    data_dir.rename(data_dir.with_name("moved"))


FAULTS: list[Callable[[Path], None]] = [removed, replaced, emptied, folder_removed, folder_renamed]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_database_that_is_gone_is_noticed_and_nothing_is_accepted(
    data_dir: Path, fault: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    async with here(data_dir) as server:
        workflow_id = await prepared(server)
        fault(data_dir)
        ready = await server.http.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "storage_failed")
        assert str(data_dir) not in ready.text
        await until(lambda: any("file of the database" in each.getMessage() for each in caplog.records), seconds=1)
        for path, body in (
            ("/webhooks/in", {}),
            (f"/api/workflows/{workflow_id}/execute", {}),
            ("/api/workflows", OTHER),
        ):
            answer = await server.http.post(path, json=body)
            assert answer.status_code == 503, f"{path}: {answer.text}"
        assert (await server.http.get("/api/executions")).status_code == 503


OTHER: dict[str, Any] = {"name": "other", "nodes": {"start": {"type": "manual"}}}


async def prepared(server: Here) -> str:
    """The id of a workflow that runs, and that has run; a webhook listens, too."""
    await server.http.post("/api/workflows", params={"publish": True}, json=DEFINITION)
    workflow_id = str((await server.http.post("/api/workflows", json=OTHER)).json()["workflow_id"])
    for path in ("/webhooks/in", f"/api/workflows/{workflow_id}/execute"):
        assert (await server.http.post(path, json={})).status_code < 300
    assert (await server.http.get("/readyz")).status_code == 200
    return workflow_id


async def test_a_database_that_is_put_back_is_used_again(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with here(data_dir) as server:
        await prepared(server)
        (data_dir / "jobsprint.db").rename(data_dir / "away.db")
        assert (await server.http.post("/webhooks/in", json={})).status_code == 503
        (data_dir / "away.db").rename(data_dir / "jobsprint.db")
        assert (await server.http.post("/webhooks/in", json={})).status_code < 300
        assert (await server.http.get("/readyz")).status_code == 200
        assert len((await server.http.get("/api/executions")).json()["executions"]) == 3, (
            "what was refused is not there"
        )
