"""Operations change a definition all together or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from workflow.definitions.operations import apply_operations, parse_operations
from workflow.errors import InvalidOperationError

BEFORE: dict[str, Any] = {
    "name": "w",
    "nodes": {
        "start": {"type": "manual"},
        "a": {"type": "set", "parameters": {"fields": {"x": "={{ $('start').item.json.n }}", "y": 1}}},
        "b": {"type": "no_op"},
    },
    "connections": [["start", "a"], ["a", "b"]],
}


def after(*operations: dict[str, Any]) -> dict[str, Any]:
    """The definition with the operations applied."""
    changed: dict[str, Any] = apply_operations(BEFORE, parse_operations(list(operations)))
    return changed


def test_a_node_is_added_and_connected_in_one_step() -> None:
    changed = after({"op": "add_node", "name": "c", "node": {"type": "no_op"}, "after": "b"})
    assert changed["nodes"]["c"] == {"type": "no_op"}
    assert changed["connections"][-1] == ["b", "c"]


def test_changes_are_merged_and_null_removes() -> None:
    changed = after({"op": "update_node", "name": "a", "changes": {"parameters": {"fields": {"y": None, "z": 2}}}})
    assert changed["nodes"]["a"]["parameters"]["fields"] == {"x": "={{ $('start').item.json.n }}", "z": 2}


def test_removing_a_node_removes_its_connections() -> None:
    assert after({"op": "remove_node", "name": "a"})["connections"] == []


def test_renaming_follows_connections_and_expressions() -> None:
    changed = after({"op": "rename_node", "name": "start", "new_name": "begin"})
    assert list(changed["nodes"]) == ["begin", "a", "b"]
    assert changed["connections"][0] == ["begin", "a"]
    assert changed["nodes"]["a"]["parameters"]["fields"]["x"] == "={{ $('begin').item.json.n }}"


def test_connections_come_and_go() -> None:
    changed = after({"op": "disconnect", "from": "a", "to": "b"}, {"op": "connect", "from": "start", "to": "b"})
    assert changed["connections"] == [["start", "a"], ["start", "b"]]


def test_settings_are_merged() -> None:
    changed = after({"op": "set_workflow", "name": "v", "settings": {"timeout_seconds": 5}})
    assert (changed["name"], changed["settings"]) == ("v", {"timeout_seconds": 5})


def test_a_json_patch_is_an_operation() -> None:
    changed = after({"op": "patch", "patch": [{"op": "replace", "path": "/nodes/b/type", "value": "limit"}]})
    assert changed["nodes"]["b"]["type"] == "limit"


@pytest.mark.parametrize(
    ("operation", "pointer"),
    [
        ({"op": "add_node", "name": "a", "node": {"type": "no_op"}}, "/operations/1/name"),
        ({"op": "update_node", "name": "z", "changes": {}}, "/operations/1/name"),
        ({"op": "disconnect", "from": "b", "to": "a"}, "/operations/1"),
        ({"op": "patch", "patch": [{"op": "remove", "path": "/nowhere"}]}, "/operations/1"),
    ],
)
def test_what_cannot_be_applied_is_named_and_nothing_is_changed(operation: dict[str, Any], pointer: str) -> None:
    original = {**BEFORE, "nodes": dict(BEFORE["nodes"])}
    with pytest.raises(InvalidOperationError) as caught:
        after({"op": "remove_node", "name": "b"}, operation)
    assert caught.value.pointer is not None
    assert caught.value.pointer.startswith(pointer)
    assert original == BEFORE


@pytest.mark.parametrize("operation", [{"op": "explode"}, {"name": "a"}, {"op": "connect", "from": "a"}])
def test_what_is_no_operation_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(InvalidOperationError):
        parse_operations([operation])
