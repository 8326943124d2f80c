"""An item node's compiled loop gives what the general way gives, or leaves the run to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.definitions.compiled import CompiledWorkflow
from engine.runs.submission import input_items
from tests.support.engine import EngineHarness

NODES: dict[str, tuple[str, dict[str, Any]]] = {
    "set that keeps": ("set", {"fields": {"c": "={{ $json.a }}", "b": "x={{ $json.b }}-{{ $itemIndex }}", "k": 1}}),
    "set that drops": (
        "set",
        {"fields": {"sum": "={{ $json.a + 1 }}", "in": [{"x": "={{ $json.b }}"}, 2]}, "keep_input": False},
    ),
    "set from first": (
        "set",
        {"fields": {"first": "={{ $input.first().json.a }}", "start": "={{ $('start').item.json.b }}"}},
    ),
    "if condition": ("if", {"condition": "={{ $json.a > 1 }}"}),
    "if of anything": ("if", {"condition": "={{ $json.a }}"}),
    "filter": ("filter", {"comparisons": [{"left": "={{ $json.a }}", "operator": "less_or_equal", "right": 3}]}),
    "filter any": (
        "filter",
        {
            "comparisons": [
                {"left": "={{ $json.a }}", "operator": "equals", "right": "={{ $json.b }}"},
                {"left": "={{ $json.b }}", "operator": "contains", "right": "a"},
            ],
            "combine": "any",
        },
    ),
    "switch": (
        "switch",
        {
            "rules": [
                {"output": "one", "condition": "={{ $json.a === 1 }}"},
                {"output": "many", "comparisons": [{"left": "={{ $json.a }}", "operator": "greater", "right": 5}]},
            ]
        },
    ),
}
VALUES = st.none() | st.booleans() | st.integers(-10, 10) | st.floats(-3, 3) | st.text("abc", max_size=3) | st.just([1])
ITEMS = st.lists(st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES}), max_size=6)


def without_loops(compiled: CompiledWorkflow) -> CompiledWorkflow:
    """The plan as the general way runs it."""
    return replace(compiled, nodes=tuple(replace(node, loop=None) for node in compiled.nodes))


async def run(harness: EngineHarness, document: dict[str, Any], items: list[dict[str, Any]], *, loops: bool) -> Any:
    """The state, and every run's outputs and error."""
    run, executor = harness.start(document, items)
    if not loops:
        run.compiled = without_loops(run.compiled)
    state = await executor.execute(input_items(items))
    return state, [(each.node, {k: v for k, v in each.outputs.items() if v}, each.error) for each in run.order]


@pytest.mark.parametrize("on_error", ["stop", "continue"])
@pytest.mark.parametrize("name", NODES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=ITEMS)
async def test_the_loop_gives_what_the_general_way_gives(
    harness: EngineHarness, name: str, on_error: str, items: list[dict[str, Any]]
) -> None:
    kind, parameters = NODES[name]
    document = {
        "name": "loops",
        "nodes": {"start": {"type": "manual"}, "node": {"type": kind, "parameters": parameters, "on_error": on_error}},
        "connections": [["start", "node"]],
    }
    assert harness.compiled(document).nodes[1].loop is not None
    assert await run(harness, document, items, loops=True) == await run(harness, document, items, loops=False)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("set", {"fields": {"a.b": "={{ $json.a }}"}}),
        ("set", {"remove": ["a"]}),
        ("set", {"fields": {"x": "={{ [1].map(n => n) }}"}}),
        ("filter", {"comparisons": [{"left": 1, "right": 1}], "combine": "={{ 'any' }}"}),
    ],
)
def test_what_a_loop_cannot_do_is_left_to_the_general_way(
    harness: EngineHarness, kind: str, parameters: dict[str, Any]
) -> None:
    nodes = {"start": {"type": "manual"}, "node": {"type": kind, "parameters": parameters}}
    compiled = harness.compiled({"name": "none", "nodes": nodes, "connections": [["start", "node"]]})
    assert compiled.nodes[1].loop is None
