"""Loops send batches round their bodies and go on with what came back."""

from __future__ import annotations

from typing import Any

import pytest

from engine.nodes.registry import NodeRegistry
from tests.support.engine import EngineHarness
from workflow.definitions.checks import check_definition
from workflow.executions import Record
from workflow.states import ExecutionState

ITEMS = [{"n": n} for n in range(5)]
MARK = {"type": "set", "parameters": {"fields": {"round": "={{ $runIndex }}"}}}


def looping(body: dict[str, Any], *connections: tuple[str, str], batch_size: int = 2) -> dict[str, Any]:
    """A loop named ``loop`` behind the start, and a node named ``end`` behind it."""
    return {
        "name": "loop",
        "nodes": {
            "start": {"type": "manual"},
            "loop": {"type": "loop", "parameters": {"batch_size": batch_size}},
            "end": {"type": "no_op"},
            **body,
        },
        "connections": [["start", "loop"], ["loop.done", "end"], *map(list, connections)],
    }


async def test_batches_go_round_one_after_the_other(harness: EngineHarness) -> None:
    document = looping({"mark": MARK}, ("loop.batch", "mark"), ("mark", "loop"))
    done = await harness.execute(document, ITEMS)
    assert done.state is ExecutionState.SUCCEEDED
    assert done.items("end") == [{"n": n, "round": n // 2} for n in range(5)]
    assert len(done.run.runs["mark"]) == 3
    assert len(done.run.runs["end"]) == 1


async def test_a_batch_of_which_nothing_comes_back_is_skipped(harness: EngineHarness) -> None:
    keep = {"type": "filter", "parameters": {"condition": "={{ $json.n !== 1 }}"}}
    document = looping({"keep": keep}, ("loop.batch", "keep"), ("keep.kept", "loop"), batch_size=1)
    done = await harness.execute(document, ITEMS)
    assert done.items("end") == [{"n": 0}, {"n": 2}, {"n": 3}, {"n": 4}]


async def test_branches_in_the_body_come_together_in_every_round(harness: EngineHarness) -> None:
    body = {
        "check": {"type": "if", "parameters": {"condition": "={{ $json.n % 2 === 0 }}"}},
        "even": {"type": "set", "parameters": {"fields": {"kind": "even"}}},
        "odd": {"type": "set", "parameters": {"fields": {"kind": "odd"}}},
        "join": {"type": "merge"},
    }
    document = looping(
        body,
        ("loop.batch", "check"),
        ("check.true", "even"),
        ("check.false", "odd"),
        ("even", "join.first"),
        ("odd", "join.second"),
        ("join", "loop"),
        batch_size=3,
    )
    done = await harness.execute(document, ITEMS)
    assert [(item["n"], item["kind"]) for item in done.items("end")] == [
        (0, "even"),
        (2, "even"),
        (1, "odd"),
        (4, "even"),
        (3, "odd"),
    ]
    assert len(done.run.runs["join"]) == 2


async def test_loops_lie_inside_loops(harness: EngineHarness) -> None:
    body = {
        "split": {"type": "split_out", "parameters": {"field": "list", "into": "x"}},
        "inner": {"type": "loop", "parameters": {"batch_size": 1}},
        "mark": MARK,
        "sum": {"type": "aggregate", "parameters": {"summaries": {"xs": {"operation": "collect", "field": "x"}}}},
    }
    document = looping(
        body,
        ("loop.batch", "split"),
        ("split", "inner"),
        ("inner.batch", "mark"),
        ("mark", "inner"),
        ("inner.done", "sum"),
        ("sum", "loop"),
        batch_size=1,
    )
    done = await harness.execute(document, [{"list": [1, 2]}, {"list": [3]}])
    assert done.items("end") == [{"xs": [1, 2]}, {"xs": [3]}]
    assert len(done.run.runs["mark"]) == 3


async def test_a_way_out_of_the_body_stays_open_until_the_loop_is_done(harness: EngineHarness) -> None:
    body = {"mark": MARK, "side": {"type": "merge"}}
    document = looping(body, ("loop.batch", "mark"), ("mark", "loop"), ("mark", "side.first"), ("start", "side.second"))
    done = await harness.execute(document, ITEMS)
    assert done.only_run("side").items_in == 10


async def test_without_items_a_loop_does_not_run(harness: EngineHarness) -> None:
    nothing = {"type": "filter", "parameters": {"condition": False}}
    document = looping({"mark": MARK, "none": nothing}, ("loop.batch", "mark"), ("mark", "loop"))
    document["connections"][0] = ["start", "none"]
    document["connections"].append(["none.kept", "loop"])
    assert (await harness.execute(document, ITEMS)).order == ["start", "none"]


async def test_an_interrupted_loop_goes_on_where_it_was(harness: EngineHarness) -> None:
    document = looping({"mark": MARK}, ("loop.batch", "mark"), ("mark", "loop"))
    saved: list[Record] = []
    whole = await harness.execute(document, ITEMS, saved=saved)
    saved += whole.run.journal.flush()
    for position in range(len(saved) + 1):
        resumed = await harness.execute(document, ITEMS, recorded=saved[:position])
        assert resumed.run.output() == whole.run.output()


@pytest.mark.parametrize(("output", "codes"), [("loop.batch", []), ("loop.done", ["cycle"])])
def test_a_circle_must_go_through_the_output_batch(registry: NodeRegistry, output: str, codes: list[str]) -> None:
    document = looping({"mark": MARK}, (output, "mark"), ("mark", "loop"))
    assert [finding.code for finding in check_definition(document, registry).findings] == codes
