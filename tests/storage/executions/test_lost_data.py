"""One row that cannot be read is that row's failure: it fails, is in the log once, and nothing waits for it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from storage.database.database import Database
from storage.executions.blobs import LARGEST_ROW_BYTES, BlobStore
from storage.executions.outbox import DEFERRED, Outbox
from storage.tables.workflows import executions, journal, outbox
from tests.storage.executions.test_repositories import (
    KEY,
    LEASE_SECONDS,
    NOW,
    RECORDS,
    LeasingStore,
    execution,
    opened,
)
from tests.storage.executions.test_sharing import Broker, Process, job_of, process
from tests.support.databases import database_of
from tests.support.engine import FixedClock
from workflow.errors import StorageError
from workflow.execution_figures import ExecutionFilter
from workflow.executions import EffectResult
from workflow.identity import LOCAL_ID
from workflow.lost_data import LostDataError
from workflow.states import ExecutionState

LATER = NOW + timedelta(days=1)
LARGE = {"text": "x" * LARGEST_ROW_BYTES}


@pytest.fixture
async def store(database: Database, tmp_path: Path) -> AsyncIterator[LeasingStore]:
    """The store of executions."""
    async with opened(database, tmp_path, "one") as store:
        yield store


async def damage(database: Database, execution_id: str, data: bytes = b'{"name":"on') -> None:
    """Put something else into the row."""
    async with database.transaction() as connection:
        await connection.execute(update(executions).where(executions.c.id == execution_id).values(data=data))


async def kept(store: LeasingStore, *states: ExecutionState, large: int | None = None) -> None:
    """Executions in these states, each due and with a lease that is over later; one of them too large for a row."""
    for number, state in enumerate(states):
        data = LARGE if number == large else None
        store.save(execution(number, state=state, input=data, wake_at=NOW if state == "waiting" else None))
        await store.committed(f"execution-{number:03}")


async def row_of(database: Database, execution_id: str) -> tuple[str, str | None, str | None]:
    """What queries see of an execution."""
    columns = (executions.c.state, executions.c.lease_owner, executions.c.wake_at)
    async with database.statement() as connection:
        return tuple((await connection.execute(select(*columns).where(executions.c.id == execution_id))).one())  # type: ignore[return-value]


DAMAGES = [
    b"",
    b"{",
    b"null",
    b"{}",
    b'{"blob":"../../etc/passwd"}',
    b'{"blob":"' + b"0" * 64 + b'"}',
    b"\xff\xfe",
    b"[1]",
]


@pytest.mark.parametrize("data", DAMAGES)
async def test_timers_go_on_beside_a_row_that_is_damaged(
    store: LeasingStore, database: Database, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await kept(store, *[ExecutionState.WAITING] * 3)
    await damage(database, "execution-001", data)
    due = await store.leases.claim_due(now=LATER, limit=9)
    assert [each.id for each in due] == ["execution-000", "execution-002"]
    lost = await store.get(LOCAL_ID, "execution-001")
    assert lost.error is not None
    assert (lost.state, lost.error.code) == (ExecutionState.FAILED, "lost_data")
    assert (lost.finished_at, lost.owner, lost.created_at) == (LATER, LOCAL_ID, execution(1).created_at)
    assert "execution-001" in lost.error.message
    assert await row_of(database, "execution-001") == ("failed", None, None)
    await store.leases.claim_due(now=LATER, limit=9)
    assert [record.levelno for record in caplog.records if "execution-001" in record.getMessage()] == [logging.ERROR]


@pytest.mark.parametrize("state", [ExecutionState.QUEUED, ExecutionState.RUNNING])
async def test_a_start_goes_on_beside_a_row_that_is_damaged(
    database: Database, store: LeasingStore, tmp_path: Path, state: ExecutionState
) -> None:
    await kept(store, state, state, state)
    await damage(database, "execution-001")
    gone = NOW + timedelta(seconds=LEASE_SECONDS + 60)
    async with opened(database, tmp_path, "other") as other:
        taken = await other.leases.claim_expired(now=gone, expired_before=gone, limit=9)
        assert [each.id for each in taken] == ["execution-000", "execution-002"]
        assert (await row_of(database, "execution-001"))[:2] == ("failed", None)


def missing(file: Path) -> None:
    """The file is gone."""
    file.unlink()


def truncated(file: Path) -> None:
    """The file is shorter than it was."""
    file.write_bytes(file.read_bytes()[:1000])


def changed(file: Path) -> None:
    """One letter is another one; it is JSON still."""
    file.write_bytes(file.read_bytes().replace(b"xxx", b"xyx", 1))


def folder_gone(file: Path) -> None:
    """The whole folder of large values is gone."""
    shutil.rmtree(file.parents[1])


def a_folder_now(file: Path) -> None:
    """A folder stands where the file was."""
    file.unlink()
    file.mkdir()


FAULTS: list[Callable[[Path], None]] = [missing, truncated, changed, folder_gone, a_folder_now]


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[LeasingStore]:
    """A store whose large values are files."""
    async with database_of("sqlite", tmp_path) as database, opened(database, tmp_path, "one") as store:
        yield store


def file_of(tmp_path: Path, execution_id: str) -> Path:
    """The one file that an execution has."""
    (file,) = (tmp_path / "blobs" / execution_id).iterdir()
    return file


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_file_that_is_missing_or_damaged_is_one_executions_loss(
    alone: LeasingStore, tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    await kept(alone, *[ExecutionState.WAITING] * 3, large=1)
    file = file_of(tmp_path, "execution-001")
    fault(file)
    listed = (await alone.page(ExecutionFilter(owner=LOCAL_ID), limit=9, cursor=None)).items
    assert [each.id[-1] for each in listed] == list("210")
    assert listed[1].error is not None
    assert listed[1].error.code == "lost_data"
    assert file.name in listed[1].error.message
    assert len(await alone.leases.claim_due(now=LATER, limit=9)) == 2
    assert (await alone.get(LOCAL_ID, "execution-001")).state is ExecutionState.FAILED


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_journals_entry_that_is_lost_is_named(
    alone: LeasingStore, tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    for records in (RECORDS[:1], [EffectResult(key=KEY, at=NOW, result=LARGE)], RECORDS[4:]):
        alone.save(execution(1), records)
        await alone.committed("execution-001")
    fault(file_of(tmp_path, "execution-001"))
    with pytest.raises(LostDataError, match="entry 2 of its journal") as caught:
        await alone.journal("execution-001")
    assert caught.value.records == [RECORDS[0], *RECORDS[4:]], "the rest is there to be looked at"
    with pytest.raises(LostDataError):
        await alone.recorded(LOCAL_ID, "execution-001")
    assert (await alone.get(LOCAL_ID, "execution-001")).error is None, "the execution itself can be read"


@pytest.mark.parametrize(
    "entry", [b"", b"[", b'[["run"]]', b'[["other", 1]]', b'{"a":1}', b'[["start","a",0,0,"no time"]]']
)
async def test_an_entry_that_cannot_be_decoded_is_named(store: LeasingStore, database: Database, entry: bytes) -> None:
    store.save(execution(1), RECORDS[:1])
    await store.committed("execution-001")
    async with database.transaction() as connection:
        await connection.execute(insert(journal).values(execution_id="execution-001", position=2**60, data=entry))
    with pytest.raises(LostDataError, match="entry 2 of its journal") as caught:
        await store.journal("execution-001")
    assert caught.value.records == RECORDS[:1]


async def test_what_had_ended_is_shown_as_failed_and_is_pruned(store: LeasingStore, database: Database) -> None:
    await kept(store, ExecutionState.SUCCEEDED, ExecutionState.CANCELLED)
    for number in range(2):
        await damage(database, f"execution-{number:03}")
    shown = (await store.page(ExecutionFilter(owner=LOCAL_ID), limit=9, cursor=None)).items
    assert [each.state for each in shown] == [ExecutionState.CANCELLED, ExecutionState.FAILED]
    assert await store.prune(ended_before=None, keep=0, limit=9) == 2


async def test_what_waits_for_somebody_fails_when_somebody_comes(store: LeasingStore, database: Database) -> None:
    await kept(store, ExecutionState.WAITING, ExecutionState.DEAD)
    for number in range(2):
        await damage(database, f"execution-{number:03}")
    states = (ExecutionState.QUEUED, ExecutionState.WAITING, ExecutionState.DEAD)
    assert await store.leases.claim_idle(LOCAL_ID, "execution-000", states, now=LATER) is None
    assert (await store.get(LOCAL_ID, "execution-000")).state is ExecutionState.FAILED
    dead = await store.leases.claim_idle(LOCAL_ID, "execution-001", states, now=LATER)
    assert dead is not None, "a dead letter can be discarded"
    assert dead.state is ExecutionState.DEAD


async def test_a_file_that_cannot_be_read_now_is_looked_for_again(
    alone: LeasingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(alone, *[ExecutionState.WAITING] * 2, large=1)
    get = BlobStore.get

    def refuse(self: BlobStore, execution_id: str, stored: bytes) -> bytes:
        if stored.startswith(b'{"blob"'):
            raise PermissionError(13, "Permission denied")
        return get(self, execution_id, stored)

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "get", refuse)
        assert [each.id for each in await alone.leases.claim_due(now=LATER, limit=9)] == ["execution-000"]
        alone.save(execution(0, state=ExecutionState.SUCCEEDED))
        await alone.committed("execution-000")
        with pytest.raises(StorageError):
            await alone.leases.claim_due(now=LATER, limit=9)
    assert [each.id for each in await alone.leases.claim_due(now=LATER, limit=9)] == ["execution-001"]


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[tuple[Process, Database]]:
    """A process that gets its jobs from a broker, and its database."""
    clock = FixedClock()
    clock.at = NOW
    async with database_of("postgresql", tmp_path) as database, process("one", database, Broker(), clock) as one:
        yield one, database


async def test_the_job_of_a_lost_execution_brings_nothing(worker: tuple[Process, Database]) -> None:
    one, database = worker
    for number in range(2):
        one.store.save(execution(number), job=job_of(execution(number)))
        await one.store.committed(f"execution-{number:03}")
    await damage(database, "execution-001")
    claimed = [await one.leases.claim_queued(f"execution-{number:03}", now=NOW) for number in range(2)]
    assert [each and each.execution.id for each in claimed] == ["execution-000", None]
    assert (await row_of(database, "execution-001"))[:2] == ("failed", None)


async def test_a_damaged_letter_holds_up_no_other_and_is_written_anew(worker: tuple[Process, Database]) -> None:
    one, database = worker
    for number in range(3):
        one.store.save(execution(number), job=job_of(execution(number)))
        await one.store.committed(f"execution-{number:03}")
    await _spoil_letters(database, one.outbox)
    assert await one.outbox.sweep(before=LATER, limit=9) == 2
    far = NOW + timedelta(hours=1)
    lost = await one.leases.claim_expired(now=far, expired_before=NOW, unclaimed_before=far, limit=9)
    assert "execution-001" in [each.id for each in lost]


async def test_a_damaged_letter_that_was_deferred_is_written_anew(worker: tuple[Process, Database]) -> None:
    one, database = worker
    for number in range(3):
        one.store.save(execution(number), job=job_of(execution(number)))
        await one.store.committed(f"execution-{number:03}")
    await _spoil_letters(database, one.outbox)
    async with database.transaction() as connection:
        await connection.execute(update(outbox).values(place=DEFERRED))
        await connection.execute(update(executions).values(lease_expires_at=None))
    await one.leases.release_deferred("w", limit=5)
    far = NOW + timedelta(hours=1)
    lost = await one.leases.claim_expired(now=far, expired_before=NOW, unclaimed_before=far, limit=9)
    assert "execution-001" in [each.id for each in lost]


async def _spoil_letters(database: Database, _: Outbox) -> None:
    """All three letters are in the table as after a crash, and the second cannot be read."""
    async with database.transaction() as connection:
        rows = [
            {
                "execution_id": f"execution-{number:03}",
                "workflow_id": "w",
                "place": "work",
                "token": f"t{number}",
                "created_at": NOW,
                "message": b"{" if number == 1 else await _message(number),
            }
            for number in range(3)
        ]
        await connection.execute(outbox.delete())
        await connection.execute(insert(outbox), rows)


async def _message(number: int) -> bytes:
    import orjson

    message = job_of(execution(number)).to_message(message_id="m", timestamp=NOW)
    return orjson.dumps({"message": message, "traceparent": None})
