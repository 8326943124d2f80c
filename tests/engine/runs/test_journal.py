"""Large records are encoded in a thread before they are saved, and keep their places."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from engine.runs.journal import LARGE_ITEMS, Journal, Unsaved
from workflow.executions import EncodedRecord, NodeRun, Record
from workflow.items import Item

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def node_run(name: str, items: int) -> NodeRun:
    return NodeRun(
        node=name,
        run_index=0,
        status="succeeded",
        started_at=NOON,
        duration_ms=1,
        items_in=1,
        logical_time=NOON,
        outputs={"main": [Item({})] * items},
    )


async def committed() -> None:
    """At once."""


def journal(saved: list[Unsaved], encode: Any = None, **options: Any) -> Journal:
    def save(records: Sequence[Unsaved]) -> None:
        saved.extend(records)

    return Journal(save=save, committed=committed, encode=encode, **options)


async def test_a_large_record_is_encoded_in_a_thread_and_keeps_its_place() -> None:
    saved: list[Unsaved] = []
    threads: list[int] = []

    def encode(record: Record) -> bytes:
        threads.append(threading.get_ident())
        return b"[]"

    kept = journal(saved, encode)
    small, large, last = node_run("a", LARGE_ITEMS), node_run("b", LARGE_ITEMS + 1), node_run("c", 1)
    for each in (small, large, last):
        kept.note(each)
    kept.holds_large = True
    await kept.secure()
    assert saved == [small, EncodedRecord(large, b"[]"), last]
    assert kept.records == [small, large, last]
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


async def test_a_save_that_comes_meanwhile_takes_the_record_along_once() -> None:
    saved: list[Unsaved] = []
    before, large, after = node_run("a", 1), node_run("b", LARGE_ITEMS + 1), node_run("c", 1)

    def encode(record: Record) -> bytes:
        kept.save()
        kept.note(after)
        return b"[]"

    kept = journal(saved, encode)
    kept.note(before)
    kept.note(large)
    await kept.prepare()
    kept.save()
    assert saved == [before, large, after]


async def test_where_nothing_is_stored_nothing_is_encoded() -> None:
    kept = journal([], lambda record: 1 / 0, durability="none")
    kept.note(node_run("a", LARGE_ITEMS + 1))
    await kept.prepare()
