"""A remote document that is fetched when it is needed, and cached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from server.auth.outside.requests import IssuerUnavailableError
from workflow.ports import Clock

T = TypeVar("T")

FRESH = timedelta(minutes=10)
"""How long the cached value is fresh. A key that an issuer withdraws is trusted for this long at most."""
KEPT = timedelta(hours=24)
"""How long a stale value is used while fetching fails."""
PAUSE = timedelta(seconds=10)
"""The least time between two fetches, whatever callers send us."""

log = logging.getLogger(__name__)


class Remembered(Generic[T]):
    """A value with its last fetch. When several callers need a fetch, one makes it and the others wait."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._failure: IssuerUnavailableError | None = None

    async def value(self) -> T:
        """The value; fetched where there is none or it is stale.

        While one caller waits for a slow issuer, the others get the cached value.

        Raises:
            IssuerUnavailableError: there is none, and it cannot be fetched.
        """
        enough = KEPT if self._lock.locked() else FRESH
        if self._value is not None and self._age(self._fetched_at) < enough:
            return self._value
        return await self._fetched(unless_after=self._fetched_at)

    async def renewed(self) -> T:
        """The value, fetched again unless a fetch was tried a moment ago.

        Raises:
            IssuerUnavailableError: there is none, and it cannot be fetched.
        """
        return await self._fetched(unless_after=self._fetched_at)

    async def _fetched(self, *, unless_after: datetime | None) -> T:
        async with self._lock:
            if self._value is not None and self._fetched_at != unless_after:
                return self._value  # another caller fetched it while this one waited
            if self._age(self._tried_at) >= PAUSE:
                await self._try()
            if self._value is not None and self._age(self._fetched_at) < KEPT:
                return self._value
            if self._failure is None:
                raise IssuerUnavailableError("The issuer was not asked yet.", fix="Try again.")
            # A new exception for each caller: one that many raise collects all of their tracebacks.
            raise IssuerUnavailableError(self._failure.message, fix=self._failure.fix)

    async def _try(self) -> None:
        try:
            self._value = await self._fetch()
        except IssuerUnavailableError as failure:
            log.warning("%s", failure.message)
            self._failure = failure
            self._tried_at = self._clock.now()
        else:
            self._fetched_at = self._tried_at = self._clock.now()

    def _age(self, since: datetime | None) -> timedelta:
        return self._clock.now() - since if since is not None else timedelta.max
