"""Runs with very many items: others go on meanwhile, and the work grows with the number of items, not faster."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from engine.nodes import item_counts
from engine.runs import run as runs
from engine.runs.node_runner import LARGE_ITEMS
from engine.runs.submission import input_items
from tests.support.engine import EngineHarness, Finished
from workflow.executions import Record
from workflow.states import ExecutionState

MOST_SECONDS = 0.25
"""Of processor time that the event loop's thread may work without a turn for others. Time on the wall depends on what
else the machine does."""
MANY = 40_000


@asynccontextmanager
async def watched() -> AsyncIterator[list[float]]:
    """The processor time that each turn of the event loop took, in its thread. Garbage is collected as in a server."""
    turns: list[float] = []
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)

    async def watch() -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            turns.append(now - before)
            before = now

    task = asyncio.create_task(watch())
    try:
        yield turns
    finally:
        task.cancel()
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        await asyncio.gather(task, return_exceptions=True)


class Saves(list[Record]):
    """What a journal saves, and how often it does."""

    times = 0

    def extend(self, records: Iterable[Record]) -> None:
        """One save."""
        self.times += 1
        super().extend(records)


def chain(node: dict[str, Any]) -> dict[str, Any]:
    """A list that is split, and the node behind it."""
    nodes = {"start": {"type": "manual"}, "split": {"type": "split_out", "parameters": {"field": "l"}}, "node": node}
    return {"name": "many", "nodes": nodes, "connections": [["start", "split"], ["split", "node"]]}


def node(kind: str, **parameters: Any) -> dict[str, Any]:
    """A node."""
    return {"type": kind, "parameters": parameters}


async def test_many_items_that_wait_are_saved_in_few_parts(harness: EngineHarness) -> None:
    document, data, saved = chain(node("wait", seconds=60)), {"l": list(range(MANY))}, Saves()
    async with watched() as turns:
        first = await harness.execute(document, data, saved=saved)
    assert first.state is ExecutionState.WAITING
    assert len(first.run.waiting) == MANY
    assert saved.times <= MANY / 1_000, "each save writes the whole execution"
    assert max(turns) < MOST_SECONDS

    saved.extend(first.run.journal.flush())
    harness.clock.at += timedelta(seconds=61)
    again = Saves()
    async with watched() as turns:
        second = await harness.execute(document, data, recorded=list(saved), saved=again)
    assert [item["l"] for item in second.items("node")] == data["l"]
    assert again.times <= MANY / 100
    assert max(turns) < MOST_SECONDS


async def test_at_most_the_concurrency_is_at_work_and_every_item_is_done_once(harness: EngineHarness) -> None:
    at_work, most, seen = 0, 0, []

    class Children:
        async def ensure(self, parent: Any, key: Any, workflow_id: str, data: Any, **options: Any) -> Any:
            """A child that takes two turns."""
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            seen.append(key.item_index)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            at_work -= 1
            return parent.changed(id="child")

    harness.children = Children()
    parameters = {"workflow_id": "w", "wait": False, "concurrency": 7}
    done = await harness.node("for_each", parameters, [{"n": n} for n in range(100)])
    assert done.state is ExecutionState.SUCCEEDED
    assert (most, sorted(seen)) == (7, list(range(100)))


@pytest.mark.long
@pytest.mark.parametrize(
    "kind",
    [
        node("no_op"),
        node("set", fields={"n": "={{ $json.l + 1 }}", "t": "a{{ $json.l }}"}),
        node("set", fields={"a.b": "={{ $json.l + 1 }}"}),
        node("set", fields={"from": "={{ $('start').item.json.m }}"}),
        node("filter", comparisons=[{"left": "={{ $json.l }}", "operator": "less", "right": 9}]),
        node("switch", rules=[{"output": "a", "condition": "={{ $json.l > 9 }}"}]),
        node("sort", by=[{"field": "l", "order": "descending"}]),
        node("aggregate", group_by=["l"]),
        node("aggregate", summaries={"s": {"operation": "sum", "field": "l"}}),
        node("limit", max_items=1_000_000),
    ],
    ids=lambda each: f"{each['type']} {list(each['parameters'])}",
)
async def test_nodes_with_many_items_let_others_go_on(harness: EngineHarness, kind: dict[str, Any]) -> None:
    async with watched() as turns:
        done = await harness.execute(chain(kind), {"m": 1, "l": list(range(5 * MANY))})
    assert done.state is ExecutionState.SUCCEEDED, done.run.error
    assert max(turns) < MOST_SECONDS


async def result(harness: EngineHarness, kind: dict[str, Any], data: Any) -> Any:
    """What the node gives, with the origins of its items, and its error."""
    done = await harness.execute(chain(kind), data)
    (node_run,) = done.run.runs["node"]
    return node_run.outputs, node_run.error


@pytest.mark.parametrize("on_error", ["stop", "continue", "error_output"])
async def test_a_large_run_gives_what_small_ones_give(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch, on_error: str
) -> None:
    kinds = [
        node("set", fields={"x": "={{ $json.l % 7 }}"}),
        node("set", fields={"x": "={{ $json.l.name.first }}"}),
        node("if", comparisons=[{"left": "={{ $json.l }}", "operator": "less", "right": 9}]),
        node("aggregate", summaries={"s": {"operation": "sum", "field": "l"}}),
        node("respond", body="={{ $json.l }}"),
    ]
    for kind in kinds:
        for last in (5, "text"):
            data = {"l": [*range(50), last]}
            small = await result(harness, {**kind, "on_error": on_error}, data)
            monkeypatch.setattr("engine.runs.node_runner.LARGE_ITEMS", 10)
            assert await result(harness, {**kind, "on_error": on_error}, data) == small, kind
            monkeypatch.undo()


async def test_a_large_run_answers_the_webhook_request_in_the_event_loop(harness: EngineHarness) -> None:
    answered: list[int] = []
    document = chain(node("respond", status=201, body={"n": "={{ $json.l }}"}))
    run, executor = harness.start(document, {"l": list(range(LARGE_ITEMS + 1))})
    run.on_answer = lambda response: answered.append(threading.get_ident())
    await executor.execute(input_items(run.execution.input))
    assert answered == [threading.get_ident()]
    assert run.output()["response"]["body"] == {"n": 0}


async def test_the_origins_of_many_items_are_found_in_linear_time(harness: EngineHarness) -> None:
    document = {
        "name": "pairs",
        "nodes": {
            "start": {"type": "manual"},
            "split": node("split_out", field="l"),
            "all": node("aggregate"),
            "again": node("split_out", field="items"),
            "node": node("set", fields={"from": "={{ $('start').item.json.m }}"}),
        },
        "connections": [["start", "split"], ["split", "all"], ["all", "again"], ["again", "node"]],
    }
    began = time.thread_time()
    done = await harness.execute(document, {"m": 1, "l": list(range(MANY))})
    assert {item["from"] for item in done.items("node")} == {1}
    assert time.thread_time() - began < 10, "1.6 billion steps would take minutes"


async def test_an_item_of_too_many_others_has_no_origin(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MOST_TRACED", 50)
    document = chain(node("aggregate"))
    document["nodes"]["read"] = node("set", fields={"from": "={{ $('start').item.json.m }}"})
    document["connections"].append(["node", "read"])
    few = await harness.execute(document, {"m": 1, "l": list(range(40))})
    assert few.items("read")[0]["from"] == 1
    many = await harness.execute(document, {"m": 1, "l": list(range(60))})
    assert many.run.error is not None
    assert many.run.error.code == "multiple_matches"


def error_code(done: Finished) -> str | None:
    """The code of the error that ended the run."""
    return done.run.error.code if done.run.error is not None else None


async def test_what_would_make_too_many_items_is_refused_before_it_is_made(harness: EngineHarness) -> None:
    too_many = item_counts.MAX_ITEMS + 1
    assert error_code(await harness.execute(chain(node("no_op")), {"l": [0] * too_many})) == "too_many_items"
    join = {
        "name": "join",
        "nodes": {
            "start": {"type": "manual"},
            "split": node("split_out", field="l"),
            "node": node("merge", mode="by_field", match_on=["l"]),
        },
        "connections": [["start", "split"], ["split", "node.first"], ["split", "node.second"]],
    }
    assert error_code(await harness.execute(join, {"l": [0] * 2_000})) == "too_many_items"
    assert error_code(await harness.execute(join, {"l": list(range(2_000))})) is None
