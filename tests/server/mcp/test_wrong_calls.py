"""Calls that agents get wrong: each gets an error that can be acted on, and nothing is saved or started by it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.mcp_caller import McpCaller
from tests.support.wrong_calls import GOOD, World, WrongCall, assert_can_be_acted_on, good, patched, refused

MISSING = "0198c0de-0000-7000-8000-000000000000"
RENAME = {"op": "rename_node", "name": "big", "new_name": "large"}


def update(operations: Any, **members: Any) -> dict[str, Any]:
    """Arguments of update_workflow."""
    return {"workflow_id": "<workflow>", "expected_version": 1, "operations": operations, **members}


ARGUMENTS = [
    WrongCall(
        what="an argument with a typo",
        source="n8n-mcp 611: arguments that no schema has",
        tool="create_workflow",
        arguments={"defintion": GOOD},
        code="unknown_field",
        at="/defintion",
    ),
    WrongCall(
        what="another tool's word for the id",
        source="n8n's tools take id, these take workflow_id",
        tool="get_workflow",
        arguments={"id": "<workflow>"},
        code="unknown_field",
        at="/id",
    ),
    WrongCall(
        what="a camelCase argument",
        source="n8n's tools: workflowId",
        tool="execute_workflow",
        arguments={"workflowId": "<workflow>"},
        code="unknown_field",
        at="/workflowId",
    ),
    WrongCall(
        what="no arguments at all",
        source="mcp clients that drop nested arguments (slicc 3217)",
        tool="create_workflow",
        arguments={},
        code="missing_field",
        at="/definition",
    ),
    WrongCall(
        what="an argument beyond its bound",
        source="typescript-sdk 2250: waits longer than clients do",
        tool="execute_workflow",
        arguments={"workflow_id": "<workflow>", "wait_seconds": 300},
        code="bad_value",
        at="/wait_seconds",
    ),
    WrongCall(
        what="a page that is too large",
        source="everything at once: limit 1000",
        tool="list_workflows",
        arguments={"limit": 1_000},
        code="bad_value",
        at="/limit",
    ),
    WrongCall(
        what="a choice that is none",
        source="n8n's status error is failed here",
        tool="list_executions",
        arguments={"status": "fail"},
        code="bad_value",
        at="/status",
    ),
    WrongCall(
        what="an action by another name",
        source="n8n's retry and stop",
        tool="control_execution",
        arguments={"execution_id": "<waiting>", "action": "resum"},
        code="bad_value",
        at="/action",
    ),
    WrongCall(
        what="a cursor that is made up",
        source="page numbers in place of cursors",
        tool="list_workflows",
        arguments={"cursor": "2"},
        code="invalid_arguments",
        at="/cursor",
    ),
    WrongCall(
        what="a time without an offset that is no time",
        source="yesterday, last week",
        tool="list_executions",
        arguments={"created_after": "yesterday"},
        code="bad_value",
        at="/created_after",
    ),
    WrongCall(
        what="an object that became text on its way",
        source="oh-my-openagent 729: [object Object]",
        tool="create_workflow",
        arguments={"definition": "[object Object]"},
        code="invalid_arguments",
        at="",
    ),
    WrongCall(
        what="JSON that is cut off",
        source="long definitions as text, without their end",
        tool="create_workflow",
        arguments={"definition": json.dumps(GOOD)[:-20]},
        code="invalid_arguments",
        at="",
    ),
    WrongCall(
        what="an input that is a plain value",
        source="n8n 15320: the model gives a text where an object is meant",
        tool="execute_workflow",
        arguments={"workflow_id": "<workflow>", "input": "n is 3"},
        code="bad_value",
        at="/input",
    ),
]
IDS_AND_STATES = [
    WrongCall(
        what="an id of nothing",
        source="ids remembered from another session",
        tool="get_workflow",
        arguments={"workflow_id": MISSING},
        code="workflow_not_found",
        at="/workflow_id",
    ),
    WrongCall(
        what="a name that no workflow has, in place of the id",
        source="n8n PR 34852: agents go by names",
        tool="execute_workflow",
        arguments={"workflow_id": "nobody has this name"},
        code="workflow_not_found",
        at="/workflow_id",
    ),
    WrongCall(
        what="a version that is not there",
        source="versions counted by guess",
        tool="get_workflow",
        arguments={"workflow_id": "<workflow>", "version": 99},
        code="workflow_not_found",
        at="/version",
    ),
    WrongCall(
        what="an execution that is not there",
        source="an execution's id taken for a workflow's, or the other way round",
        tool="inspect_execution",
        arguments={"execution_id": "<workflow>"},
        code="execution_not_found",
        at="/execution_id",
    ),
    WrongCall(
        what="a node that did not run",
        source="n8n-mcp 480: looking for the node that failed",
        tool="inspect_execution",
        arguments={"execution_id": "<ended>", "node": "shap"},
        code="node_not_found",
        at="/node",
    ),
    WrongCall(
        what="a path that leads nowhere",
        source="n8n's way to the data: [0].json",
        tool="inspect_execution",
        arguments={"execution_id": "<ended>", "node": "shape", "path": "/runs/0/outputs/main/0/json"},
        code="invalid_arguments",
        at="/path",
    ),
    WrongCall(
        what="a trigger that is not there",
        source="the name of another workflow's trigger",
        tool="execute_workflow",
        arguments={"workflow_id": "<workflow>", "trigger": "webhook"},
        code="node_not_found",
        at="/trigger",
    ),
    WrongCall(
        what="cancelling what has ended",
        source="cleaning up twice",
        tool="control_execution",
        arguments={"execution_id": "<ended>", "action": "cancel"},
        code="illegal_transition",
        at="/action",
    ),
    WrongCall(
        what="redriving what did not fail",
        source="redrive taken for rerun",
        tool="control_execution",
        arguments={"execution_id": "<ended>", "action": "redrive"},
        code="illegal_transition",
        at="/action",
    ),
    WrongCall(
        what="discarding what is not dead",
        source="discard taken for cancel",
        tool="control_execution",
        arguments={"execution_id": "<waiting>", "action": "discard"},
        code="illegal_transition",
        at="/action",
    ),
    WrongCall(
        what="resuming what does not wait",
        source="an answer that comes twice",
        tool="control_execution",
        arguments={"execution_id": "<ended>", "action": "resume", "data": {"choice": "yes"}},
        code="not_waiting",
        at="/execution_id",
    ),
    WrongCall(
        what="an answer that is none of the choices",
        source="approve where the choices are yes and no",
        tool="control_execution",
        arguments={"execution_id": "<waiting>", "action": "resume", "data": {"choice": "yess"}},
        code="invalid_arguments",
        at="/data/choice",
    ),
    WrongCall(
        what="rerunning from a node that is not there",
        source="n8n-mcp 353: the node's old name",
        tool="control_execution",
        arguments={"execution_id": "<ended>", "action": "rerun", "node": "shap"},
        code="node_not_found",
        at="/node",
    ),
    WrongCall(
        what="a plan that is out of date",
        source="an approval for something else",
        tool="execute_workflow",
        arguments={"workflow_id": "<workflow>", "input": {"n": 2}, "plan_hash": "0" * 32},
        code="plan_changed",
        at="/plan_hash",
    ),
]
OPERATIONS = [
    WrongCall(
        what="a stale version",
        source="trigger.dev 2540 and n8n-mcp PR 359: two agents, one workflow",
        tool="update_workflow",
        arguments=update([RENAME], expected_version=7),
        code="version_conflict",
        at="/expected_version",
    ),
    WrongCall(
        what="operations and a definition at once",
        source="a full and a partial update in one call",
        tool="update_workflow",
        arguments=update([RENAME], definition=GOOD),
        code="invalid_arguments",
        at="/operations",
    ),
    WrongCall(
        what="an operation by n8n's name",
        source="n8n-mcp 269: type addNode",
        tool="update_workflow",
        arguments=update([{"type": "addNode", "name": "more", "node": {"type": "no_op"}}]),
        code="bad_value",
        at="/operations/0/op",
    ),
    WrongCall(
        what="updates in place of changes",
        source="n8n-mcp 392: changes and updates",
        tool="update_workflow",
        arguments=update([{"op": "update_node", "name": "shape", "updates": {"disabled": True}}]),
        code="unknown_field",
        at="/operations/0/updates",
    ),
    WrongCall(
        what="a connection with source and target",
        source="n8n-mcp 249: source node not found: undefined",
        tool="update_workflow",
        arguments=update([{"op": "connect", "source": "shape", "target": "big"}]),
        code="missing_field",
        at="/operations/0/from",
    ),
    WrongCall(
        what="an operation on a node that is not there",
        source="n8n-mcp 270: node not found, although it is in the list",
        tool="update_workflow",
        arguments=update([{"op": "update_node", "name": "Shapes", "changes": {"disabled": True}}]),
        code="invalid_operation",
        at="/operations/0/name",
    ),
    WrongCall(
        what="a node that is there already",
        source="a second attempt after an answer that was lost",
        tool="update_workflow",
        arguments=update([{"op": "add_node", "name": "shape", "node": {"type": "no_op"}}]),
        code="invalid_operation",
        at="/operations/0/name",
    ),
    WrongCall(
        what="removing a connection that is not there",
        source="n8n-mcp 272: the connection is named otherwise",
        tool="update_workflow",
        arguments=update([{"op": "disconnect", "from": "check", "to": "big"}]),
        code="invalid_operation",
        at="/operations/0",
    ),
    WrongCall(
        what="a last operation that fails after good ones",
        source="n8n-mcp PR 769: half of the update is saved",
        tool="update_workflow",
        arguments=update([RENAME, {"op": "remove_node", "name": "absent"}]),
        code="invalid_operation",
        at="/operations/1/name",
    ),
    WrongCall(
        what="operations whose result is invalid",
        source="n8n-mcp 353: the workflow cannot be opened afterwards",
        tool="update_workflow",
        arguments=update([{"op": "remove_node", "name": "start"}]),
        code="no_trigger",
        at="/nodes",
    ),
    WrongCall(
        what="dotted names in changes",
        source="n8n-mcp 45: parameters.html",
        tool="update_workflow",
        arguments=update([{"op": "update_node", "name": "shape", "changes": {"parameters.keep_input": False}}]),
        code="unknown_field",
        at="/nodes/shape/parameters.keep_input",
    ),
    WrongCall(
        what="a patch that starts at the node",
        source="paths from the node's root, not the definition's",
        tool="update_workflow",
        arguments=update([{"op": "patch", "patch": [{"op": "replace", "path": "/parameters/fields", "value": {}}]}]),
        code="invalid_operation",
        at="/operations/0/patch",
    ),
    WrongCall(
        what="too many operations",
        source="n8n's limit of 100 is ours too",
        tool="update_workflow",
        arguments=update([RENAME] * 101),
        code="bad_value",
        at="/operations",
    ),
    WrongCall(
        what="operations to try on nothing",
        source="validating a change without its workflow",
        tool="validate_workflow",
        arguments={"operations": [RENAME]},
        code="invalid_arguments",
        at="/workflow_id",
    ),
    WrongCall(
        what="nothing to check",
        source="a call to see what happens",
        tool="validate_workflow",
        arguments={},
        code="invalid_arguments",
        at="/definition",
    ),
]
CALLS = [*ARGUMENTS, *IDS_AND_STATES, *OPERATIONS]


@pytest.mark.parametrize("wrong", CALLS, ids=lambda wrong: wrong.what)
async def test_a_wrong_call_is_refused_with_a_fix_and_changes_nothing(mcp_http: McpCaller, wrong: WrongCall) -> None:
    error = await refused(World(mcp_http), wrong)
    assert_can_be_acted_on(error)
    found = [(each["code"], each["pointer"]) for each in error.get("findings", [])]
    assert (wrong.code, wrong.at) in [(error["code"], error.get("pointer")), *found]


def test_there_are_enough_of_them() -> None:
    assert len(CALLS) >= 40
    assert len({wrong.what for wrong in CALLS}) == len(CALLS)


NEXT_CALLS = [
    ("get_workflow", {"workflow_id": MISSING}),
    ("get_workflow", {"workflow_id": "<workflow>", "version": 99}),
    ("execute_workflow", {"workflow_id": "good"}),
    ("inspect_execution", {"execution_id": MISSING}),
    ("inspect_execution", {"execution_id": "<ended>", "node": "shap"}),
    ("update_workflow", update([RENAME], expected_version=7)),
    ("control_execution", {"execution_id": "<ended>", "action": "resume"}),
    ("control_execution", {"execution_id": "<ended>", "action": "cancel"}),
    ("control_execution", {"execution_id": "<waiting>", "action": "discard"}),
    ("control_execution", {"execution_id": "<waiting>", "action": "resume", "data": {"choice": "yess"}}),
    ("control_execution", {"execution_id": "<ended>", "action": "rerun", "node": "shap"}),
    ("execute_workflow", {"workflow_id": "<workflow>", "input": {"n": 2}, "plan_hash": "0" * 32}),
    ("find_nodes", {"name": "htp_request"}),
]


@pytest.mark.parametrize(("tool", "arguments"), NEXT_CALLS)
async def test_the_next_call_in_an_error_goes_well(mcp_http: McpCaller, tool: str, arguments: dict[str, Any]) -> None:
    error = await mcp_http.fail(tool, **await World(mcp_http).filled(arguments))
    assert await mcp_http.call(error["next"]["tool"], **error["next"]["arguments"])


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("get_workflow", {"id": "<workflow>"}),
        ("execute_workflow", {"workflowId": "<workflow>", "wait_seconds": 300}),
        ("list_executions", {"status": "fail", "limit": 1_000}),
        ("update_workflow", update([{"op": "update_node", "name": "shape", "updates": {"disabled": True}}])),
        ("update_workflow", update([{"type": "addNode", "name": "more", "node": {"type": "no_op"}}])),
        ("update_workflow", update([{"type": "addConnection", "from": "big", "to": "small"}])),
    ],
)
async def test_patches_on_arguments_make_the_call_right(
    mcp_http: McpCaller, tool: str, arguments: dict[str, Any]
) -> None:
    wrong = await World(mcp_http).filled(arguments)
    error = await mcp_http.fail(tool, **wrong)
    assert await mcp_http.call(tool, **patched(wrong, error["findings"]))


@pytest.mark.parametrize(
    ("tool", "arguments", "places"),
    [
        ("execute_workflow", {"workflow_id": "<workflow>", "input": '{"n": 4}'}, ["/input"]),
        ("execute_workflow", {"workflow_id": "<workflow>", "input": '[{"n": 4}, {"n": 5}]'}, ["/input"]),
        ("update_workflow", update(json.dumps([RENAME])), ["/operations"]),
        ("update_workflow", update([json.dumps(RENAME)]), ["/operations/0"]),
        ("plan_execution", {"workflow_id": "<workflow>", "input": ' {"n": 4}'}, ["/input"]),
    ],
)
async def test_json_as_text_is_read_where_it_can_mean_nothing_else(
    mcp_http: McpCaller, tool: str, arguments: dict[str, Any], places: list[str]
) -> None:
    answer = await mcp_http.call(tool, **await World(mcp_http).filled(arguments))
    assert [note.split()[0] for note in answer["notes"]] == places


async def test_text_stays_text_where_text_may_be_meant(mcp_http: McpCaller) -> None:
    made = await mcp_http.call("create_workflow", definition=json.dumps(good(name='{"n": 1}')))
    assert made["name"] == '{"n": 1}'
    assert "notes" not in made
