"""Which models are left alone for now: those that failed too often, and those that asked for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from prompts.models import failures
from prompts.models.failures import ProviderError
from workflow.breaker import Breakers, BreakerState

LEFT_ALONE_MOST_SECONDS = 3_600.0
"""A provider that asks for longer is asked again after an hour all the same: clocks and headers can be wrong."""


class LeftAlone(NamedTuple):
    """Why a model is not asked, and for how long it will not be."""

    outcome: str
    seconds: float


class Availability:
    """A circuit breaker for each provider and model (docs/contract.md, "Failure"), and the times they asked for.

    ``monotonic`` gives seconds that never go back.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._breakers = Breakers()
        self._asked_for: dict[str, float] = {}

    def before(self, model: str) -> LeftAlone | None:
        """Note that the model is about to be asked, or say why it must not be."""
        now = self._monotonic()
        until = self._asked_for.get(model, now)
        if until > now:
            return LeftAlone(failures.RATE_LIMITED.code, until - now)
        self._asked_for.pop(model, None)
        wait_seconds = self._breakers.before_call(model, now)
        return LeftAlone("circuit_open", wait_seconds) if wait_seconds is not None else None

    def answered(self, model: str) -> None:
        """The model has answered, whatever it said."""
        self._breakers.after_success(model)

    def failed(self, model: str, error: ProviderError) -> None:
        """The model has failed like this."""
        if error.failure.opens_breaker:
            self._breakers.after_failure(model, self._monotonic())
        else:
            # A server that says no is up.
            self._breakers.after_success(model)
        if error.retry_after_seconds:
            self._asked_for[model] = self._monotonic() + min(error.retry_after_seconds, LEFT_ALONE_MOST_SECONDS)

    def broken_off(self, model: str) -> None:
        """The question was taken back: that says nothing of the model."""
        self._breakers.after_cancel(model)

    def state(self, model: str) -> BreakerState:
        """The state of the model's breaker."""
        return self._breakers.state(model)
