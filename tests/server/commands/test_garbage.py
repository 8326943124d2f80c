"""Full garbage collections come when they are short, or when one has been due for long."""

from __future__ import annotations

import asyncio
import gc

from server.commands.garbage import (
    DUE_COLLECTIONS,
    LONGEST_WAIT_SECONDS,
    SHORT_BLOCKS,
    FullCollections,
    calm_garbage_collection,
)


def test_a_full_collection_waits_while_very_much_is_in_memory_and_not_for_ever() -> None:
    now, blocks = 0.0, 5
    full = FullCollections(clock=lambda: now, blocks=lambda: blocks)
    assert not full.is_due(DUE_COLLECTIONS - 1)
    assert full.is_due(DUE_COLLECTIONS)
    blocks += SHORT_BLOCKS + 1
    assert not full.is_due(DUE_COLLECTIONS)
    now += LONGEST_WAIT_SECONDS
    assert full.is_due(DUE_COLLECTIONS)
    assert not full.is_due(DUE_COLLECTIONS)
    blocks -= 1
    assert full.is_due(DUE_COLLECTIONS)


async def test_the_collector_starts_no_full_collection_by_itself_while_calmed() -> None:
    before = gc.get_threshold()
    try:
        async with calm_garbage_collection():
            assert gc.isenabled()
            assert gc.get_threshold()[2] > 1_000_000
            assert "garbage-collection" in {task.get_name() for task in asyncio.all_tasks()}
        assert gc.get_threshold()[2] == DUE_COLLECTIONS
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
