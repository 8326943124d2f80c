"""Ends waiting requests when the server shuts down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

IN_TIME_SECONDS = 1.0
"""How long before the end of the grace time waiting ends, so that the answers can still be sent."""


class Shutdown:
    """The shutdown of a server. ``at_once`` is called when it begins; requests that wait are ended a little later."""

    def __init__(self, *, grace_seconds: float, at_once: Callable[[], None]) -> None:
        self._grace_seconds = grace_seconds
        self._at_once = at_once
        self._awaited: set[asyncio.Future[Any]] = set()

    def begin(self) -> None:
        """Begin the shutdown: no new requests come."""
        self._at_once()
        seconds = max(0.0, self._grace_seconds - IN_TIME_SECONDS)
        asyncio.get_running_loop().call_later(seconds, self._cancel_all)

    @contextmanager
    def waiting(self, awaited: asyncio.Future[Any]) -> Iterator[None]:
        """While in the context, ``awaited`` is cancelled when the grace time is nearly over."""
        self._awaited.add(awaited)
        try:
            yield
        finally:
            self._awaited.discard(awaited)

    def _cancel_all(self) -> None:
        for awaited in list(self._awaited):
            awaited.cancel()
