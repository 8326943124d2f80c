"""When a schedule fires: cron expressions and intervals, in a time zone, with dates left out.

A slot is the moment that a rule names, in UTC. Local times that a change of clocks leaves out fire at the first moment
after the gap; local times that come twice fire once, at the first (both as Debian's cron does). Rules that name no
certain time, such as every 15 minutes, follow elapsed time.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field as CronField

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_INTERVAL = timedelta(days=366)
HORIZON = timedelta(days=366 * 10)
"""A rule that does not fire within this time counts as one that never fires."""

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
    "w": 604800,
    "week": 604800,
}
_INTERVAL = re.compile(r"^\s*(\d{1,9})\s*([a-z]+?)s?\s*$", re.IGNORECASE)
_TIME = re.compile(r"^([01]?\d|2[0-3]):([0-5]\d)$")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY_NAMES = {
    "sunday": "sun",
    "monday": "mon",
    "tuesday": "tue",
    "wednesday": "wed",
    "thursday": "thu",
    "friday": "fri",
    "saturday": "sat",
}
_DAY_GROUPS = {"weekdays": "1-5", "weekends": "0,6"}


class ScheduleTimesError(ValueError):
    """A rule cannot be read. Its text says what is wrong and how it is written."""


class Slot(NamedTuple):
    """A moment that a schedule names, in UTC. One that falls on a date that is left out is ``excluded``."""

    at: datetime
    excluded: bool = False


class Dates(NamedTuple):
    """The dates from ``first`` to ``last``, both included, in the schedule's time zone."""

    first: date
    last: date


