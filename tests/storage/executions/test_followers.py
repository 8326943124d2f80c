"""An execution that follows another one's end is stored if and only if that end is."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from storage.executions import group_commit
from storage.executions.group_commit import GroupCommit, Note
from tests.storage.executions.test_repositories import execution
from tests.storage.executions.test_sharing import (  # noqa: F401 - fixtures
    LEASE,
    NOW,
    Process,
    broker,
    clock,
    database,
    job_of,
    one,
    running,
    two,
)
from workflow.errors import ExecutionNotFoundError, LeaseLostError, NotAcceptedError, StorageError
from workflow.identity import LOCAL_ID
from workflow.states import ExecutionState


class Disk:
    """Remembers what it was given, by batch; ``lost`` is another process's, and its followers are not written."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.lost: set[str] = set()
        self.failures = 0

    async def write(self, batch: Collection[tuple[str, Note]]) -> Collection[str]:
        """One batch."""
        if self.failures:
            self.failures -= 1
            raise StorageError("The disk is gone.", fix="Bring it back.")
        self.batches.append([execution_id for execution_id, _ in batch])
        return {each for each, note in batch if each in self.lost or note.follows in self.lost}


def ended_and_handler(commits: GroupCommit) -> None:
    commits.is_stored("ended")
    commits.note("ended", Note((b"",), is_active=False))
    commits.note("handler", Note((b"",), is_new=True, follows="ended"))


async def test_it_is_written_with_what_it_follows() -> None:
    disk = Disk()
    async with GroupCommit(disk.write) as commits:
        ended_and_handler(commits)
        await commits.committed("handler")
    assert disk.batches == [["ended", "handler"]]


async def test_it_is_kept_where_the_batch_fails() -> None:
    disk = Disk()
    disk.failures = 1
    async with GroupCommit(disk.write) as commits:
        ended_and_handler(commits)
        with pytest.raises(StorageError):
            await commits.committed("ended")
        await commits.committed("handler")
    assert disk.batches == [["ended", "handler"]]


@pytest.mark.parametrize("bound", [500, 1])
async def test_it_is_refused_with_what_it_follows(monkeypatch: pytest.MonkeyPatch, bound: int) -> None:
    # With the bound of one execution per batch, the second batch is decided by the first one's outcome.
    monkeypatch.setattr(group_commit, "MAX_EXECUTIONS", bound)
    disk = Disk()
    disk.lost = {"ended"}
    async with GroupCommit(disk.write) as commits:
        ended_and_handler(commits)
        with pytest.raises(LeaseLostError):
            await commits.committed("ended")
        with pytest.raises(StorageError):
            await commits.committed("handler")
        commits.note("handler", Note((b"its end",), is_active=False))
        with pytest.raises(NotAcceptedError):
            await commits.committed("handler")
    assert [batch for batch in disk.batches if batch == ["handler"]] == []


async def test_a_refused_execution_does_not_come_to_life_and_can_be_submitted_again() -> None:
    disk = Disk()
    disk.failures = 1
    async with GroupCommit(disk.write) as commits:
        commits.note("new", Note((b"",), is_new=True))
        with pytest.raises(NotAcceptedError):
            await commits.committed("new")
        commits.note("new", Note((b"its end",), is_active=False))
        with pytest.raises(NotAcceptedError):
            await commits.committed("new")
        commits.note("new", Note((b"",), is_new=True))
        await commits.committed("new")
        await commits.committed("new")
    assert disk.batches == [["new"]]


async def test_a_process_that_lost_the_lease_starts_nothing_that_follows(one: Process, two: Process) -> None:  # noqa: F811
    begun = await running(one)
    late = NOW + 2 * LEASE
    assert len(await two.leases.claim_expired(now=late, expired_before=late, limit=10)) == 1
    handler = execution(2)
    one.store.save(begun.changed(state=ExecutionState.FAILED))
    one.store.save(handler, job=job_of(handler), is_new=True, follows=begun.id)
    with pytest.raises(LeaseLostError):
        await one.store.committed(begun.id)
    with pytest.raises(StorageError):
        await one.store.committed(handler.id)
    with pytest.raises(ExecutionNotFoundError):
        await two.store.get(LOCAL_ID, handler.id)


async def test_the_holder_starts_what_follows_with_its_letter(one: Process, two: Process) -> None:  # noqa: F811
    begun, handler = await running(one), execution(2)
    one.store.save(begun.changed(state=ExecutionState.FAILED))
    one.store.save(handler, job=job_of(handler), is_new=True, follows=begun.id)
    await one.store.committed(handler.id)
    assert (await two.store.get(LOCAL_ID, handler.id)).state is ExecutionState.QUEUED
    assert await two.leases.claim_queued(handler.id, now=NOW) is not None
