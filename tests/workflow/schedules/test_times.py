"""When schedules fire: cron, times of the day and intervals, where clocks change and dates are left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from workflow.schedules.times import (
    CronRule,
    IntervalRule,
    Rule,
    ScheduleTimes,
    ScheduleTimesError,
    dates_of,
    interval_of,
    rules_of_times,
)

ZONES = ("Europe/Lisbon", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo")


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def firings(*rules: Rule, after: str, zone: str = "UTC", count: int = 3, **members: object) -> list[str]:
    """The next firings in local time, with their offset."""
    times = ScheduleTimes(rules=rules, zone=ZoneInfo(zone), **members)  # type: ignore[arg-type]
    return [each.astimezone(times.zone).isoformat() for each in times.next_firings(at(after), count)]


def test_a_time_that_a_change_of_clocks_leaves_out_fires_right_after_the_gap() -> None:
    assert firings(CronRule("30 1 * * *"), after="2026-03-28T12:00", zone="Europe/Lisbon") == [
        "2026-03-29T02:00:00+01:00",
        "2026-03-30T01:30:00+01:00",
        "2026-03-31T01:30:00+01:00",
    ]


@pytest.mark.parametrize("expression", ["30 1 * * *", "0 30 1 * * *"])
def test_a_time_that_comes_twice_fires_once_at_the_first(expression: str) -> None:
    assert firings(CronRule(expression), after="2026-10-24T12:00", zone="Europe/Lisbon") == [
        "2026-10-25T01:30:00+01:00",
        "2026-10-26T01:30:00+00:00",
        "2026-10-27T01:30:00+00:00",
    ]


def test_a_moment_between_the_two_fires_the_next_day() -> None:
    between = "2026-10-25T01:10"  # 01:10 again, in Lisbon
    assert firings(CronRule("30 1 * * *"), after=between, zone="Europe/Lisbon", count=1) == [
        "2026-10-26T01:30:00+00:00"
    ]


def test_what_names_no_certain_time_follows_elapsed_time() -> None:
    assert firings(CronRule("*/30 * * * *"), after="2026-10-24T23:59", zone="Europe/Lisbon", count=4) == [
        "2026-10-25T01:00:00+01:00",
        "2026-10-25T01:30:00+01:00",
        "2026-10-25T01:00:00+00:00",
        "2026-10-25T01:30:00+00:00",
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_over_two_years_each_day_has_one_firing_wherever_clocks_change(zone: str) -> None:
    for hour in range(24):
        for minute in (0, 30):
            times = ScheduleTimes(rules=[CronRule(f"{minute} {hour} * * *")], zone=ZoneInfo(zone))
            begin = datetime(2026, 1, 1, tzinfo=times.zone).astimezone(UTC) - timedelta(seconds=1)
            end = datetime(2028, 1, 1, tzinfo=times.zone).astimezone(UTC) - timedelta(seconds=1)
            days = [slot.at.astimezone(times.zone).date() for slot in times.until(begin, end, most=1_000)]
            assert len(days) == len(set(days)) == 730, (zone, hour, minute)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["*/7 * * * *", "15,45 2 * * *", "@hourly", "*/20 * * * * *", "0 9 * * mon-fri"])
def test_going_on_from_any_slot_gives_the_slots_that_follow(zone: str, expression: str) -> None:
    times = ScheduleTimes(rules=[CronRule(expression)], zone=ZoneInfo(zone))
    for start in ("2026-03-28T20:00", "2026-10-24T20:00", "2026-04-04T10:00"):
        slots = [slot.at for slot in times.until(at(start), at(start) + timedelta(days=3), most=400)]
        assert all(before < after for before, after in pairwise(slots))
        for before, after in pairwise(slots[:: max(1, len(slots) // 40)] if len(slots) > 400 else slots):
            assert times.next_slot(before) == after


def test_seconds_stand_in_front() -> None:
    assert firings(CronRule("10,40 30 8 * * *"), after="2026-01-01T08:30:10") == [
        "2026-01-01T08:30:40+00:00",
        "2026-01-02T08:30:10+00:00",
        "2026-01-02T08:30:40+00:00",
    ]


def test_times_on_days_of_week_and_month() -> None:
    rules = rules_of_times(["08:30", "17:00"], ["fri-mon", "15", "last"])
    assert firings(*rules, after="2026-04-14T00:00", count=9) == [
        "2026-04-15T08:30:00+00:00",
        "2026-04-15T17:00:00+00:00",
        *(f"2026-04-{day}T{time}:00+00:00" for day in (17, 18, 19) for time in ("08:30", "17:00")),
        "2026-04-20T08:30:00+00:00",
    ]
    assert "2026-04-30T08:30:00+00:00" in firings(*rules, after="2026-04-29T00:00", count=1)


def test_intervals_count_from_a_fixed_moment_so_that_publishing_again_changes_nothing() -> None:
    rule = IntervalRule(interval_of("90s"))
    assert firings(rule, after="2026-01-01T00:00:01", count=2) == firings(rule, after="2026-01-01T00:01:20", count=2)
    own = IntervalRule(interval_of("2 days"), at("2026-01-01T06:00"))
    assert firings(own, after="2025-12-30T00:00", count=2, starting=at("2026-01-01T06:00")) == [
        "2026-01-01T06:00:00+00:00",
        "2026-01-03T06:00:00+00:00",
    ]


def test_several_rules_that_name_one_moment_fire_once() -> None:
    rules = (CronRule("0 9 * * *"), *rules_of_times(["09:00"], []), IntervalRule(interval_of("1 hour")))
    assert firings(*rules, after="2026-01-01T08:30", count=2) == [
        "2026-01-01T09:00:00+00:00",
        "2026-01-01T10:00:00+00:00",
    ]


def test_dates_are_left_out_and_bounds_hold() -> None:
    times = ScheduleTimes(
        rules=[CronRule("@daily")],
        zone=ZoneInfo("America/New_York"),
        starting=at("2026-12-23T00:00"),
        ending=at("2026-12-28T05:00"),
        excluded=[dates_of("2026-12-24/2026-12-26")],
    )
    slots = times.until(at("2026-01-01T00:00"), at("2027-01-01T00:00"), most=100)
    assert [(slot.at.astimezone(times.zone).day, slot.excluded) for slot in slots] == [
        (23, False),
        (24, True),
        (25, True),
        (26, True),
        (27, False),
    ]
    assert times.next_slot(at("2026-12-28T05:00")) is None
    assert times.next_firings(at("2026-12-24T00:00"), 5) == [at("2026-12-27T05:00")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("* * *", "has 3 fields"),
        ("0 9 * * * 2027 x", "has 7 fields"),
        ("61 * * * *", "bad minute"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("0 9 * * funday", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("", "has 0 fields"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_the_form_it_has(text: str, says: str) -> None:
    with pytest.raises(ScheduleTimesError, match=says) as caught:
        CronRule(text)
    assert "30 8 * * mon-fri" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["0 minutes", "5 minuts", "minutes", "-5m", "5", "400 days", "1.5 hours", "9" * 40 + "s"]
)
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ScheduleTimesError, match="no interval"):
        interval_of(text)


@pytest.mark.parametrize(
    ("times", "days"), [(["24:00"], []), (["8"], []), (["08:60"], []), (["08:00"], ["mo"]), (["08:00"], ["32"])]
)
def test_what_is_no_time_or_day_is_refused(times: list[str], days: list[str]) -> None:
    with pytest.raises(ScheduleTimesError, match="is no"):
        rules_of_times(times, days)


@pytest.mark.parametrize("text", ["2026-13-01", "christmas", "2026-12-26/2026-12-24", "2026-12-24/"[:-1] + "/x"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ScheduleTimesError):
        dates_of(text)


def test_it_is_told_in_words() -> None:
    times = ScheduleTimes(
        rules=rules_of_times(["08:30"], ["mon-fri"]), zone=ZoneInfo("Europe/Lisbon"), excluded=[dates_of("2026-12-25")]
    )
    assert times.words() == "at 08:30 on Monday through Friday, Europe/Lisbon, not on 2026-12-25"
    assert ScheduleTimes(rules=[IntervalRule(interval_of("120 min"))], zone=ZoneInfo("UTC")).words() == "every 2 hours"


def test_the_rarest_rule_is_found_without_much_work() -> None:
    rare = ScheduleTimes(rules=[CronRule("0 0 29 2 *")], zone=ZoneInfo("UTC"))
    assert rare.next_slot(at("2026-01-01T00:00")) == at("2028-02-29T00:00")
