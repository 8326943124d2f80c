"""What lists and answers say of runs that are over: the last one of a workflow, and what became of a failure."""

from __future__ import annotations

from typing import Any

from tests.support.mcp_caller import McpCaller

CHECK = "if (!items[0].n) throw new Error('no n'); return items;"
FAILS: dict[str, Any] = {
    "name": "Divides",
    "nodes": {
        "start": {"type": "manual"},
        "check": {"type": "code", "parameters": {"javascript": CHECK}},
    },
    "connections": [["start", "check"]],
}


async def failed_once(mcp: McpCaller) -> tuple[str, str]:
    """A workflow, and its failed execution."""
    made = await mcp.call("create_workflow", definition=FAILS)
    ran = await mcp.call("execute_workflow", workflow_id=made["workflow_id"], input={})
    assert ran["status"] == "failed"
    return made["workflow_id"], ran["execution_id"]


async def test_a_list_of_workflows_shows_the_last_run_of_each(mcp: McpCaller) -> None:
    workflow_id, execution_id = await failed_once(mcp)
    unused = await mcp.call("create_workflow", definition={**FAILS, "name": "Unused"})
    rows = {row["workflow_id"]: row for row in (await mcp.call("list_workflows"))["workflows"]}
    last = rows[workflow_id]["last_run"]
    assert (last["execution_id"], last["status"]) == (execution_id, "failed")
    assert "no n" in last["error"]
    assert "last_run" not in rows[unused["workflow_id"]]
    ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input={"n": 1})
    rows = {row["workflow_id"]: row for row in (await mcp.call("list_workflows"))["workflows"]}
    assert rows[workflow_id]["last_run"]["execution_id"] == ran["execution_id"]
    assert "error" not in rows[workflow_id]["last_run"]


async def test_a_failure_names_what_was_started_from_it_and_what_mended_it(mcp: McpCaller) -> None:
    workflow_id, execution_id = await failed_once(mcp)
    seen = await mcp.call("inspect_execution", execution_id=execution_id)
    assert "mended_by" not in seen
    assert "reruns" not in seen
    again = await mcp.call("control_execution", execution_id=execution_id, action="rerun", node="check")
    seen = await mcp.call("inspect_execution", execution_id=execution_id)
    assert seen["reruns"] == {again["execution_id"]: "failed"}
    changes = {"parameters": {"javascript": "return items;"}}
    operation = {"op": "update_node", "name": "check", "changes": changes}
    await mcp.call("update_workflow", workflow_id=workflow_id, expected_version=1, operations=[operation])
    known = {"execution_id": execution_id, "action": "rerun", "node": "check", "version": "current"}
    mended = await mcp.call("control_execution", **known)
    assert mended["rerun_of"] == execution_id
    seen = await mcp.call("inspect_execution", execution_id=execution_id)
    assert seen["mended_by"] == mended["execution_id"]


async def test_figures_name_where_it_failed_and_take_times_of_what_succeeded(mcp: McpCaller) -> None:
    workflow_id, execution_id = await failed_once(mcp)
    ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input={"n": 1})
    figures = await mcp.call("list_executions", workflow_id=workflow_id, view="summary")
    (error,) = figures["errors"]
    assert (error["count"], error["node"], error["execution_id"]) == (1, "check", execution_id)
    assert figures["duration_ms"]["of_newest"] == 1
    assert figures["slowest"]["execution_id"] == ran["execution_id"]


async def test_a_restored_and_a_rolled_back_version_say_what_changed(mcp: McpCaller) -> None:
    made = await mcp.call("create_workflow", definition=FAILS, publish=True)
    known = {"workflow_id": made["workflow_id"]}
    operation = {"op": "update_node", "name": "check", "changes": {"notes": "Looks at n."}}
    await mcp.call("update_workflow", **known, expected_version=1, operations=[operation])
    published = await mcp.call("publish_workflow", **known)
    assert published["before"] == 1
    assert any("check" in line for line in published["changes"])
    back = await mcp.call("publish_workflow", **known, version=1)
    assert (back["before"], len(back["changes"])) == (2, 1)
    restored = await mcp.call("update_workflow", **known, expected_version=2, restore_version=1)
    assert restored["version"] == 3
    assert any("check" in line for line in restored["changes"])
