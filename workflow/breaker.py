"""A circuit breaker as values: what each call and each answer does to it, without a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 60.0
SUCCESSES_TO_CLOSE = 3
"""The figures of the contract "Failure": 5 consecutive failures, 60 s, 3 successes."""


class BreakerState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    """They do; consecutive failures open it."""
    OPEN = "open"
    """They do not; time makes it half open."""
    HALF_OPEN = "half_open"
    """They do, one at a time; successes close it, a failure opens it again."""


@dataclass(slots=True, frozen=True)
class Breaker:
    """One target's breaker. ``count`` is of failures while closed, of successes while half open."""

    state: BreakerState = BreakerState.CLOSED
    count: int = 0
    opened_at: float = 0.0
    is_probing: bool = False

    def before_call(self, now: float) -> tuple[Breaker, float | None]:
        """The breaker as a call starts at ``now`` (seconds), and for how long it must not, if it must not."""
        if self.state is BreakerState.CLOSED:
            return self, None
        if self.state is BreakerState.OPEN:
            left = self.opened_at + OPEN_SECONDS - now
            if left > 0:
                return self, left
            return Breaker(BreakerState.HALF_OPEN, is_probing=True), None
        if self.is_probing:
            return self, 1.0
        return replace(self, is_probing=True), None

    def after_success(self) -> Breaker:
        """The breaker after the target has answered."""
        if self.state is BreakerState.HALF_OPEN and self.count + 1 < SUCCESSES_TO_CLOSE:
            return Breaker(BreakerState.HALF_OPEN, self.count + 1)
        return Breaker()

    def after_failure(self, now: float) -> Breaker:
        """The breaker after a transient failure at ``now``."""
        if self.state is BreakerState.CLOSED and self.count + 1 < FAILURES_TO_OPEN:
            return Breaker(BreakerState.CLOSED, self.count + 1)
        return Breaker(BreakerState.OPEN, opened_at=now)

    def after_cancel(self) -> Breaker:
        """The breaker after a call that was broken off: it says nothing of the target."""
        return replace(self, is_probing=False)
