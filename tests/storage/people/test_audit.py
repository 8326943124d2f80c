"""The audit log, over every database: what is noted is on the disk in time, or in the server's log."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from engine.executions.retention import Retention
from storage.database.database import Database
from storage.people.audit import LONGEST_TEXT, AuditFilter, SqlAuditLog
from storage.tables.accounts import audit_entries
from tests.support.accounts import NOW, SetClock, actor
from workflow.errors import InvalidArgumentsError, StorageError

DAY = timedelta(days=1)
ANY = AuditFilter()
ADA, BEN = actor("ada"), actor("ben")


def ids() -> itertools.count[int]:
    """Rising numbers."""
    return itertools.count(1)


@pytest.fixture
def clock() -> SetClock:
    """Time as the test sets it."""
    return SetClock()


@pytest.fixture
async def log(database: Database, clock: SetClock) -> AsyncIterator[SqlAuditLog]:
    """A log that holds up to ten entries while the database fails."""
    count = ids()
    async with SqlAuditLog(database, clock=clock, new_id=lambda: f"{next(count):036}", kept=10) as log:
        yield log


async def stored(database: Database) -> int:
    """How many entries are on the disk."""
    async with database.transaction() as connection:
        return (await connection.execute(select(func.count()).select_from(audit_entries))).scalar_one()


async def subjects(log: SqlAuditLog, where: AuditFilter = ANY, owner: str = "w") -> list[str]:
    """What the listed entries are about."""
    return [each.subject for each in (await log.page(owner, where, limit=99, cursor=None)).items]


async def break_down(database: Database) -> None:
    """Let every write of the log fail."""
    async with database.transaction() as connection:
        await connection.execute(text("ALTER TABLE audit_entries RENAME TO elsewhere"))


async def mend(database: Database) -> None:
    """Let writes succeed again."""
    async with database.transaction() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO audit_entries"))


async def test_an_entry_says_who_did_what_when_and_through_which_client(log: SqlAuditLog) -> None:
    log.note(ADA, "workflow.published", "workflow:1", {"version": 3})
    (entry,) = (await log.page("w", ANY, limit=9, cursor=None)).items
    assert (entry.owner, entry.user_id, entry.client, entry.at) == ("w", "ada", "a test", NOW)
    assert (entry.action, entry.subject, entry.details) == ("workflow.published", "workflow:1", {"version": 3})


async def test_what_is_written_is_on_the_disk(log: SqlAuditLog, database: Database) -> None:
    for number in range(3):
        log.note(ADA, "workflow.updated", f"workflow:{number}")
    await log.written()
    assert await stored(database) == 3
    await log.written()


async def test_more_than_a_batch_is_written_whole_and_in_order(database: Database, clock: SetClock) -> None:
    count = ids()
    async with SqlAuditLog(database, clock=clock, new_id=lambda: f"{next(count):036}") as log:
        for number in range(1_200):
            log.note(ADA, "effect.sent", f"execution:{number}")
        await log.written()
        assert await stored(database) == 1_200
        page = await log.page("w", ANY, limit=2, cursor=None)
        assert [each.subject for each in page.items] == ["execution:1199", "execution:1198"]


async def test_the_end_writes_what_nobody_waited_for(database: Database, clock: SetClock) -> None:
    async with SqlAuditLog(database, clock=clock, new_id=lambda: "1") as log:
        log.note(ADA, "effect.sent", "execution:1")
    assert await stored(database) == 1


async def test_entries_come_newest_first_page_by_page(log: SqlAuditLog) -> None:
    for number in range(5):
        log.note(ADA, "workflow.updated", str(number))
    first = await log.page("w", ANY, limit=3, cursor=None)
    second = await log.page("w", ANY, limit=3, cursor=first.next_cursor)
    assert [each.subject for each in [*first.items, *second.items]] == ["4", "3", "2", "1", "0"]
    assert second.next_cursor is None
    with pytest.raises(InvalidArgumentsError):
        await log.page("w", ANY, limit=3, cursor="x")


async def test_entries_can_be_looked_for(log: SqlAuditLog, clock: SetClock) -> None:
    log.note(ADA, "workflow.updated", "workflow:1")
    clock.at += DAY
    log.note(BEN, "workflow_updated", "workflow:2")
    clock.at += DAY
    log.note(BEN, "effect.sent", "execution:3")
    assert await subjects(log, AuditFilter(action="workflow.")) == ["workflow:1"]
    assert await subjects(log, AuditFilter(action="workflow_")) == ["workflow:2"]
    assert await subjects(log, AuditFilter(user_id="ben")) == ["execution:3", "workflow:2"]
    assert await subjects(log, AuditFilter(subject="workflow:2")) == ["workflow:2"]
    assert await subjects(log, AuditFilter(after=NOW, before=NOW + 2 * DAY)) == ["workflow:2"]


async def test_a_workspace_sees_its_own_entries(log: SqlAuditLog) -> None:
    log.note(actor("ada", "other"), "workflow.updated", "workflow:1")
    assert await subjects(log) == []
    assert await subjects(log, owner="other") == ["workflow:1"]


async def test_secrets_are_hidden_and_long_texts_cut(log: SqlAuditLog) -> None:
    details = {"password": "hunter2", "target": "https://a:pass@b.example/?token=abc", "long": "x" * 5_000}
    log.note(ADA, "effect.sent", "key jsk_0123456789abcdefghijklmn", details)
    (entry,) = (await log.page("w", ANY, limit=9, cursor=None)).items
    assert entry.subject == "key [hidden]"
    assert entry.details is not None
    assert entry.details["password"] == "[hidden]"
    assert entry.details["target"] == "https://a:[hidden]@b.example/?token=[hidden]"
    assert len(entry.details["long"]) == LONGEST_TEXT + 1


async def test_nothing_that_is_noted_holds_up_the_rest(log: SqlAuditLog, database: Database) -> None:
    log.note(ADA, "x" * 100, "\0 \ud800", {"n": 2**80, "\ud800": {"set": {1}, "list": (1.5, None, True, NOW)}})
    log.note(ADA, "workflow.updated", "workflow:1")
    await log.written()
    assert await stored(database) == 2


async def test_while_the_database_fails_entries_stay_noted_and_are_written_later(
    log: SqlAuditLog, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await break_down(database)
    for number in range(3):
        log.note(ADA, "workflow.updated", str(number))
    with pytest.raises(StorageError):
        await log.written()
    await mend(database)
    await log.written()
    assert await subjects(log) == ["2", "1", "0"]
    assert "3 audit entries could not be written yet" in caplog.text


async def test_what_is_too_much_to_hold_is_in_the_servers_log(
    log: SqlAuditLog, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await break_down(database)
    with caplog.at_level(logging.ERROR, logger="storage.people.audit"):
        for number in range(12):
            log.note(ADA, "workflow.updated", f"workflow:{number}")
    lost = [record.getMessage() for record in caplog.records if "this audit entry" in record.getMessage()]
    assert ["workflow:10" in lost[0], "workflow:11" in lost[1], len(lost)] == [True, True, 2]
    await mend(database)
    assert len(await subjects(log)) == 10


async def test_what_is_left_when_the_server_ends_is_in_its_log(
    database: Database, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqlAuditLog(database, clock=clock, new_id=lambda: "1") as log:
        await break_down(database)
        log.note(ADA, "workflow.updated", "workflow:1")
    assert "this audit entry could not be stored" in caplog.text
    await mend(database)


async def test_entries_go_when_their_time_is_over(log: SqlAuditLog, clock: SetClock) -> None:
    for number in range(3):
        log.note(ADA, "workflow.updated", str(number))
        clock.at += DAY
    await log.written()
    assert await log.prune(before=NOW + DAY, limit=10) == 1
    assert await log.prune(before=NOW + 9 * DAY, limit=1) == 1
    assert await subjects(log) == ["2"]


async def test_a_waiter_returns_when_its_own_entries_are_written(log: SqlAuditLog, database: Database) -> None:
    async def change(number: int) -> int:
        log.note(ADA, "workflow.updated", str(number))
        await log.written()
        return await stored(database)

    found = await asyncio.gather(*(change(number) for number in range(8)))
    assert min(found) >= 1
    assert await stored(database) == 8


async def test_a_waiter_that_comes_while_the_batch_is_on_its_way_returns_too(
    log: SqlAuditLog, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def slowly() -> AsyncIterator[None]:
        entered.set()
        await release.wait()
        yield

    monkeypatch.setattr(database, "writing", slowly)
    log.note(ADA, "workflow.updated", "workflow:1")
    first = asyncio.create_task(log.written())
    async with asyncio.timeout(10):
        await entered.wait()
        second = asyncio.create_task(log.written())
        log.note(BEN, "workflow.updated", "workflow:2")
        third = asyncio.create_task(log.written())
        release.set()
        await asyncio.gather(first, second, third)
    assert await stored(database) == 2


async def test_retention_lets_go_of_entries_after_their_days(log: SqlAuditLog, clock: SetClock) -> None:
    unused: dict[str, Any] = {"store": None, "workflows": None, "schedules": None}
    kept: dict[str, Any] = {"clock": clock, "days": None, "count": None, "audit": log}
    log.note(ADA, "workflow.updated", "workflow:1")
    await log.written()
    clock.at += DAY * 365 + timedelta(seconds=1)
    log.note(ADA, "workflow.updated", "workflow:2")
    await log.written()
    assert await Retention(**unused, **kept, audit_days=None).forget() == 0
    assert await Retention(**unused, **kept, audit_days=365).forget() == 1
    assert await subjects(log) == ["workflow:2"]


async def noted(log: SqlAuditLog, *subjects: str) -> None:
    """Entries that are on the disk, so that the next ones may ride."""
    for subject in subjects:
        log.note(ADA, "workflow.updated", subject)
    await log.written()


async def test_entries_ride_along_with_a_batch_of_others_and_are_written_by_it_alone(log: SqlAuditLog) -> None:
    await noted(log, "workflow:1")
    log.note(ADA, "effect.sent", "execution:1")
    riders = log.riders()
    assert [each.subject for each in riders] == ["execution:1"]
    assert log.riders() == (), "they are on their way already"
    waiting = asyncio.create_task(log.written())
    await asyncio.sleep(0)
    log.rode(riders, are_written=True)
    await waiting
    assert log.riders() == ()
    assert await subjects(log) == ["workflow:1"], "the batch that took them has written them, and here none did"


async def test_entries_of_a_batch_that_failed_are_written_by_the_log_itself(
    log: SqlAuditLog, database: Database
) -> None:
    await noted(log, "workflow:1")
    log.note(ADA, "effect.sent", "execution:1")
    log.rode(log.riders(), are_written=False)
    assert log.riders() == (), "whatever is wrong with it, it holds up no other batch"
    await log.written()
    assert await stored(database) == 2
    log.note(ADA, "effect.sent", "execution:2")
    riders = log.riders()
    assert [each.subject for each in riders] == ["execution:2"]
    log.rode(riders, are_written=True)


async def test_none_rides_before_the_log_has_written_by_itself(log: SqlAuditLog) -> None:
    log.note(ADA, "effect.sent", "execution:1")
    assert log.riders() == ()
