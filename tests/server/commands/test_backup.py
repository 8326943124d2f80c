"""A backup has what the store had at one moment, also while a server works, and is restored whole or not at all."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.commands.backup import backed_up, restored
from server.settings.settings import Settings
from storage.backups import backup as module
from storage.backups.archive import MANIFEST, ArchiveReader, ArchiveWriter, Manifest
from storage.backups.errors import BackupError
from storage.executions.blobs import BlobStore
from storage.private_files import is_open_to_others, open_to_others
from tests.support.here import Here, here
from tests.support.server_process import JOBSPRINT, ServerProcess, environment
from tests.support.waiting import until

LARGE = "x" * (300 << 10)
SET: dict[str, Any] = {
    "name": "set",
    "nodes": {"start": {"type": "manual"}, "keep": {"type": "set", "parameters": {"fields": {"n": "={{ $json.n }}"}}}},
    "connections": [["start", "keep"]],
}
WAITS: dict[str, Any] = {
    "name": "waits",
    "nodes": {
        "start": {"type": "manual"},
        "ask": {"type": "approval", "parameters": {"question": "May it?"}},
        "keep": {"type": "set", "parameters": {"fields": {"size": "={{ $json.n.length }}"}}},
    },
    "connections": [["start", "ask"], ["ask.approve", "keep"]],
}


async def lived_in(server: Here) -> dict[str, str]:
    """Executions by name: one that has ended, one that waits, and both with large values."""
    done = await server.execution(SET, input=[{"n": LARGE}])
    waits = await server.execution(WAITS, input=[{"n": LARGE}])
    assert (done["status"], waits["status"]) == ("succeeded", "waiting")
    return {"done": done["execution_id"], "waits": waits["execution_id"]}


async def check(server: Here, ids: dict[str, str]) -> None:
    """All of it is there and goes on."""
    assert (await server.seen(ids["done"]))["status"] == "succeeded"
    path = f"/api/executions/{ids['waits']}"
    answered = await server.http.post(f"{path}/resume", json={"node": "ask", "data": {"choice": "approve"}})
    assert answered.status_code == 200, answered.text
    ended = await server.seen(ids["waits"], left="waiting")
    assert (ended["status"], ended["output"]["items"]["keep"][0]["size"]) == ("succeeded", len(LARGE))


def of(folder: Path) -> Settings:
    """The settings of a data folder."""
    return Settings(data_dir=folder)


@pytest.fixture
def copy_dir(tmp_path: Path) -> Path:
    """Where backups are restored to."""
    return tmp_path / "copy"


@pytest.mark.parametrize("with_keys", [True, False])
async def test_a_backup_is_restored_and_goes_on(
    data_dir: Path, copy_dir: Path, tmp_path: Path, with_keys: bool
) -> None:
    async with here(data_dir) as server:
        ids = await lived_in(server)
        crm = {"name": "crm", "kind": "bearer", "token": "s3cr3t", "allowed_hosts": ["api.example.com"]}
        assert (await server.http.post("/api/credentials", json=crm)).status_code == 201
        lines = backed_up(of(data_dir), tmp_path / "b.jobsprint", with_keys=with_keys)
    said = "\n".join(lines)
    assert "2 executions and" in said
    assert ("who has the file can read every credential" in said) is with_keys
    assert (str(data_dir / "vault.keys") in said) is not with_keys
    said = "\n".join(restored(of(copy_dir), tmp_path / "b.jobsprint"))
    assert "1 executions had not ended then" in said
    assert ("JOBSPRINT_VAULT_KEYS" in said) is not with_keys
    if with_keys:
        assert (copy_dir / "vault.keys").read_bytes() == (data_dir / "vault.keys").read_bytes()
    assert list(open_to_others(copy_dir)) == []
    assert not is_open_to_others(tmp_path / "b.jobsprint")
    async with here(copy_dir) as server:
        await check(server, ids)


async def test_a_backup_while_executions_run_has_each_of_them_whole(data_dir: Path, tmp_path: Path) -> None:
    with ServerProcess(
        data_dir, {"JOBSPRINT_RETENTION_COUNT": "20", "JOBSPRINT_RETENTION_INTERVAL_SECONDS": "1"}
    ) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
            workflow_id = (await client.post("/api/workflows", json=SET)).json()["workflow_id"]
            accepted: list[str] = []
            is_over = False

            async def load(number: int) -> None:
                while not is_over:
                    body = {"input": [{"n": f"{number}-{len(accepted)}-{LARGE}"}]}
                    answer = await client.post(f"/api/workflows/{workflow_id}/execute", json=body)
                    assert answer.status_code < 300, answer.text
                    accepted.append(answer.json()["execution_id"])

            tasks = [asyncio.create_task(load(number)) for number in range(3)]
            for number in range(4):
                before = len(accepted)
                await until(lambda: len(accepted) > before, seconds=30)  # noqa: B023 - it is asked in this turn alone
                said = await run(data_dir, "backup", str(tmp_path / f"{number}.backup"))
                assert said.returncode == 0, said.stderr
                assert "Missing" not in said.stdout
            is_over = True
            await asyncio.gather(*tasks)
    for number in range(4):
        folder = tmp_path / f"restored-{number}"
        assert (await run(folder, "restore", str(tmp_path / f"{number}.backup"))).returncode == 0
        async with here(folder) as copy:
            listed = (await copy.http.get("/api/executions", params={"limit": 100})).json()["executions"]
            assert listed
            for each in listed:
                assert (await copy.seen(each["execution_id"]))["status"] == "succeeded"


async def run(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a command says."""
    return await asyncio.to_thread(
        subprocess.run,
        [JOBSPRINT, *arguments],
        env=environment(data_dir),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_what_retention_deletes_meanwhile_is_not_in_it(
    data_dir: Path, copy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with here(data_dir) as server:
        ids = await lived_in(server)
        copied = module.copy_database

        def prune_after(source: Path, target: Path) -> None:
            copied(source, target)
            BlobStore(data_dir / "blobs").delete([ids["done"]])
            with sqlite3.connect(data_dir / "jobsprint.db", timeout=10) as database:
                database.execute("DELETE FROM executions WHERE id = ?", (ids["done"],))
            database.close()

        monkeypatch.setattr(module, "copy_database", prune_after)
        monkeypatch.setattr(module, "_blobs_under", lambda folder: iter(()))  # nothing was read before
        lines = backed_up(of(data_dir), tmp_path / "b", with_keys=True)
    assert "1 executions" in lines[0]
    assert not [line for line in lines if "Missing" in line]
    restored(of(copy_dir), tmp_path / "b")
    async with here(copy_dir) as server:
        assert (await server.http.get(f"/api/executions/{ids['done']}")).status_code == 404


async def test_what_was_lost_before_is_named_and_the_rest_is_there(
    data_dir: Path, copy_dir: Path, tmp_path: Path
) -> None:
    async with here(data_dir) as server:
        ids = await lived_in(server)
        BlobStore(data_dir / "blobs").delete([ids["done"]])
        lines = backed_up(of(data_dir), tmp_path / "b", with_keys=True)
    assert [line for line in lines if "Missing" in line and ids["done"] in line]
    restored(of(copy_dir), tmp_path / "b")
    async with here(copy_dir) as server:
        assert (await server.seen(ids["done"]))["error"]["code"] == "lost_data"
        assert (await server.seen(ids["waits"]))["status"] == "waiting"


def occupied_by_database(folder: Path) -> None:
    """A database is there."""
    (folder / "jobsprint.db").write_bytes(b"")


def occupied_by_log(folder: Path) -> None:
    """What a database that was moved away has left: it would be taken for the restored one's."""
    (folder / "jobsprint.db-wal").write_bytes(b"")


def occupied_by_keys(folder: Path) -> None:
    """Another key is there."""
    (folder / "vault.keys").write_text("another")


@pytest.mark.parametrize("occupied", [occupied_by_database, occupied_by_log, occupied_by_keys])
def test_restore_overwrites_nothing(whole: Path, copy_dir: Path, occupied: Callable[[Path], None]) -> None:
    copy_dir.mkdir()
    occupied(copy_dir)
    before = {path: path.read_bytes() for path in copy_dir.iterdir()}
    with pytest.raises(BackupError, match="is there already") as caught:
        restored(of(copy_dir), whole)
    assert caught.value.fix
    assert {path: path.read_bytes() for path in copy_dir.iterdir() if path.name != "jobsprint.lock"} == before


async def test_restore_beside_a_running_server_and_backup_over_a_file_are_refused(
    whole: Path, copy_dir: Path, tmp_path: Path
) -> None:
    async with here(copy_dir):
        with pytest.raises(BackupError, match="A server uses"):
            restored(of(copy_dir), whole)
        (tmp_path / "there").write_text("mine")
        with pytest.raises(BackupError, match="is there already"):
            backed_up(of(copy_dir), tmp_path / "there", with_keys=False)
    assert (tmp_path / "there").read_text() == "mine"


def test_keys_that_are_there_already_and_the_same_are_kept(whole: Path, whole_dir: Path, copy_dir: Path) -> None:
    copy_dir.mkdir()
    (copy_dir / "vault.keys").write_bytes((whole_dir / "vault.keys").read_bytes())
    restored(of(copy_dir), whole)
    assert (copy_dir / "secret.key").exists()


@pytest.fixture(scope="module")
async def whole_dir(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that a server has used."""
    folder = tmp_path_factory.mktemp("used") / "data"
    async with here(folder) as server:
        await lived_in(server)
    return folder


@pytest.fixture(scope="module")
async def whole(whole_dir: Path) -> Path:
    """A backup of it."""
    backed_up(of(whole_dir), whole_dir.parent / "backup", with_keys=True)
    return whole_dir.parent / "backup"


def members(path: Path) -> dict[str, bytes]:
    """The files in a backup."""
    with tarfile.open(path) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def packed(path: Path, files: dict[str, bytes]) -> Path:
    """A file with these members."""
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def manifest_with(found: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The same with another manifest."""
    return {**found, MANIFEST: orjson.dumps({**orjson.loads(found[MANIFEST]), **changes})}


Change = Callable[[dict[str, bytes]], dict[str, bytes]]
BROKEN: dict[str, Change] = {
    "no manifest": lambda files: {name: data for name, data in files.items() if name != MANIFEST},
    "no database": lambda files: {name: data for name, data in files.items() if name != "jobsprint.db"},
    "a file is missing": lambda files: {name: data for name, data in files.items() if not name.startswith("blobs/")},
    "a file more": lambda files: {"blobs/x/" + "0" * 64: b"x", **files},
    "a changed byte": lambda files: {**files, "jobsprint.db": files["jobsprint.db"][:-1] + b"?"},
    "a way out": lambda files: {"../outside": b"x", **files},
    "another way out": lambda files: {"blobs/../../x": b"x", **files},
    "an absolute path": lambda files: {"/tmp/x": b"x", **files},  # noqa: S108 - that is the point
    "a later schema": lambda files: manifest_with(files, revision="9999"),
    "another schema than it says": lambda files: manifest_with(files, revision="0001"),
    "a later format": lambda files: manifest_with(files, format=2),
    "a manifest that is none": lambda files: {**files, MANIFEST: b"[]"},
    "one with other members": lambda files: manifest_with(files, more=1),
    "one with odd files": lambda files: manifest_with(files, files={"jobsprint.db": 1}),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_backup_that_is_not_what_it_was_is_refused_whole(
    whole: Path, copy_dir: Path, tmp_path: Path, how: str
) -> None:
    broken = packed(tmp_path / "broken", BROKEN[how](members(whole)))
    with pytest.raises(BackupError) as caught:
        restored(of(copy_dir), broken)
    assert caught.value.fix
    assert [path.name for path in copy_dir.iterdir()] == ["jobsprint.lock"]


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_of_the_file_is_overlooked(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    good = whole.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    broken = tmp_path / "broken"
    if data.draw(st.booleans()):
        broken.write_bytes(good[:place])
    else:
        broken.write_bytes(good[:place] + bytes([good[place] ^ 0x40]) + good[place + 1 :])
    folder = tmp_path / f"into-{place}"
    try:
        ArchiveReader(broken).checked()
    except BackupError:
        return
    # What is neither read nor used may be otherwise: padding, and times and owners of members.
    extracted = ArchiveReader(broken)
    folder.mkdir(exist_ok=True)
    extracted.extract(folder, wanted=lambda name: name == "jobsprint.db" and not (folder / name).exists())
    assert (folder / "jobsprint.db").read_bytes() == members(whole)["jobsprint.db"]


def links() -> Iterable[tarfile.TarInfo]:
    """Members that are no files."""
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        member = tarfile.TarInfo("jobsprint.db")
        member.type, member.linkname = kind, "/etc/passwd"
        yield member


@pytest.mark.parametrize("member", list(links()), ids=lambda member: str(member.type))
def test_members_that_are_no_files_are_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    with tarfile.open(tmp_path / "b", "w") as tar:
        tar.addfile(member)
    with pytest.raises(BackupError):
        ArchiveReader(tmp_path / "b").checked()


def test_where_the_disk_is_full_nothing_is_left(
    whole_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: ArchiveWriter, manifest: Manifest) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ArchiveWriter, "close", full)
    with pytest.raises(BackupError, match="No space left"):
        backed_up(of(whole_dir), tmp_path / "b", with_keys=False)
    assert list(tmp_path.iterdir()) == []


def test_postgresql_is_left_to_its_own_tools(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql://somewhere/db")
    for work in (
        lambda: backed_up(settings, tmp_path / "b", with_keys=False),
        lambda: restored(settings, tmp_path / "b"),
    ):
        with pytest.raises(BackupError, match="PostgreSQL") as caught:
            work()
        assert "pg_dump" in (caught.value.fix or "")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="There is no database"):
        backed_up(of(tmp_path / "none"), tmp_path / "b", with_keys=False)
    with pytest.raises(BackupError, match="cannot be read"):
        restored(of(tmp_path / "into"), tmp_path / "absent")
    assert not (tmp_path / "b").exists()
