"""The clock of a database server, which all processes on the database measure leases by."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

LONGEST_ANSWER_SECONDS = 2.0
"""A slower answer says too little of the moment at which it was given."""


class ServerClock:
    """What time a server has, as it said last, and what has passed since.

    A process's own clock may be wrong, or be set while it runs, and leases would end too early or too late by as much.
    Here nothing depends on it: between two answers the time goes on by ``monotonic``, which nobody sets. Where the
    machine sleeps that stands still, and until the next answer leases of this process end early, which is safe: it
    claims nothing that is not over, and what it writes is refused where another one has claimed it.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said: tuple[datetime, float] | None = None

    def answered(self, seconds: float, *, began: float) -> None:
        """The server has said how many seconds have passed since 1970; it was asked when ``monotonic`` said
        ``began``."""
        took = self._monotonic() - began
        if took <= LONGEST_ANSWER_SECONDS:
            self._said = (datetime.fromtimestamp(seconds, UTC), began + took / 2)

    def ahead_of(self, now: datetime) -> timedelta:
        """How far it is ahead of a clock that says ``now``; nothing while it has not answered."""
        if self._said is None:
            return timedelta()
        time_there, at = self._said
        return time_there + timedelta(seconds=self._monotonic() - at) - now

    @property
    def began(self) -> float:
        """What to hand to :meth:`answered`: now, by ``monotonic``."""
        return self._monotonic()
