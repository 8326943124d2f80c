"""Bounded waits for what no event announces. Where there is an event, wait for that."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

PAUSE_SECONDS = 0.01


async def until(is_so: Callable[[], bool | Awaitable[bool]], *, seconds: float = 10) -> None:
    """Return when ``is_so`` says true. It is called every 10 ms, and may be a coroutine function.

    Raises:
        TimeoutError: it still says false after ``seconds``.
    """
    async with asyncio.timeout(seconds):
        while True:
            found = is_so()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(PAUSE_SECONDS)
