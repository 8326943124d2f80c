"""What requests that wait for something are told when their server is about to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

IN_TIME_SECONDS = 1.0
"""So long before the end of the grace time nothing more is waited for, so that what is known still gets out."""


class Shutdown:
    """The end of a server, once it has begun. ``at_once`` is called then; who waits is let go of a little later."""

    def __init__(self, *, grace_seconds: float, at_once: Callable[[], None]) -> None:
        self._grace_seconds = grace_seconds
        self._at_once = at_once
        self._awaited: set[asyncio.Future[Any]] = set()

    def begin(self) -> None:
        """The server ends: no new requests come."""
        self._at_once()
        seconds = max(0.0, self._grace_seconds - IN_TIME_SECONDS)
        asyncio.get_running_loop().call_later(seconds, self._let_go)

    @contextmanager
    def waiting(self, awaited: asyncio.Future[Any]) -> Iterator[None]:
        """What is waited for meanwhile is cancelled when there is no time left."""
        self._awaited.add(awaited)
        try:
            yield
        finally:
            self._awaited.discard(awaited)

    def _let_go(self) -> None:
        for awaited in list(self._awaited):
            awaited.cancel()
