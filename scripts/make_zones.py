"""Writes engine/expressions/javascript/zones.json: every IANA zone's offsets from 1900 on, and the rule that follows.

The JavaScript engine has no time zones of its own. Run it when the time-zone database has changed:
``python -m scripts.make_zones``.

Form: ``{"zones": {name: index}, "histories": [text]}``. A text lists moments and offsets, ``moment:offset`` separated
by blanks: quarters of an hour since the moment before (the first: since 1970, so below zero), and the minutes east of
UTC that hold from then on, both in base 36. A zone whose clocks go on to change has its rule behind a bar, ten numbers
of base 36: the usual offset, the other one, and for each of the two changes, from and back to the usual one, the month,
the week (5 is the last), the day of the week (0 is Sunday) and the minutes after midnight of the local time that ends.
"""

from __future__ import annotations

import calendar
import json
import re
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from zoneinfo import TZPATH, ZoneInfo, available_timezones

TARGET = Path(__file__).parents[1] / "engine" / "expressions" / "javascript" / "zones.json"
QUARTER_SECONDS = 900
FIRST = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp()) // QUARTER_SECONDS
LAST = int(datetime(2101, 1, 1, tzinfo=UTC).timestamp()) // QUARTER_SECONDS
STEP = 3 * 96
"""Three days in quarters of an hour: no zone ever changed twice within less."""

_NAME = r"(?:<[^>]+>|[A-Za-z]+)"
_TIME = r"[+-]?\d+(?::\d+){0,2}"
_CHANGE = rf",M(\d+)\.(\d+)\.(\d+)(?:/({_TIME}))?"
_RULE = re.compile(rf"{_NAME}({_TIME}){_NAME}({_TIME})?{_CHANGE}{_CHANGE}")


class Change(NamedTuple):
    """A change of clocks, each year: the month, its week, the day of the week, the minutes after midnight."""

    month: int
    week: int
    weekday: int
    minutes: int

    def quarter(self, year: int, offset: int) -> int:
        """When it is, in quarters of an hour since 1970, where ``offset`` holds before it."""
        first = date(year, self.month, 1)
        day = 1 + (self.weekday - first.isoweekday()) % 7 + (self.week - 1) * 7
        while day > calendar.monthrange(year, self.month)[1]:
            day -= 7
        minutes = (date(year, self.month, day) - date(1970, 1, 1)).days * 1_440 + self.minutes - offset
        return minutes // 15


class Rule(NamedTuple):
    """How a zone's clocks change from now on."""

    usual: int
    other: int
    away: Change
    back: Change

    def changes(self, year: int) -> list[tuple[int, int]]:
        """``(quarter, offset)`` of the year's two changes."""
        return sorted(
            [(self.away.quarter(year, self.usual), self.other), (self.back.quarter(year, self.other), self.usual)]
        )


def minutes_of(text: str) -> int:
    """``[+-]hours[:minutes]`` as minutes."""
    sign = -1 if text.startswith("-") else 1
    hours, *rest = text.lstrip("+-").split(":")
    return sign * (int(hours) * 60 + (int(rest[0]) if rest else 0))


def rule_of(name: str) -> Rule | None:
    """The rule at the end of the zone's file (RFC 9636, section 3.3), where its clocks go on to change."""
    paths = [Path(folder) / name for folder in TZPATH]
    found = next((path for path in paths if path.is_file()), None) or resources.files("tzdata") / "zoneinfo" / name
    text = found.read_bytes().rstrip(b"\n").rpartition(b"\n")[2].decode()
    if "," not in text:
        return None
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(f"{name}: the rule {text!r} has a form that is not known here")
    usual = -minutes_of(match[1])
    other = -minutes_of(match[2]) if match[2] else usual + 60
    away, back = (
        Change(int(match[at]), int(match[at + 1]), int(match[at + 2]), minutes_of(match[at + 3] or "2"))
        for at in (3, 7)
    )
    return Rule(usual, other, away, back)


def offset_minutes(zone: ZoneInfo, quarter: int) -> int:
    """Minutes east of UTC, rounded: before 1973 a few zones had odd seconds."""
    offset = datetime.fromtimestamp(quarter * QUARTER_SECONDS, tz=zone).utcoffset() or timedelta()
    return round(offset.total_seconds() / 60)


def changes(zone: ZoneInfo) -> list[tuple[int, int]]:
    """``(quarter, offset)``: the first one at 1900, then one for each change."""
    found = [(FIRST, offset_minutes(zone, FIRST))]
    for quarter in range(FIRST, LAST, STEP):
        if offset_minutes(zone, quarter + STEP) == found[-1][1]:
            continue
        low, high = quarter, quarter + STEP
        while high - low > 1:
            middle = (low + high) // 2
            if offset_minutes(zone, middle) == found[-1][1]:
                low = middle
            else:
                high = middle
        found.append((high, offset_minutes(zone, high)))
    return found


def before_rule(found: list[tuple[int, int]], rule: Rule) -> list[tuple[int, int]]:
    """The changes up to the first from which on the rule gives them all."""
    by_rule = [change for year in range(1970, 2101) for change in rule.changes(year) if change[0] < LAST]
    same = 0
    while same < min(len(found), len(by_rule)) and found[-1 - same] == by_rule[-1 - same]:
        same += 1
    if same < 2:
        raise ValueError(f"the rule does not give what the zone's file has: {found[-2:]}, {by_rule[-2:]}")
    return found[: len(found) - same + 1]


def base36(number: int) -> str:
    """The number in base 36, as JavaScript's ``parseInt(text, 36)`` reads it."""
    digits, rest = "", abs(number)
    while True:
        rest, digit = divmod(rest, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if rest == 0:
            return "-" + digits if number < 0 else digits


def history(name: str) -> str:
    """The zone's text."""
    rule, found = rule_of(name), changes(ZoneInfo(name))
    if rule is not None:
        found = before_rule(found, rule)
    before, parts = 0, []
    for quarter, offset in found:
        parts.append(f"{base36(quarter - before)}:{base36(offset)}")
        before = quarter
    numbers = [] if rule is None else [rule.usual, rule.other, *rule.away, *rule.back]
    return " ".join(parts) + ("|" + " ".join(map(base36, numbers)) if numbers else "")


def main() -> None:
    """Write the file."""
    indexes: dict[str, int] = {}
    names = {name: indexes.setdefault(history(name), len(indexes)) for name in sorted(available_timezones())}
    content = {"zones": names, "histories": list(indexes)}
    TARGET.write_text(json.dumps(content, indent=0, separators=(",", ":")) + "\n")
    print(f"{len(names)} zones, {len(indexes)} histories, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
