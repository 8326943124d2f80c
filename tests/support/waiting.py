"""Bounded waits for what no event announces. Where there is an event, wait for that."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

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


async def found(look: Callable[[], Awaitable[T | None]], *, seconds: float = 20) -> T:
    """What ``look`` returns once it is not ``None``. It is called every 30 ms: what it looks at may share the process.

    Raises:
        TimeoutError: there is nothing yet after ``seconds``.
    """
    async with asyncio.timeout(seconds):
        while True:
            seen = await look()
            if seen is not None:
                return seen
            await asyncio.sleep(3 * PAUSE_SECONDS)
