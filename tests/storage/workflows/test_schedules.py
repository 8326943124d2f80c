"""What the port promises of schedules and their ledgers, held against every database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage.database.database import Database
from storage.workflows.repository import SqlWorkflowRepository
from storage.workflows.schedules import SqlSchedules
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.publication import Publication
from workflow.errors import InvalidArgumentsError
from workflow.identity import LOCAL_ID
from workflow.schedules.schedules import (
    Schedule,
    ScheduleNotFoundError,
    ScheduleState,
    ScheduleStateError,
    ScheduleTrigger,
    SlotEntry,
    SlotOutcome,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEFINITION = WorkflowDefinition.model_validate({"name": "one", "nodes": {"start": {"type": "manual"}}})


class Clock:
    """A clock that is set."""

    at = NOW

    def now(self) -> datetime:
        """What it was set to."""
        return self.at


@pytest.fixture
def clock() -> Clock:
    """The clock of the repository."""
    return Clock()


@pytest.fixture
def workflows(database: Database, clock: Clock) -> SqlWorkflowRepository:
    """The repository that publishes."""
    return SqlWorkflowRepository(database, clock=clock)


@pytest.fixture
def schedules(database: Database) -> SqlSchedules:
    """The schedules."""
    return SqlSchedules(database)


def trigger(node: str = "tick", number: int = 1, **parameters: object) -> ScheduleTrigger:
    """A trigger of a definition that is published."""
    made = {"every": "1 minute", **parameters}
    return ScheduleTrigger(new_id=f"schedule-{number}", node=node, parameters=made, timezone="UTC")


async def publish(workflows: SqlWorkflowRepository, *triggers: ScheduleTrigger, workflow_id: str = "w") -> None:
    """Publish a version with these triggers; the workflow is made where it is not there."""
    publication = Publication(schedules=triggers)
    try:
        await workflows.publish(LOCAL_ID, workflow_id, 1, publication)
    except Exception:
        await workflows.create(LOCAL_ID, workflow_id, DEFINITION, change="x", publication=publication, now=NOW)


def entry(minute: int, outcome: SlotOutcome = SlotOutcome.STARTED, **members: object) -> SlotEntry:
    """An entry for a slot so many minutes after noon."""
    values: dict[str, object] = {"schedule_id": "schedule-1", "written_at": NOW, **members}
    return SlotEntry(slot_at=NOW + timedelta(minutes=minute), outcome=outcome, **values)  # type: ignore[arg-type]


async def only(schedules: SqlSchedules) -> Schedule:
    """The only schedule."""
    return await schedules.get(LOCAL_ID, "schedule-1")


async def slots(schedules: SqlSchedules) -> Sequence[tuple[int, str, int]]:
    """The ledger, oldest first: minutes, outcomes and counts."""
    page = await schedules.ledger(LOCAL_ID, "schedule-1", limit=100)
    return [((e.slot_at - NOW) // timedelta(minutes=1), e.outcome.value, e.count) for e in reversed(page.items)]


async def test_publishing_makes_a_schedule_that_counts_from_now(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules
) -> None:
    await publish(workflows, trigger())
    made = await only(schedules)
    assert (made.workflow_id, made.node, made.state, made.last_slot_at, made.due_at) == (
        "w",
        "tick",
        ScheduleState.ACTIVE,
        NOW,
        NOW,
    )
    assert [each.id for each in await schedules.due(now=NOW, limit=10)] == ["schedule-1"]
    assert await schedules.due(now=NOW - timedelta(seconds=1), limit=10) == []
    assert await schedules.next_due() == NOW


async def test_publishing_again_keeps_the_schedule_its_ledger_and_its_pause(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules, clock: Clock
) -> None:
    await publish(workflows, trigger())
    await schedules.add([entry(1, execution_id="e")])
    paused = replace(await only(schedules), state=ScheduleState.PAUSED, due_at=None, note="holidays")
    await schedules.change(paused)
    clock.at = NOW + timedelta(hours=1)
    await publish(workflows, trigger(number=2, every="2 minutes"), trigger("other", 3))
    kept = await only(schedules)
    assert (kept.state, kept.note, kept.parameters) == (ScheduleState.PAUSED, "holidays", {"every": "2 minutes"})
    assert await slots(schedules) == [(1, "started", 1)]
    assert [each.node for each in (await schedules.page(LOCAL_ID, limit=10)).items] == ["other", "tick"]


async def test_one_that_is_published_again_without_a_change_goes_on_where_it_was(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules, clock: Clock
) -> None:
    await publish(workflows, trigger())
    before = await only(schedules)
    clock.at = NOW + timedelta(hours=1)
    await publish(workflows, trigger(number=2))
    assert await only(schedules) == before


async def test_unpublishing_ends_it_and_publishing_makes_it_active_again_from_then_on(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules, clock: Clock
) -> None:
    await publish(workflows, trigger())
    await workflows.unpublish(LOCAL_ID, "w")
    ended = await only(schedules)
    assert (ended.state, ended.due_at, ended.note) == (ScheduleState.ENDED, None, "unpublished")
    assert (await schedules.page(LOCAL_ID, limit=10)).items == []
    assert [each.id for each in (await schedules.page(LOCAL_ID, workflow_id="w", limit=10)).items] == ["schedule-1"]
    clock.at = NOW + timedelta(hours=1)
    await publish(workflows, trigger(number=2))
    active = await only(schedules)
    assert (active.state, active.last_slot_at, active.note) == (ScheduleState.ACTIVE, clock.at, None)


async def test_a_workflow_that_is_deleted_for_good_takes_its_schedules_along(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules
) -> None:
    await publish(workflows, trigger())
    await schedules.add([entry(1)])
    await workflows.delete(LOCAL_ID, "w", now=NOW)
    assert await schedules.next_due() is None
    assert await workflows.purge(deleted_before=NOW + timedelta(days=1), limit=10) == 1
    with pytest.raises(ScheduleNotFoundError):
        await only(schedules)
    assert await schedules.prune(written_before=NOW + timedelta(days=1), limit=10) == 0


async def test_slots_without_a_run_are_one_entry_as_long_as_they_say_the_same(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules
) -> None:
    await publish(workflows, trigger())
    schedule = await only(schedules)
    missed, skipped = SlotOutcome.MISSED, SlotOutcome.SKIPPED
    for batch in (
        [entry(1, execution_id="e1"), entry(2, missed, reason="late")],
        [entry(3, missed, reason="late", until_at=NOW + timedelta(minutes=5), count=3)],
        [entry(6, skipped, reason="overlap")],
        [entry(7, missed, reason="late"), entry(8, execution_id="e8"), entry(9, missed, reason="late")],
    ):
        await schedules.settle([(schedule, batch)])
        schedule = await only(schedules)
    assert await slots(schedules) == [
        (1, "started", 1),
        (2, "missed", 4),
        (6, "skipped", 1),
        (7, "missed", 1),
        (8, "started", 1),
        (9, "missed", 1),
    ]
    counts = await schedules.counts(LOCAL_ID, ["schedule-1"])
    assert counts["schedule-1"] == {SlotOutcome.STARTED: 2, SlotOutcome.MISSED: 6, SlotOutcome.SKIPPED: 1}


async def test_entries_that_an_earlier_attempt_has_written_are_written_once(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules
) -> None:
    await publish(workflows, trigger())
    for _ in range(2):
        written = [entry(1, execution_id="e"), entry(2, SlotOutcome.MISSED, reason="late")]
        await schedules.settle([(await only(schedules), written)])
    assert await slots(schedules) == [(1, "started", 1), (2, "missed", 1)]


async def test_a_change_meanwhile_is_kept_and_the_ledger_grows_all_the_same(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules
) -> None:
    await publish(workflows, trigger())
    read = await only(schedules)
    await schedules.change(replace(read, state=ScheduleState.PAUSED, due_at=None, note="stop"))
    fired = replace(read, last_slot_at=NOW + timedelta(minutes=1), due_at=NOW + timedelta(minutes=2))
    await schedules.settle([(fired, [entry(1, execution_id="e")])])
    assert (await only(schedules)).state is ScheduleState.PAUSED
    assert await slots(schedules) == [(1, "started", 1)]
    with pytest.raises(ScheduleStateError):
        await schedules.change(replace(read, note="late"))


async def test_what_is_in_the_ledger_behind_the_last_slot_is_found(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules
) -> None:
    await publish(workflows, trigger())
    await schedules.add([entry(-1), entry(1, execution_id="e"), entry(2, is_extra=True)])
    schedule = await only(schedules)
    assert [e.execution_id for e in (await schedules.accounted([schedule]))["schedule-1"]] == ["e"]
    waiting = replace(schedule, waiting_slot_at=NOW - timedelta(minutes=1))
    assert len((await schedules.accounted([waiting]))["schedule-1"]) == 2


async def test_the_ledger_is_read_in_pages_newest_first(
    workflows: SqlWorkflowRepository, schedules: SqlSchedules
) -> None:
    await publish(workflows, trigger())
    await schedules.add([entry(minute, is_extra=extra) for minute in range(5) for extra in (False, True)])
    read: list[tuple[datetime, bool]] = []
    cursor = None
    while True:
        page = await schedules.ledger(LOCAL_ID, "schedule-1", limit=3, cursor=cursor)
        read += [(e.slot_at, e.is_extra) for e in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert read == sorted(read, reverse=True)
    assert len(set(read)) == 10
    only_missed = await schedules.ledger(LOCAL_ID, "schedule-1", outcome=SlotOutcome.MISSED, limit=3)
    assert only_missed.items == []
    with pytest.raises(InvalidArgumentsError):
        await schedules.ledger(LOCAL_ID, "schedule-1", limit=3, cursor="x")


async def test_schedules_are_read_in_pages(workflows: SqlWorkflowRepository, schedules: SqlSchedules) -> None:
    await publish(workflows, *(trigger(f"t{number}", number) for number in range(5)))
    first = await schedules.page(LOCAL_ID, limit=3)
    second = await schedules.page(LOCAL_ID, limit=3, cursor=first.next_cursor)
    assert [each.id for each in (*first.items, *second.items)] == [f"schedule-{n}" for n in (4, 3, 2, 1, 0)]
    assert second.next_cursor is None


async def test_another_workspace_sees_none_of_it(workflows: SqlWorkflowRepository, schedules: SqlSchedules) -> None:
    await publish(workflows, trigger())
    await schedules.add([entry(1)])
    with pytest.raises(ScheduleNotFoundError):
        await schedules.get("somebody", "schedule-1")
    with pytest.raises(ScheduleNotFoundError):
        await schedules.ledger("somebody", "schedule-1", limit=10)
    assert (await schedules.page("somebody", limit=10)).items == []
    assert (await schedules.page("somebody", workflow_id="w", limit=10)).items == []
    assert (await schedules.counts("somebody", ["schedule-1"]))["schedule-1"] == {}


async def test_old_entries_are_deleted(workflows: SqlWorkflowRepository, schedules: SqlSchedules) -> None:
    await publish(workflows, trigger())
    await schedules.add([entry(1, written_at=NOW - timedelta(days=9)), entry(2)])
    assert await schedules.prune(written_before=NOW - timedelta(days=1), limit=10) == 1
    assert await slots(schedules) == [(2, "started", 1)]
