"""The garbage collector, kept from holding the process up: a full collection stops every thread while it lasts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import AsyncIterator, Callable

YOUNG_OBJECTS = 10_000
YOUNG_COLLECTIONS = 20
"""After so many collections of the young the middle-aged are collected too, and those that are left count as old."""
DUE_COLLECTIONS = 50
"""After so many collections of the middle-aged a full one is due."""
NEVER = 1 << 30
SHORT_BLOCKS = 1_000_000
"""Blocks of memory beyond those there were at the start, up to which a full collection is short: it takes 80 to 130 ns
for each of them."""
LONGEST_WAIT_SECONDS = 600.0
"""So long a full collection that is due waits for executions with very many items to end: what refers to itself in a
circle and is not used any more takes up memory until then."""
LOOK_SECONDS = 1.0


def calm_garbage_collector() -> None:
    """Exempt what is loaded from garbage collection, and collect less often.

    Items are many and hold no cycles; with Python's defaults a third of the time of large executions was spent on
    garbage collection (``benchmarks/items.py``). What is garbage already stays, some hundred kilobytes: to look for it
    would be a fifth of the time that a server takes to start.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_COLLECTIONS, DUE_COLLECTIONS)


@contextlib.asynccontextmanager
async def calm_garbage_collection() -> AsyncIterator[None]:
    """Calm the collector, and choose the moments of its full collections, until the context is left.

    Left to itself the collector starts them in the middle of executions that make very many objects: with 200,000
    items that wait it looked at all of them for 1.8 s, in which nobody got an answer.
    """
    calm_garbage_collector()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_COLLECTIONS, NEVER)
    task = asyncio.create_task(_collect_from_time_to_time(), name="garbage-collection")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gc.set_threshold(YOUNG_OBJECTS, YOUNG_COLLECTIONS, DUE_COLLECTIONS)


class FullCollections:
    """Decides when all that is not frozen is looked at. ``clock`` counts seconds, ``blocks`` what is in memory."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, blocks: Callable[[], int] = sys.getallocatedblocks
    ) -> None:
        self._clock = clock
        self._blocks = blocks
        self._most_blocks = blocks() + SHORT_BLOCKS
        self._last = clock()

    def is_due(self, collections: int) -> bool:
        """Whether to collect now, after so many ``collections`` of the middle-aged since the last full one."""
        if collections < DUE_COLLECTIONS:
            return False
        if self._blocks() > self._most_blocks and self._clock() < self._last + LONGEST_WAIT_SECONDS:
            return False
        self._last = self._clock()
        return True


async def _collect_from_time_to_time() -> None:
    full = FullCollections()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if full.is_due(gc.get_count()[2]):
            gc.collect()
