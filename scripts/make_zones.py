"""Writes engine/expressions/javascript/zones.json: every IANA zone's offsets from 1970 to 2037.

The JavaScript engine has no time zones of its own. Run it when the time-zone database has changed:
``python -m scripts.make_zones``.

Form: ``{"zones": {name: index}, "offsets": [text]}``. A text lists moments and offsets, ``moment:offset``
separated by blanks: quarters of an hour since the moment before (the first since 1970), and the minutes
east of UTC that hold from then on, both in base 36.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

TARGET = Path(__file__).parents[1] / "engine" / "expressions" / "javascript" / "zones.json"
QUARTER_SECONDS = 900
FIRST, LAST = 0, int(datetime(2038, 1, 1, tzinfo=UTC).timestamp()) // QUARTER_SECONDS
STEP = 3 * 96
"""Three days in quarters of an hour: no zone ever changed twice within less."""


def offset_minutes(zone: ZoneInfo, quarter: int) -> int:
    """Minutes east of UTC, rounded: before 1973 a few zones had odd seconds."""
    offset = datetime.fromtimestamp(quarter * QUARTER_SECONDS, tz=zone).utcoffset() or timedelta()
    return round(offset.total_seconds() / 60)


def changes(zone: ZoneInfo) -> list[tuple[int, int]]:
    """``(quarter, offset)``: the first one at 1970, then one for each change."""
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


def base36(number: int) -> str:
    """The number in base 36, as JavaScript's ``parseInt(text, 36)`` reads it."""
    digits, rest = "", abs(number)
    while True:
        rest, digit = divmod(rest, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if rest == 0:
            return "-" + digits if number < 0 else digits


def main() -> None:
    """Write the file."""
    indexes: dict[str, int] = {}
    names: dict[str, int] = {}
    for name in sorted(available_timezones()):
        before, parts = 0, []
        for quarter, offset in changes(ZoneInfo(name)):
            parts.append(f"{base36(quarter - before)}:{base36(offset)}")
            before = quarter
        names[name] = indexes.setdefault(" ".join(parts), len(indexes))
    content = {"zones": names, "offsets": list(indexes)}
    TARGET.write_text(json.dumps(content, indent=0, separators=(",", ":")) + "\n")
    print(f"{len(names)} zones, {len(indexes)} histories, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
