"""A circuit breaker as values: what each call and each answer does to it, without a clock of its own."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from enum import StrEnum

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 60.0
SUCCESSES_TO_CLOSE = 3
"""The figures of docs/contract.md, "Failure": 5 consecutive failures, 60 s, 3 successes."""


MOST_KEPT = 10_000
"""Targets that are remembered; callers choose addresses, so the ones that failed first are forgotten."""


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


class Breakers:
    """The breakers of many targets; only those are kept that have something to remember. Times are seconds."""

    def __init__(self) -> None:
        self._breakers: dict[Hashable, Breaker] = {}

    def before_call(self, target: Hashable, now: float) -> float | None:
        """For how long a call that would start ``now`` must not; ``None`` where it may, and is taken to start."""
        breaker, wait_seconds = self._of(target).before_call(now)
        if wait_seconds is None:
            self._keep(target, breaker)
        return wait_seconds

    def after_success(self, target: Hashable) -> None:
        """The target has answered."""
        self._keep(target, self._of(target).after_success())

    def after_failure(self, target: Hashable, now: float) -> None:
        """The target has failed in a way that may pass."""
        self._keep(target, self._of(target).after_failure(now))

    def after_cancel(self, target: Hashable) -> None:
        """The call was broken off, or failed in a way that says nothing of the target."""
        self._keep(target, self._of(target).after_cancel())

    def state(self, target: Hashable) -> BreakerState:
        """The state of the target's breaker."""
        return self._of(target).state

    def _of(self, target: Hashable) -> Breaker:
        return self._breakers.get(target, Breaker())

    def _keep(self, target: Hashable, breaker: Breaker) -> None:
        if breaker == Breaker():
            self._breakers.pop(target, None)
        else:
            self._breakers[target] = breaker
            if len(self._breakers) > MOST_KEPT:
                del self._breakers[next(iter(self._breakers))]