class CronRule:
    """A cron expression of five fields, or six with seconds in front."""

    def __init__(self, expression: str) -> None:
        fields = _MACROS.get(expression.strip().lower(), expression).replace("?", "*").split()
        if len(fields) not in (5, 6):
            raise ScheduleTimesError(
                f"{expression!r} has {len(fields)} fields. Cron has five: minute, hour, day of the month, month, day "
                "of the week, such as '30 8 * * mon-fri'; a sixth one in front is seconds."
            )
        self._minutes = " ".join(fields[-5:])
        try:
            seconds = CronField.SECOND.parse(fields[0]) if len(fields) == 6 else {0}
            CronSim(self._minutes, EPOCH)
        except CronSimError as error:
            raise ScheduleTimesError(
                f"{expression!r} is no cron expression: {str(error).lower()}. The fields are minute, hour, day of the "
                "month, month, day of the week, such as '30 8 * * mon-fri'."
            ) from error
        self._seconds = sorted(each for each in seconds if isinstance(each, int))

    def after(self, moment: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Every moment later than this one, in UTC, in order."""
        # The minute before is read too: its later seconds may be still to come.
        start = moment.astimezone(zone).replace(second=0, microsecond=0, fold=moment.astimezone(zone).fold)
        before = (start.astimezone(UTC) - timedelta(minutes=1)).astimezone(zone)
        for minute in CronSim(self._minutes, before):
            at = minute.astimezone(UTC)
            for second in self._seconds:
                slot = at + timedelta(seconds=second)
                if slot > moment:
                    yield slot

    def words(self) -> str:
        """When it fires, in English."""
        told = CronSim(self._minutes, EPOCH).explain()
        told = told[0].lower() + told[1:]
        if self._seconds == [0]:
            return told
        if len(self._seconds) == 60:
            return f"each second, {told}"
        return f"at second {', '.join(map(str, self._seconds))}, {told}"


class IntervalRule:
    """Every so many seconds of elapsed time, counted from ``anchor``, whenever the schedule began."""

    def __init__(self, interval: timedelta, anchor: datetime = EPOCH) -> None:
        self._interval = interval
        self._anchor = anchor

    def after(self, moment: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Every moment later than this one, in UTC, in order."""
        del zone
        at = self._anchor + ((moment - self._anchor) // self._interval + 1) * self._interval
        while True:
            yield at
            at += self._interval

    def words(self) -> str:
        """When it fires, in English."""
        seconds = int(self._interval.total_seconds())
        for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
            if seconds % size == 0:
                count = seconds // size
                return f"every {name}" if count == 1 else f"every {count} {name}s"
        raise AssertionError("every number of seconds is one of seconds")


Rule = CronRule | IntervalRule


@dataclass(slots=True, frozen=True, kw_only=True)
class ScheduleTimes:
    """All that says when a schedule fires. ``starting`` and ``ending`` bound it, the former included."""

    rules: Sequence[Rule]
    zone: ZoneInfo
    starting: datetime | None = None
    ending: datetime | None = None
    excluded: Sequence[Dates] = ()

    def after(self, moment: datetime) -> Iterator[Slot]:
        """The slots later than this moment, in order, each once; it may take long where there is none."""
        if self.starting is not None:
            moment = max(moment, self.starting - timedelta(microseconds=1))
        last = None
        for at in heapq.merge(*(rule.after(moment, self.zone) for rule in self.rules)):
            if self.ending is not None and at >= self.ending:
                return
            if at != last:
                last = at
                yield Slot(at, self._is_excluded(at))

    def next_slot(self, moment: datetime) -> datetime | None:
        """The next slot after this moment, excluded or not; ``None`` where none comes within :data:`HORIZON`."""
        slot = next(self.after(moment), None)
        return None if slot is None or slot.at > max(moment, self.starting or moment) + HORIZON else slot.at

    def until(self, after: datetime, until: datetime, *, most: int) -> list[Slot]:
        """The first ``most`` slots later than ``after`` and not later than ``until``."""
        found = []
        for slot in islice(self.after(after), most):
            if slot.at > until:
                break
            found.append(slot)
        return found

    def next_firings(self, moment: datetime, count: int) -> list[datetime]:
        """The next moments after this one at which it fires; fewer where there are no more for a long time."""
        found: list[datetime] = []
        for slot in islice(self.after(moment), 10_000):
            if slot.at > moment + HORIZON or len(found) == count:
                break
            if not slot.excluded:
                found.append(slot.at)
        return found

    def words(self) -> str:
        """When it fires, in English: ``at 08:30 on Monday through Friday, Europe/Lisbon``."""
        told = "; ".join(rule.words() for rule in self.rules)
        if any(isinstance(rule, CronRule) for rule in self.rules):
            told += f", {self.zone.key}"
        if self.starting is not None:
            told += f", from {self.starting.astimezone(self.zone):%Y-%m-%d %H:%M}"
        if self.ending is not None:
            told += f", until {self.ending.astimezone(self.zone):%Y-%m-%d %H:%M}"
        if self.excluded:
            told += ", not on " + ", ".join(_told(dates) for dates in self.excluded)
        return told

    def _is_excluded(self, at: datetime) -> bool:
        if not self.excluded:
            return False
        day = at.astimezone(self.zone).date()
        return any(dates.first <= day <= dates.last for dates in self.excluded)


def interval_of(text: str) -> timedelta:
    """The time of ``15 minutes``, ``90s`` or ``2 days``.

    Raises:
        ScheduleTimesError: it is none, or not between a second and 366 days.
    """
    found = _INTERVAL.match(text)
    seconds = int(found[1]) * _UNITS.get(found[2].lower(), 0) if found else 0
    if not 0 < seconds <= LONGEST_INTERVAL.total_seconds():
        raise ScheduleTimesError(
            f"{text!r} is no interval between a second and 366 days, such as '15 minutes', '2 hours' or '90s'."
        )
    return timedelta(seconds=seconds)


def rules_of_times(times: Sequence[str], days: Sequence[str]) -> list[CronRule]:
    """Rules for certain times of the day (``08:30``), on certain days where there are some.

    Days are names (``mon``, ``monday``, ``weekdays``), ranges of them (``mon-fri``), days of the month (``1`` to
    ``31``), or ``last``, the month's last day.

    Raises:
        ScheduleTimesError: a time or a day cannot be read.
    """
    of_week, of_month = _days(days)
    fields = [*([f"* * {','.join(of_week)}"] if of_week else []), *([f"{','.join(of_month)} * *"] if of_month else [])]
    rules = []
    for each in times:
        found = _TIME.match(each)
        if found is None:
            raise ScheduleTimesError(f"{each!r} is no time of the day such as '08:30' or '17:00'.")
        rules += [CronRule(f"{int(found[2])} {int(found[1])} {rest}") for rest in fields or ["* * *"]]
    return rules


def dates_of(text: str) -> Dates:
    """The dates of ``2026-12-25`` or of ``2026-12-24/2027-01-01``, both ends included.

    Raises:
        ScheduleTimesError: it is neither.
    """
    first, _, last = text.partition("/")
    try:
        dates = Dates(date.fromisoformat(first.strip()), date.fromisoformat((last or first).strip()))
    except ValueError as error:
        raise ScheduleTimesError(
            f"{text!r} is neither a date nor two with a slash: '2026-12-24/2027-01-01'."
        ) from error
    if dates.last < dates.first:
        raise ScheduleTimesError(f"{text!r} ends before it begins.")
    return dates


def _days(days: Sequence[str]) -> tuple[list[str], list[str]]:
    """The fields for days of the week, and for days of the month."""
    of_week, of_month = [], []
    for each in days:
        word = each.strip().lower()
        first, _, last = word.partition("-")
        if word == "last":
            of_month.append("L")
        elif word.isdecimal() and 1 <= int(word) <= 31:
            of_month.append(word)
        elif word in _DAY_GROUPS:
            of_week.append(_DAY_GROUPS[word])
        elif (begin := _day(first)) is not None and (end := _day(last or first)) is not None:
            of_week += (
                [f"{begin}-{end}"] if begin < end else [str((begin + day) % 7) for day in range((end - begin) % 7 + 1)]
            )
        else:
            raise ScheduleTimesError(
                f"{each!r} is no day: 'mon', 'mon-fri', 'weekdays', a day of the month from '1' to '31', or 'last'."
            )
    return of_week, of_month


def _day(word: str) -> int | None:
    name = _DAY_NAMES.get(word, word)
    return _DAYS.index(name) if name in _DAYS else None


def _told(dates: Dates) -> str:
    return str(dates.first) if dates.first == dates.last else f"{dates.first} to {dates.last}"
