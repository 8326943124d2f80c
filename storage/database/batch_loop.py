"""The loop that writes what gathers, batch by batch: while one batch is on its way to the disk the next one gathers.

So batches grow with the load by themselves, and a lone write never waits for company.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Self

from workflow.errors import StorageError


class BatchLoop:
    """Calls ``write_batch`` while ``has_gathered``; an async context manager that writes what is left at its end.

    ``write_batch`` takes the next batch and writes it. It returns whether that succeeded; after a failure it is called
    again in ``retry_seconds``, or never where the loop is about to end. ``lazy_seconds`` is how long something may
    wait for its batch that nobody waits for.

    Everything here and everything that gathers runs on one event loop, so between two awaits nothing else happens:

    1. Something gathers while a batch is on its way. When the batch is written ``has_gathered`` is asked again, so
       the next batch takes it; it needs no wake-up.
    2. Something gathers between the wake-up and its ``clear``, which deletes that wake-up too. ``has_gathered`` is
       asked after the ``clear``, so it is seen all the same.
    3. The timer of :meth:`soon` fires after :meth:`now` has had its batch written. The loop finds nothing, and waits.
    4. The end comes while a batch is on its way. What has gathered meanwhile is written before the loop ends, unless a
       batch fails: a database that is gone must not keep the process from ending.
    """

    def __init__(
        self,
        name: str,
        *,
        write_batch: Callable[[], Awaitable[bool]],
        has_gathered: Callable[[], bool],
        lazy_seconds: float,
        retry_seconds: float,
    ) -> None:
        self._name = name
        self._write_batch = write_batch
        self._has_gathered = has_gathered
        self._lazy_seconds = lazy_seconds
        self._retry_seconds = retry_seconds
        self._wanted = asyncio.Event()
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=self._name)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_closing = True
        self._wanted.set()
        if self._task is not None:
            await self._task

    def soon(self) -> None:
        """Something has gathered, as the first of its batch."""
        asyncio.get_running_loop().call_later(self._lazy_seconds, self._wanted.set)

    def now(self) -> None:
        """Somebody waits for what has gathered."""
        self._wanted.set()

    async def _run(self) -> None:
        while not (self._is_closing and not self._has_gathered()):
            await self._wanted.wait()
            self._wanted.clear()
            while self._has_gathered():
                if await self._write_batch():
                    continue
                if self._is_closing:
                    return
                await asyncio.sleep(self._retry_seconds)


def settle(waiters: Iterable[asyncio.Future[None]], error: StorageError | None) -> None:
    """End the waiting for a batch: it is on the disk, or has failed with the ``error``."""
    for waiter in waiters:
        if waiter.done():  # its task was cancelled
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
