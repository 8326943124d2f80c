"""Long work shares the event loop: other requests get a turn, or it is done in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TURN_SECONDS = 0.005
"""How long work in the event loop goes on before others get a turn: nobody notices five milliseconds."""
THREADS = 2
"""Threads that compute at once. Each holds the interpreter's lock for 5 ms at a time (``sys.getswitchinterval``), which
is how long the event loop waits for each of them."""


class Turns:
    """Gives others a turn from time to time, in work that never waits by itself."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends = time.perf_counter() + TURN_SECONDS

    async def next(self) -> None:
        """Let others go on, if this work has gone on for long enough."""
        if time.perf_counter() > self._ends:
            await asyncio.sleep(0)
            self._ends = time.perf_counter() + TURN_SECONDS


class Aside:
    """Does work in threads, a few at a time. The work must not touch what belongs to the event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(THREADS)

    async def run(self, work: Callable[[], T]) -> T:
        """The work's result.

        Raises:
            Exception: the work failed.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()

        def in_thread() -> T:
            try:
                return work()
            finally:
                # A caller that was cancelled does not stop the thread, so the place is free when the work has ended.
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the place
                    loop.call_soon_threadsafe(self._free.release)

        try:
            future = loop.run_in_executor(None, in_thread)
        except BaseException:
            self._free.release()
            raise
        return await future
