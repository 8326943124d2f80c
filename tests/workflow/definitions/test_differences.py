"""The difference of two definitions says everything that is different, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.definitions.differences import SUMMARY_CHARACTERS, difference

BEFORE: dict[str, Any] = {
    "name": "w",
    "nodes": {
        "start": {"type": "manual"},
        "a": {"type": "set", "parameters": {"fields": {"x": 1}, "keep_input": False}},
        "b": {"type": "no_op"},
    },
    "connections": [["start", "a"], ["a", "b"]],
}


def changed(**members: Any) -> dict[str, Any]:
    """``BEFORE`` with other members."""
    return {**BEFORE, **members}


@pytest.mark.parametrize(
    ("after", "lines"),
    [
        (BEFORE, []),
        (changed(name="v"), ["Renamed to 'v'"]),
        (changed(description="d"), ["Changed the description"]),
        (changed(settings={"timeout_seconds": 5}), ["Changed the settings timeout_seconds"]),
        (
            changed(nodes={**BEFORE["nodes"], "c": {"type": "limit"}}, connections=[["start", "a"], ["a", "c"]]),
            ["Added the node 'c' (limit)", "Disconnected 'a' from 'b'", "Connected 'a' to 'c'"],
        ),
        (
            changed(nodes={name: node for name, node in BEFORE["nodes"].items() if name != "b"}, connections=[]),
            ["Removed the node 'b' (no_op)", "Disconnected 'start' from 'a'", "Disconnected 'a' from 'b'"],
        ),
        (
            changed(
                nodes={
                    **BEFORE["nodes"],
                    "a": {"type": "set", "parameters": {"fields": {"x": True}, "keep_input": False}, "disabled": True},
                }
            ),
            ["Changed the node 'a': parameters.fields, disabled"],
        ),
        (changed(connections=[["a", "b"], ["start", "a"]]), ["Changed the order of the connections"]),
    ],
)
def test_changes_are_told_a_line_each(after: dict[str, Any], lines: list[str]) -> None:
    found = difference(BEFORE, after)
    assert list(found.lines) == lines
    assert bool(found.patch) is bool(lines)


def test_a_small_change_is_a_small_patch() -> None:
    after = json.loads(json.dumps(BEFORE))
    after["nodes"]["a"]["parameters"]["fields"] = {"y/z": 2}
    after["connections"].insert(1, ["start", "b"])
    assert [operation.to_json() for operation in difference(BEFORE, after).patch] == [
        {"op": "remove", "path": "/nodes/a/parameters/fields/x"},
        {"op": "add", "path": "/nodes/a/parameters/fields/y~1z", "value": 2},
        {"op": "add", "path": "/connections/1", "value": ["start", "b"]},
    ]


def test_a_summary_is_one_line_and_counts_what_it_leaves_out() -> None:
    assert difference(BEFORE, BEFORE).summary == "Nothing changed."
    both = changed(name="v", description="d")
    assert difference(BEFORE, both).summary == "Renamed to 'v'; changed the description"
    many = changed(nodes={**BEFORE["nodes"], **{f"node {n}": {"type": "no_op"} for n in range(50)}})
    summary = difference(BEFORE, many).summary
    assert summary.startswith("Added the node 'node 0' (no_op); added the node 'node 1' (no_op)")
    assert summary.endswith(" more")
    assert len(summary) <= SUMMARY_CHARACTERS
    assert len(difference(BEFORE, changed(name="x" * 200)).summary) == SUMMARY_CHARACTERS


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-1, 1) | st.text("a/~é", max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("a/~", max_size=2), inner, max_size=3),
    max_leaves=12,
)
NODES = st.dictionaries(
    st.sampled_from("abc"), st.fixed_dictionaries({"type": st.just("set"), "parameters": VALUES}), max_size=3
)
ENDS = st.sampled_from("abc")
DEFINITIONS = st.fixed_dictionaries({"nodes": NODES, "connections": st.lists(st.tuples(ENDS, ENDS).map(list))})


@given(DEFINITIONS, DEFINITIONS)
def test_the_patch_makes_the_second_of_the_first(before: dict[str, Any], after: dict[str, Any]) -> None:
    patch = [operation.to_json() for operation in difference(before, after).patch]
    made = jsonpatch.apply_patch(before, patch)
    # As text: Python takes True for 1 and 1 for 1.0.
    assert json.dumps(made, sort_keys=True) == json.dumps(after, sort_keys=True)
