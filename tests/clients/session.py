"""The session that every client goes through, as data: what is sent, what must come back, what later steps need of it.

Places in an answer are JSON pointers. Where one has a ``*``, it stands for every member of a list, and the values that
are expected must be among those found. ``$name`` in a text stands for what an earlier step kept under that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

DEFINITION = {
    "name": "refund",
    "nodes": {
        "start": {"type": "manual"},
        "sum": {"type": "set", "parameters": {"fields": {"total": "={{ $json.price * $json.quantity }}"}}},
        "decide": {"type": "approval", "parameters": {"question": "=Refund {{ $json.total }} €?"}},
        "refund": {"type": "set", "parameters": {"fields": {"refunded": "={{ $json.total }}"}}},
        "refuse": {"type": "no_op"},
    },
    "connections": [
        ["start", "sum"],
        ["sum", "decide"],
        ["decide.approve", "refund"],
        ["decide.reject", "refuse"],
    ],
}
INPUT = {"price": 20, "quantity": 3}
MISTAKE = {"op": "update_node", "name": "refund", "changes": {"parameters": {"feilds": {}}}}
TOOLS = [
    "create_workflow",
    "validate_workflow",
    "plan_execution",
    "execute_workflow",
    "inspect_execution",
    "control_execution",
]


@dataclass(slots=True, frozen=True)
class Step:
    """A request, what its result must have where, and where in it stands what is kept."""

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)


def tool(name: str, arguments: Mapping[str, Any], expected: Mapping[str, Any], **kept: str) -> Step:
    """A tool's call that goes well; places are those in its structured content."""
    return Step(
        "tools/call",
        {"name": name, "arguments": arguments},
        {f"/structuredContent{pointer}": value for pointer, value in expected.items()},
        {key: f"/structuredContent{pointer}" for key, pointer in kept.items()},
    )


SESSION = [
    Step("tools/list", expected={"/tools/*/name": TOOLS}),
    tool("create_workflow", {"definition": DEFINITION}, {"/version": 1}, workflow_id="/workflow_id"),
    tool(
        "validate_workflow",
        {"workflow_id": "$workflow_id", "operations": [MISTAKE]},
        {
            "/valid": False,
            "/findings/0/code": "unknown_parameter",
            "/findings/0/pointer": "/nodes/refund/parameters/feilds",
        },
    ),
    tool("validate_workflow", {"definition": DEFINITION}, {"/valid": True, "/findings": []}),
    tool(
        "plan_execution",
        {"workflow_id": "$workflow_id", "input": INPUT},
        {"/effects/*/node": ["decide"], "/effects/0/parameters/question": "Refund 60 €?"},
        plan_hash="/plan_hash",
    ),
    tool(
        "execute_workflow",
        # A client that takes tasks would otherwise have to wait for the approval, which it cannot give.
        {"workflow_id": "$workflow_id", "input": INPUT, "plan_hash": "$plan_hash", "wait_seconds": 0},
        {"/workflow_id": "$workflow_id"},
        execution_id="/execution_id",
    ),
    tool(
        "inspect_execution",
        {"execution_id": "$execution_id", "wait_seconds": 20},
        {"/status": "waiting", "/waiting/0/question": "Refund 60 €?", "/waiting/0/choices": ["approve", "reject"]},
    ),
    tool(
        "control_execution",
        {"execution_id": "$execution_id", "action": "resume", "data": {"choice": "approve", "comment": "They asked."}},
        {"/execution_id": "$execution_id"},
    ),
    tool(
        "inspect_execution",
        {"execution_id": "$execution_id", "wait_seconds": 20},
        {
            "/status": "succeeded",
            "/nodes/*/node": ["start", "sum", "decide", "refund"],
            "/output/items/refund/0/refunded": 60,
            "/output/items/refund/0/approval/comment": "They asked.",
        },
    ),
    tool(
        "inspect_execution",
        {"execution_id": "$execution_id", "node": "refund"},
        {"/runs/0/inputs/0/from": "decide.approve", "/runs/0/outputs/main/0/refunded": 60},
    ),
    tool(
        "control_execution",
        {"execution_id": "$execution_id", "action": "rerun", "node": "refund"},
        {"/rerun_of": "$execution_id"},
        rerun_id="/execution_id",
    ),
    tool(
        "inspect_execution",
        {"execution_id": "$rerun_id", "wait_seconds": 20},
        {"/status": "succeeded", "/rerun_of": "$execution_id", "/output/items/refund/0/approval/choice": "approve"},
    ),
    Step(
        "tools/call",
        {"name": "inspect_execution", "arguments": {"execution_id": "absent"}},
        {
            "/isError": True,
            "/content/0/text": '{"error":{"code":"execution_not_found","message":"There is no execution \'absent\'.",'
            '"pointer":"/execution_id","fix":"List the executions there are.",'
            '"next":{"tool":"list_executions","arguments":{}}}}',
        },
    ),
    Step("resources/list", expected={"/resources/*/uri": ["workflow://$workflow_id"]}),
    Step("resources/templates/list", expected={"/resourceTemplates/*/uriTemplate": ["execution://{id}"]}),
    Step(
        "resources/read",
        {"uri": "workflow://$workflow_id"},
        {"/contents/0/uri": "workflow://$workflow_id", "/contents/0/mimeType": "application/json"},
    ),
]


def play(call: Callable[[str, Any], dict[str, Any]]) -> None:
    """Go through the session; ``call`` sends a request and gives its result.

    Raises:
        AssertionError: something else came back than must.
    """
    kept: dict[str, str] = {}
    for step in SESSION:
        result = call(step.method, _filled(step.params, kept))
        for pointer, value in step.expected.items():
            found, wanted = _at(result, pointer), _filled(value, kept)
            if "*" in pointer:
                assert set(wanted) <= set(found), f"{step.method} {pointer}: {result}"
            else:
                assert found == wanted, f"{step.method} {pointer}: {result}"
        kept |= {name: _at(result, pointer) for name, pointer in step.kept.items()}


def _at(document: Any, pointer: str) -> Any:
    """What stands there, or None."""
    found, steps = document, pointer.split("/")[1:]
    for place, step in enumerate(steps):
        if step == "*":
            rest = "".join(f"/{each}" for each in steps[place + 1 :])
            return [_at(member, rest) for member in found or ()]
        if isinstance(found, list):
            found = found[int(step)] if int(step) < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


def _filled(value: Any, kept: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return Template(value).safe_substitute(kept)
    if isinstance(value, list):
        return [_filled(member, kept) for member in value]
    if isinstance(value, dict):
        return {name: _filled(member, kept) for name, member in value.items()}
    return value
