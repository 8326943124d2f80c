"""Which node runs when, with which items, and what a failure does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.engine import EngineHarness
from tests.support.http_target import HttpTarget
from tests.support.waiting import until
from workflow.executions import ErrorRecord
from workflow.items import Item, ItemOrigin, Pair
from workflow.states import ExecutionState


def definition(nodes: dict[str, Any], *connections: tuple[str, str], **settings: Any) -> dict[str, Any]:
    """A definition that starts by hand at the node ``start``."""
    return {
        "name": "test",
        "nodes": {"start": {"type": "manual"}, **nodes},
        "connections": [list(connection) for connection in connections],
        **({"settings": settings} if settings else {}),
    }


NO_OP = {"type": "no_op"}


def error_of(record: ErrorRecord | None) -> ErrorRecord:
    """The record, which must be there."""
    assert record is not None
    return record


async def test_items_flow_from_node_to_node_with_their_pairs(harness: EngineHarness) -> None:
    done = await harness.execute(definition({"a": NO_OP, "b": NO_OP}, ("start", "a"), ("a", "b")), [{"n": 1}, {"n": 2}])
    assert done.state is ExecutionState.SUCCEEDED
    assert done.only_run("b").outputs == {"main": [Item({"n": 1}, (Pair(0, 0),)), Item({"n": 2}, (Pair(0, 1),))]}
    assert done.only_run("b").sources == (ItemOrigin("a", 0, "main"),)
    assert done.run.output() == {"items": {"b": [{"n": 1}, {"n": 2}]}}


async def test_branches_that_get_no_items_do_not_run(harness: EngineHarness) -> None:
    nodes = {"check": {"type": "if", "parameters": {"condition": "={{ $json.n > 1 }}"}}, "yes": NO_OP, "no": NO_OP}
    done = await harness.execute(
        definition(nodes, ("start", "check"), ("check.true", "yes"), ("check.false", "no")), {"n": 5}
    )
    assert done.order == ["start", "check", "yes"]


async def test_two_branches_into_one_input_run_the_node_twice_in_the_order_of_the_connections(
    harness: EngineHarness, target: HttpTarget
) -> None:
    target.release.set()
    nodes = {
        "slow": {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}},
        "quick": {"type": "set", "parameters": {"fields": {"from": "quick"}}},
        "both": NO_OP,
    }
    done = await harness.execute(
        definition(nodes, ("start", "slow"), ("start", "quick"), ("slow", "both"), ("quick", "both"))
    )
    runs = done.run.runs["both"]
    assert [run.sources[0] for run in runs] == [ItemOrigin("slow", 0, "main"), ItemOrigin("quick", 0, "main")]
    assert [run.run_index for run in runs] == [0, 1]


async def test_branches_that_wait_run_at_the_same_time(harness: EngineHarness, target: HttpTarget) -> None:
    wait = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    release = {"type": "http_request", "parameters": {"url": f"{target.url}/echo"}}
    nodes = {"one": wait, "two": release, "after two": NO_OP}
    run, executor = harness.start(definition(nodes, ("start", "one"), ("start", "two"), ("two", "after two")))
    task = asyncio.create_task(executor.execute([Item({})]))
    async with asyncio.timeout(10):
        await target.arrived.wait()
    await until(lambda: "after two" in run.runs)
    assert "one" not in run.runs
    target.release.set()
    assert await task is ExecutionState.SUCCEEDED


async def test_merge_waits_for_both_branches(harness: EngineHarness, target: HttpTarget) -> None:
    target.release.set()
    nodes = {
        "slow": {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}},
        "quick": {"type": "set", "parameters": {"fields": {"from": "quick"}}},
        "join": {"type": "merge"},
    }
    done = await harness.execute(
        definition(nodes, ("start", "slow"), ("start", "quick"), ("slow", "join.first"), ("quick", "join.second"))
    )
    assert done.only_run("join").items_in == 2
    assert done.items("join")[1] == {"from": "quick"}


async def test_merge_runs_with_what_came_when_a_branch_stays_empty(harness: EngineHarness) -> None:
    nodes = {
        "check": {"type": "if", "parameters": {"condition": True}},
        "join": {"type": "merge"},
    }
    done = await harness.execute(
        definition(nodes, ("start", "check"), ("check.true", "join.first"), ("check.false", "join.second")), {"n": 1}
    )
    assert done.items("join") == [{"n": 1}]


async def test_a_failure_ends_the_execution(harness: EngineHarness) -> None:
    nodes = {"bad": {"type": "stop_and_error", "parameters": {"message": "no {{ 1 }}", "code": "mine"}}, "after": NO_OP}
    done = await harness.execute(definition(nodes, ("start", "bad"), ("bad", "after")))
    assert done.state is ExecutionState.FAILED
    error = error_of(done.run.error)
    assert (error.code, error.message, error.node) == ("mine", "no {{ 1 }}", "bad")
    assert done.only_run("bad").status == "failed"
    assert "after" not in done.run.runs


async def test_on_error_continue_passes_the_failed_item_on_with_its_error(harness: EngineHarness) -> None:
    done = await harness.node(
        "set", {"fields": {"x": "={{ $json.a.b % 4 }}"}}, [{"a": {"b": 1}}, {"c": 2}], on_error="continue"
    )
    assert done.state is ExecutionState.SUCCEEDED
    good, bad = done.items("node")
    assert good == {"a": {"b": 1}, "x": 1}
    assert bad["c"] == 2
    assert bad["error"]["item_index"] == 1
    assert error_of(done.only_run("node").error).item_index == 1


async def test_on_error_error_output_parts_the_failed_items_from_the_others(harness: EngineHarness) -> None:
    done = await harness.node("split_out", {"field": "list"}, [{"list": [1]}, {"list": 7}], on_error="error_output")
    assert done.items("node") == [{"list": 1}]
    assert [item["error"]["code"] for item in done.items("node", "error")] == ["not_a_list"]


async def test_failed_requests_go_to_the_error_output_one_by_one(harness: EngineHarness, target: HttpTarget) -> None:
    done = await harness.node(
        "http_request",
        {"url": f"={target.url}/status/{{{{ $json.status }}}}"},
        [{"status": 200}, {"status": 500}, {"status": 201}],
        on_error="error_output",
    )
    assert [item["status"] for item in done.items("node")] == [200, 201]
    (failed,) = done.items("node", "error")
    assert failed["status"] == 500
    assert (failed["error"]["code"], failed["error"]["transient"]) == ("http_status", True)


async def test_a_node_that_takes_too_long_fails_with_node_timeout(harness: EngineHarness, target: HttpTarget) -> None:
    done = await harness.node("http_request", {"url": f"{target.url}/wait"}, None, timeout_seconds=0.1)
    error = error_of(done.run.error)
    assert (error.code, error.transient) == ("node_timeout", True)


async def test_cancellation_reaches_a_request_under_way(harness: EngineHarness, target: HttpTarget) -> None:
    nodes = {"ask": {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}}
    run, executor = harness.start(definition(nodes, ("start", "ask")))
    task = asyncio.create_task(executor.execute([Item({})]))
    async with asyncio.timeout(10):
        await target.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert run.runs["ask"][0].status == "cancelled"


async def test_cancellation_reaches_javascript_that_does_not_end(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = {"loop": {"type": "set", "parameters": {"fields": {"x": "={{ (() => { for (;;); })() }}"}}}}
    _, executor = harness.start(definition(nodes, ("start", "loop")))
    processes, has_begun, call = set(harness.pool.process_ids), asyncio.Event(), harness.pool.call

    async def noted(*arguments: Any, **options: Any) -> bytes:
        has_begun.set()
        return await call(*arguments, **options)

    monkeypatch.setattr(harness.pool, "call", noted)
    task = asyncio.create_task(executor.execute([Item({})]))
    async with asyncio.timeout(10):
        await has_begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(processes - set(harness.pool.process_ids)) == 1, "the process with the loop is killed"
    done = await harness.node("set", {"fields": {"x": "={{ 1 + 1 }}"}}, None)
    assert done.items("node") == [{"x": 2}]


async def test_a_disabled_node_passes_its_items_on(harness: EngineHarness) -> None:
    done = await harness.node("set", {"fields": {"x": 1}}, {"n": 1}, disabled=True)
    assert done.items("node") == [{"n": 1}]


async def test_items_are_traced_back_through_nodes_that_drop_and_reorder(harness: EngineHarness) -> None:
    nodes = {
        "keep": {"type": "filter", "parameters": {"condition": "={{ $json.n !== 2 }}"}},
        "order": {"type": "sort", "parameters": {"by": [{"field": "n", "order": "descending"}]}},
        "look": {
            "type": "set",
            "parameters": {"fields": {"from": "={{ $('start').item.json.name }}"}, "keep_input": False},
        },
    }
    done = await harness.execute(
        definition(nodes, ("start", "keep"), ("keep.kept", "order"), ("order", "look")),
        [{"n": 1, "name": "one"}, {"n": 2, "name": "two"}, {"n": 3, "name": "three"}],
    )
    assert done.items("look") == [{"from": "three"}, {"from": "one"}]


@pytest.mark.parametrize("expression", ["$('start').item.json.n", "(0, $('start').item.json.n)"])
async def test_an_item_of_many_sources_has_no_single_one(harness: EngineHarness, expression: str) -> None:
    nodes = {
        "sum": {"type": "aggregate"},
        "look": {"type": "set", "parameters": {"fields": {"x": "={{ " + expression + " }}"}}},
    }
    done = await harness.execute(definition(nodes, ("start", "sum"), ("sum", "look")), [{"n": 1}, {"n": 2}])
    error = error_of(done.run.error)
    assert error.code == "multiple_matches"
    assert error.fix is not None


async def test_reading_a_node_that_has_not_run_says_so(harness: EngineHarness) -> None:
    nodes = {
        "look": {"type": "set", "parameters": {"fields": {"x": "={{ $('later').first().json.n }}"}}},
        "later": NO_OP,
    }
    done = await harness.execute(definition(nodes, ("start", "look"), ("look", "later")))
    assert error_of(done.run.error).code == "node_has_not_run"


async def test_a_fault_in_a_node_type_is_told_as_one(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    node_type = harness.registry.get("no_op")
    assert node_type is not None

    def broken(call: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(node_type, "run", broken, raising=True)
    done = await harness.node("no_op", {}, None)
    assert error_of(done.run.error).code == "node_bug"


async def test_many_items_are_no_more_work_than_many_times_one(harness: EngineHarness) -> None:
    items = [{"n": n} for n in range(2_000)]
    done = await harness.node("set", {"fields": {"x": "={{ [$json.n].map(n => n * 2)[0] }}"}}, items)
    assert [item["x"] for item in done.items("node")] == [2 * n for n in range(2_000)]
