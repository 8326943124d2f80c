"""The whole of the agent's surface through the front door: both protocol eras, HTTP and stdio."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonpatch
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.support.http_target import HttpTarget
from tests.support.mcp_caller import McpCaller

START = {"type": "manual"}
DOUBLE = {"type": "set", "parameters": {"fields": {"double": "={{ $json.n * 2 }}"}}}
TOOLS = [
    "find_nodes",
    "validate_workflow",
    "create_workflow",
    "update_workflow",
    "get_workflow",
    "list_workflows",
    "publish_workflow",
    "delete_workflow",
    "save_prompt",
    "render_prompt",
    "plan_execution",
    "execute_workflow",
    "control_execution",
    "find_actions",
    "run_action",
    "connect_integration",
    "inspect_execution",
    "list_executions",
]


async def test_an_assistant_builds_runs_and_inspects_a_workflow(mcp: McpCaller) -> None:
    found = await mcp.call("find_nodes", query="change fields")
    assert found["nodes"][0]["type"] == "set"
    details = (await mcp.call("find_nodes", name="set"))["nodes"][0]
    assert details["example"]["type"] == "set"
    assert "fields" in details["parameters"]["properties"]

    workflow_id = await mcp.create({"start": START, "double": DOUBLE}, ("start", "double"))
    ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input=[{"n": 1}, {"n": 2}])
    assert ran["status"] == "succeeded"
    assert ran["output"] == {"items": {"double": [{"n": 1, "double": 2}, {"n": 2, "double": 4}]}}

    seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"])
    assert [(node["node"], node["status"], node["items_in"]) for node in seen["nodes"]] == [
        ("start", "succeeded", 2),
        ("double", "succeeded", 2),
    ]
    inside = await mcp.call("inspect_execution", execution_id=ran["execution_id"], node="double")
    assert inside["runs"][0]["inputs"] == [{"from": "start.main", "items": [{"n": 1}, {"n": 2}]}]

    listed = await mcp.call("list_executions", workflow_id=workflow_id, status="succeeded")
    assert [each["execution_id"] for each in listed["executions"]] == [ran["execution_id"]]

    deleted = await mcp.call("delete_workflow", workflow_id=workflow_id)
    assert deleted == {"workflow_id": workflow_id, "deleted": True, "restorable_days": 30}
    assert (await mcp.fail("get_workflow", workflow_id=workflow_id))["code"] == "workflow_not_found"


async def test_progress_tells_of_each_node_while_the_call_waits(mcp: McpCaller, target: HttpTarget) -> None:
    progress: list[tuple[float, float | None, str | None]] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        progress.append((done, total, message))
        target.release.set()

    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    workflow_id = await mcp.create({"start": START, "ask": ask}, ("start", "ask"))
    await mcp.call("execute_workflow", progress=note, workflow_id=workflow_id, input={"n": 1})
    assert progress == [(1.0, 2.0, "start (1 of 2)"), (2.0, 2.0, "ask (2 of 2)")]


async def test_a_long_run_gives_its_id_and_goes_on(mcp: McpCaller, target: HttpTarget) -> None:
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    workflow_id = await mcp.create({"start": START, "ask": ask}, ("start", "ask"))
    ran = await mcp.call("execute_workflow", workflow_id=workflow_id, wait_seconds=0)
    assert ran["status"] in ("queued", "running")
    async with asyncio.timeout(10):
        await target.arrived.wait()
    seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"])
    assert (seen["status"], seen["running"]) == ("running", ["ask"])
    target.release.set()
    ended = await mcp.call("inspect_execution", execution_id=ran["execution_id"], wait_seconds=20)
    assert ended["status"] == "succeeded"


async def test_cancelling_ends_a_run_and_breaks_off_its_request(mcp: McpCaller, target: HttpTarget) -> None:
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    workflow_id = await mcp.create({"start": START, "ask": ask}, ("start", "ask"))
    ran = await mcp.call("execute_workflow", workflow_id=workflow_id, wait_seconds=0)
    async with asyncio.timeout(10):
        await target.arrived.wait()
    ended = await mcp.call("control_execution", execution_id=ran["execution_id"], action="cancel")
    assert ended["status"] == "cancelled"
    seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"])
    assert seen["nodes"][-1] == {**seen["nodes"][-1], "node": "ask", "status": "cancelled"}
    again = await mcp.fail("control_execution", execution_id=ran["execution_id"], action="cancel")
    assert again["code"] == "illegal_transition"


async def test_an_unknown_tool_is_a_protocol_error(mcp: McpCaller) -> None:
    with pytest.raises(MCPError) as caught:
        await mcp.client.call_tool("no_such_tool", {})
    assert caught.value.error.code == types.INVALID_PARAMS


async def test_the_tools_are_few_small_and_honest(mcp_http: McpCaller) -> None:
    listed = await mcp_http.client.list_tools()
    assert [tool.name for tool in listed.tools] == TOOLS
    size = len(listed.model_dump_json(by_alias=True, exclude_none=True, include={"tools"}))
    assert size / 4 < 5_000
    for tool in listed.tools:
        assert tool.title
        assert tool.output_schema
        assert tool.annotations is not None
        assert tool.input_schema.get("additionalProperties") is False
        hints = tool.annotations
        assert hints.read_only_hint is (
            tool.name.split("_")[0] in ("find", "validate", "get", "list", "inspect", "plan", "render")
        )


async def test_six_mistakes_get_six_findings_whose_patches_make_it_valid(mcp_http: McpCaller) -> None:
    definition = {
        "name": "six mistakes",
        "nodes": {
            "hook": {"type": "webhok", "parameters": {"path": "six-mistakes"}},
            "shape": {"type": "set", "parameters": {"feilds": {"a": 1}}},
            "check": {"type": "if", "parameters": {"condition": "={{ $('hok').item.json.ok === true }}"}},
            "done": {"type": "no_op", "on_eror": "continue"},
        },
        "connections": [["hook", "shap"], ["shape", "check"], ["check.ture", "done"]],
    }
    report = await mcp_http.call("validate_workflow", definition=definition)
    assert (report["valid"], len(report["findings"])) == (False, 6)
    assert (await mcp_http.fail("create_workflow", definition=definition))["findings"] == report["findings"]
    for finding in report["findings"]:
        definition = jsonpatch.apply_patch(definition, finding["patch"])
    assert await mcp_http.call("validate_workflow", definition=definition) == {"valid": True, "findings": []}


async def test_javascript_that_does_not_parse_is_found_before_it_runs(mcp_http: McpCaller) -> None:
    nodes = {"start": START, "bad": {"type": "set", "parameters": {"fields": {"x": "={{ $json. }}", "y": "={{ 1"}}}}
    report = await mcp_http.call("validate_workflow", definition={"name": "bad", "nodes": nodes})
    errors = [(each["code"], each["pointer"]) for each in report["findings"] if each["severity"] == "error"]
    assert errors == [
        ("bad_expression", "/nodes/bad/parameters/fields/y"),
        ("bad_expression", "/nodes/bad/parameters/fields/x"),
    ]


async def test_a_definition_may_come_as_text(mcp_http: McpCaller) -> None:
    text = json.dumps({"name": "as text", "nodes": {"start": START}})
    made = await mcp_http.call("create_workflow", definition=text)
    assert made["name"] == "as text"
    twice = '{"name": "twice", "nodes": {"a": {"type": "manual"}, "a": {"type": "manual"}}}'
    error = await mcp_http.fail("create_workflow", definition=twice)
    assert [finding["code"] for finding in error["findings"]] == ["duplicate_name"]
    assert (await mcp_http.fail("create_workflow", definition="{"))["code"] == "invalid_arguments"


async def test_operations_make_a_new_version_all_or_none(mcp_http: McpCaller) -> None:
    workflow_id = await mcp_http.create({"start": START})
    operations: list[dict[str, Any]] = [{"op": "add_node", "name": "double", "node": DOUBLE, "after": "start"}]
    tried = await mcp_http.call("validate_workflow", workflow_id=workflow_id, operations=operations)
    assert tried["valid"]
    changed = await mcp_http.call("update_workflow", workflow_id=workflow_id, expected_version=1, operations=operations)
    assert changed["version"] == 2
    stale = await mcp_http.fail("update_workflow", workflow_id=workflow_id, expected_version=1, operations=operations)
    assert (stale["code"], stale["pointer"]) == ("version_conflict", "/expected_version")
    broken = [*operations, {"op": "remove_node", "name": "absent"}]
    failed = await mcp_http.fail("update_workflow", workflow_id=workflow_id, expected_version=2, operations=broken)
    assert failed["code"] == "invalid_operation"
    now = await mcp_http.call("get_workflow", workflow_id=workflow_id)
    assert (now["version"], list(now["definition"]["nodes"])) == (2, ["start", "double"])
    first = await mcp_http.call("get_workflow", workflow_id=workflow_id, version=1, view="summary")
    assert first["nodes"] == {"start": "manual"}
    replaced = await mcp_http.call(
        "update_workflow",
        workflow_id=workflow_id,
        expected_version=2,
        definition={"name": "new", "nodes": {"s": START}},
    )
    assert (replaced["version"], replaced["name"]) == (3, "new")


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "pointer"),
    [
        ("create_workflow", {}, "invalid_arguments", "/definition"),
        ("create_workflow", {"definiton": {}}, "invalid_arguments", "/definition"),
        ("get_workflow", {"workflow_id": "absent"}, "workflow_not_found", "/workflow_id"),
        ("get_workflow", {"workflow_id": "x", "view": "pictures"}, "invalid_arguments", "/view"),
        ("update_workflow", {"workflow_id": "x", "expected_version": 1}, "invalid_arguments", "/operations"),
        ("execute_workflow", {"workflow_id": "x", "wait_seconds": 500}, "invalid_arguments", "/wait_seconds"),
        ("inspect_execution", {"execution_id": "absent"}, "execution_not_found", "/execution_id"),
        ("list_executions", {"status": "done"}, "invalid_arguments", "/status"),
        ("list_workflows", {"cursor": "???"}, "invalid_arguments", "/cursor"),
        ("find_nodes", {"name": "webhok"}, "node_not_found", "/name"),
    ],
)
async def test_a_wrong_call_says_what_is_wrong_where(
    mcp_http: McpCaller, tool: str, arguments: dict[str, Any], code: str, pointer: str | None
) -> None:
    error = await mcp_http.fail(tool, **arguments)
    assert (error["code"], error.get("pointer")) == (code, pointer)
    assert error["fix"]


async def test_a_failed_run_says_which_node_failed_on_which_item(mcp_http: McpCaller) -> None:
    nodes = {"start": START, "read": {"type": "set", "parameters": {"fields": {"x": "={{ $json.a.b.c }}"}}}}
    workflow_id = await mcp_http.create(nodes, ("start", "read"))
    ran = await mcp_http.call("execute_workflow", workflow_id=workflow_id, input=[{"a": {"b": {"c": 1}}}, {"a": {}}])
    assert ran["status"] == "failed"
    error = ran["error"]
    assert (error["code"], error["node"], error["item_index"]) == ("expression_failed", "read", 1)
    assert "$json.a.b.c" in error["message"]
    assert "fields are: a" in error["fix"]
    found = await mcp_http.call("list_executions", workflow_id=workflow_id, text="$json.a.b.c")
    assert len(found["executions"]) == 1
    missing = await mcp_http.fail("inspect_execution", execution_id=ran["execution_id"], node="reed")
    assert "Did you mean 'read'?" in missing["message"]


async def test_large_results_are_cut_to_the_budget_with_a_link_to_the_whole(mcp_http: McpCaller) -> None:
    workflow_id = await mcp_http.create({"start": START, "pass": {"type": "no_op"}}, ("start", "pass"))
    items = [{"n": n, "text": "x" * 200} for n in range(500)]
    result = await mcp_http.client.call_tool("execute_workflow", {"workflow_id": workflow_id, "input": items})
    assert result.structured_content is not None
    assert result.structured_content["output_is_cut"]
    assert len(json.dumps(result.structured_content)) / 4 < 2_500
    (link,) = [part for part in result.content if isinstance(part, types.ResourceLink)]
    whole = await mcp_http.client.read_resource(str(link.uri))
    assert isinstance(whole.contents[0], types.TextResourceContents)
    assert len(json.loads(whole.contents[0].text)["output"]["items"]["pass"]) == 500
    execution_id = result.structured_content["execution_id"]
    for budget in (300, 1_000, 5_000):
        seen = await mcp_http.client.call_tool(
            "inspect_execution", {"execution_id": execution_id, "node": "pass", "max_tokens": budget}
        )
        assert len(json.dumps(seen.structured_content)) / 4 < budget * 1.2 + 150


async def test_workflows_are_listed_page_by_page(mcp_http: McpCaller) -> None:
    for n in range(3):
        await mcp_http.create({"start": START}, name=f"paged {n}")
    first = await mcp_http.call("list_workflows", text="paged", limit=2)
    second = await mcp_http.call("list_workflows", text="paged", limit=2, cursor=first["next_cursor"])
    names = [each["name"] for each in [*first["workflows"], *second["workflows"]]]
    assert names == ["paged 2", "paged 1", "paged 0"]
    assert "next_cursor" not in second


async def test_an_execution_that_takes_too_long_fails_and_shows_how_far_it_came(
    mcp_http: McpCaller, target: HttpTarget
) -> None:
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    definition = {
        "name": "slow",
        "nodes": {"start": START, "ask": ask},
        "connections": [["start", "ask"]],
        "settings": {"timeout_seconds": 0.3},
    }
    made = await mcp_http.call("create_workflow", definition=definition)
    ran = await mcp_http.call("execute_workflow", workflow_id=made["workflow_id"])
    assert (ran["status"], ran["error"]["code"]) == ("failed", "execution_timeout")
    seen = await mcp_http.call("inspect_execution", execution_id=ran["execution_id"])
    assert [(node["node"], node["status"]) for node in seen["nodes"]] == [("start", "succeeded"), ("ask", "cancelled")]


async def test_only_a_server_that_http_reaches_gives_links_to_what_waits(mcp: McpCaller) -> None:
    wait = {"type": "wait", "parameters": {"for_call": True}}
    workflow_id = await mcp.create({"start": START, "wait": wait}, ("start", "wait"))
    ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input={"n": 1})
    seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"])
    assert ("resume_url" in seen["waiting"][0]) is str(mcp.client.server).startswith("http")
    resumed = await mcp.call("control_execution", execution_id=ran["execution_id"], action="resume", data="go")
    assert resumed["status"] in ("queued", "running", "succeeded")
    done = await mcp.call("inspect_execution", execution_id=ran["execution_id"], wait_seconds=20)
    assert done["output"]["items"]["wait"] == [{"n": 1, "resume": {"by": "agent", "data": "go"}}]
