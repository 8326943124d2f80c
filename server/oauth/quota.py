"""Quotas for costly requests of unauthenticated callers."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

from workflow.ports import Clock

MAX_KEYS = 10_000
"""How many counters are kept; beyond it the oldest is dropped."""


class Quota:
    """At most so many uses in a window of time for each key."""

    def __init__(self, *, clock: Clock, times: int, window: timedelta) -> None:
        self._clock = clock
        self._times = times
        self._window = window
        self._counts: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def take(self, key: str) -> bool:
        """Whether one more use is allowed; counts it if so."""
        now = self._clock.now()
        begun, count = self._counts.get(key, (now, 0))
        if begun + self._window <= now:
            begun, count = now, 0
        if count >= self._times:
            return False
        self._counts[key] = (begun, count + 1)
        self._counts.move_to_end(key)
        if len(self._counts) > MAX_KEYS:
            self._counts.popitem(last=False)
        return True
