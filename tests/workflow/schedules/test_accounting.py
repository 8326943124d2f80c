"""What becomes of slots that are due, by the schedule's policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from workflow.schedules.accounting import SchedulePolicy, accounted, due_at
from workflow.schedules.times import Slot

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def outcomes(minutes_ago: list[float], *, more_follow: bool = False, **policy: object) -> list[str]:
    """What becomes of slots that were due so many minutes ago."""
    slots = [Slot(NOW - timedelta(minutes=each)) for each in minutes_ago]
    made = SchedulePolicy(**policy)  # type: ignore[arg-type]
    return [each.outcome.value for each in accounted(slots, made, now=NOW, more_follow=more_follow)]


def test_a_slot_in_time_starts_and_the_latest_late_one_is_caught_up() -> None:
    assert outcomes([0]) == ["started"]
    assert outcomes([15, 9, 5, 0.2]) == ["missed", "missed", "caught_up", "started"]


def test_the_policy_says_how_many_are_caught_up_and_how_late() -> None:
    assert outcomes([15, 9, 5], catch_up_most=2) == ["missed", "caught_up", "caught_up"]
    assert outcomes([15, 9, 5], catch_up_most=0) == ["missed", "missed", "missed"]
    assert outcomes([90, 9], catch_up=timedelta(hours=2), catch_up_most=5) == ["caught_up", "caught_up"]


def test_where_more_slots_follow_none_of_these_is_the_latest() -> None:
    assert outcomes([9, 5], more_follow=True) == ["missed", "missed"]


def test_excluded_slots_are_skipped_and_do_not_count_as_late_ones() -> None:
    slots = [Slot(NOW - timedelta(minutes=5)), Slot(NOW - timedelta(minutes=4), excluded=True)]
    found = accounted(slots, SchedulePolicy(), now=NOW)
    assert [(each.outcome.value, each.reason) for each in found] == [("caught_up", None), ("skipped", "excluded")]


def test_jitter_is_the_same_each_time_and_differs_from_slot_to_slot() -> None:
    jitter = timedelta(minutes=5)
    slots = [NOW + timedelta(hours=each) for each in range(50)]
    due = [due_at("a", slot, jitter) for slot in slots]
    assert due == [due_at("a", slot, jitter) for slot in slots]
    later = [moment - slot for moment, slot in zip(due, slots, strict=True)]
    assert all(timedelta() <= each < jitter for each in later)
    assert len(set(later)) == 50
    assert due_at("b", NOW, jitter) != due_at("a", NOW, jitter)
    assert due_at("a", NOW, timedelta()) == NOW
