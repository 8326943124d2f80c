"""Every result stays within its budget, for a workflow of 500 nodes and an execution of 10,000 items."""

from __future__ import annotations

import itertools
import json
from typing import Any

import mcp_types as types
import pytest

from tests.support.mcp_caller import McpCaller
from workflow.findings import MOST_FINDINGS

NODES = 500
ITEMS = 10_000
SOME_ITEMS = 1_250
"""Eight times as many come out of the node that copies them."""
COPY = "return items.flatMap(item => Array.from({length: 8}, (_, copy) => ({...item, copy, text: 'x'.repeat(80)})));"
FIT = "budgets: 500 nodes"
MANY = "budgets: 10,000 items"


def tokens_of(result: types.CallToolResult) -> tuple[int, int]:
    """Tokens of the structured content and of the text twin."""
    (text,) = [part for part in result.content if isinstance(part, types.TextContent)]
    structured = json.dumps(result.structured_content, separators=(",", ":"), ensure_ascii=False)
    return len(structured.encode()) // 4, len(text.text.encode()) // 4


class Meter:
    """Calls tools and holds every answer against its budget."""

    def __init__(self, mcp: McpCaller) -> None:
        self.mcp = mcp

    async def call(self, tool: str, budget: int, **arguments: Any) -> tuple[dict[str, Any], list[str]]:
        """The structured content, and where the links lead."""
        result = await self.mcp.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        assert max(tokens_of(result)) <= budget, (tool, arguments, tokens_of(result))
        content = await self.mcp.checked(tool, result)
        return content, [str(part.uri) for part in result.content if isinstance(part, types.ResourceLink)]

    async def fail(self, tool: str, budget: int, **arguments: Any) -> dict[str, Any]:
        """The error."""
        result = await self.mcp.client.call_tool(tool, arguments)
        assert result.is_error
        (text,) = [part for part in result.content if isinstance(part, types.TextContent)]
        assert len(text.text.encode()) // 4 <= budget, (tool, arguments)
        error: dict[str, Any] = json.loads(text.text)["error"]
        return error

    async def pages(self, tool: str, budget: int, **arguments: Any) -> list[dict[str, Any]]:
        """The structured contents of all pages."""
        found = [(await self.call(tool, budget, **arguments))[0]]
        while "next_cursor" in found[-1]:
            found.append((await self.call(tool, budget, **arguments, cursor=found[-1]["next_cursor"]))[0])
        return found

    async def resource(self, uri: str) -> Any:
        """What a link leads to."""
        (content,) = (await self.mcp.client.read_resource(uri)).contents
        assert isinstance(content, types.TextResourceContents)
        return json.loads(content.text)


def long_chain() -> dict[str, Any]:
    """500 nodes, one behind the other, each with an expression and a note."""
    steps = {
        f"step {n}": {
            "type": "set",
            "parameters": {"fields": {f"f{n % 5}": f"={{{{ $json.n + {n} }}}}"}},
            "notes": "n" * 40,
        }
        for n in range(NODES - 1)
    }
    nodes = {"start": {"type": "manual"}, **steps}
    connections = [list(pair) for pair in itertools.pairwise(nodes)]
    return {"name": FIT, "description": "d" * 9_000, "nodes": nodes, "connections": connections}


def many_items(url: str = "http://127.0.0.1:9/") -> dict[str, Any]:
    """A start, 10,000 items, and as many effects behind them that a test run mocks."""
    nodes = {
        "start": {"type": "manual"},
        "copy": {"type": "code", "parameters": {"javascript": COPY}},
        "ask": {"type": "http_request", "parameters": {"url": f"{url}?n={{{{ $json.n }}}}"}},
    }
    return {"name": MANY, "nodes": nodes, "connections": [["start", "copy"], ["copy", "ask"]]}


@pytest.fixture
async def meter(mcp_http: McpCaller) -> Meter:
    """A meter on the shared server."""
    return Meter(mcp_http)


@pytest.mark.parametrize("budget", [200, 700, 2_000, 50_000])
async def test_a_workflow_of_500_nodes_is_read_in_pages_that_make_up_the_whole(meter: Meter, budget: int) -> None:
    definition = long_chain()
    made, _ = await meter.call("create_workflow", 4_000, definition=definition)
    known = {"workflow_id": made["workflow_id"]}
    first, links = await meter.call("get_workflow", budget, **known, max_tokens=budget)
    if budget == 50_000:
        assert first["definition"] == definition
        return
    assert "definition" not in first
    assert (await meter.resource(links[0]))["definition"] == definition
    if budget > 200:  # 500 nodes of some 50 tokens each, in pages of 200: enough pages for a test are read below
        pages = await meter.pages("get_workflow", budget, **known, max_tokens=budget)
        nodes = {name: node for page in pages for name, node in page["part"]["nodes"].items()}
        assert nodes == definition["nodes"]
        assert [pair for page in pages for pair in page["part"]["connections"]] == definition["connections"]
    for view in ("summary", "picture"):
        _, links = await meter.call("get_workflow", budget, **known, view=view, max_tokens=budget)
        assert links
    await meter.call("delete_workflow", 2_000, **known)


async def test_lists_and_checks_of_many_things_stay_within_their_budgets(meter: Meter) -> None:
    definition = long_chain()
    made, _ = await meter.call("create_workflow", 4_000, definition=definition)
    for n in range(60):
        await meter.call(
            "create_workflow", 4_000, definition={**many_items(), "name": f"listed {n}", "description": "d" * 5_000}
        )
    pages = await meter.pages("list_workflows", 4_000, limit=100, text="listed ")
    assert [each["name"] for page in pages for each in page["workflows"]] == [
        f"listed {n}" for n in reversed(range(60))
    ]
    assert len(pages) > 1

    broken = {**definition, "nodes": {name: {**node, "typ": "x"} for name, node in definition["nodes"].items()}}
    report, _ = await meter.call("validate_workflow", 4_000, definition=broken)
    assert len(report["findings"]) + report["findings_left_out"] == MOST_FINDINGS
    error = await meter.fail("create_workflow", 4_000, definition=broken)
    assert error["findings"] == report["findings"]
    unknown = [{"op": "remove_node", "name": "absent"}]
    await meter.fail("update_workflow", 1_000, workflow_id=made["workflow_id"], expected_version=1, operations=unknown)
    for arguments in ({}, {"query": "change fields"}, {"name": "http_request"}, {"name": "merge"}):
        await meter.call("find_nodes", 4_000, **arguments)


async def test_500_node_runs_are_inspected_page_by_page(meter: Meter) -> None:
    made, _ = await meter.call("create_workflow", 4_000, definition=long_chain())
    ran, _ = await meter.call(
        "execute_workflow", 2_000, workflow_id=made["workflow_id"], input={"n": 1}, wait_seconds=50
    )
    assert ran["status"] == "succeeded"
    known = {"execution_id": ran["execution_id"]}
    for budget in (400, 2_000, 10_000):
        pages = await meter.pages("inspect_execution", budget, **known, max_tokens=budget)
        assert [run["node"] for page in pages for run in page["nodes"]] == list(long_chain()["nodes"])
    await meter.call("inspect_execution", 200, **known, max_tokens=200)
    await meter.call("plan_execution", 2_000, workflow_id=made["workflow_id"], input={"n": 1})
    again, _ = await meter.call("control_execution", 2_000, **known, action="rerun", node="step 400")
    assert again["rerun_of"] == ran["execution_id"]


@pytest.mark.long
async def test_10_000_items_are_inspected_page_by_page(meter: Meter) -> None:
    made, _ = await meter.call("create_workflow", 4_000, definition=many_items())
    known = {"workflow_id": made["workflow_id"]}
    items = [{"n": n, "nested": {"text": "long " * 2_000}} if n == 7 else {"n": n} for n in range(SOME_ITEMS)]
    ran, links = await meter.call("execute_workflow", 2_000, **known, input=items, mode="test", wait_seconds=50)
    assert (ran["status"], ran["output_is_cut"]) == ("succeeded", True)
    assert len((await meter.resource(links[0]))["output"]["items"]["ask"]) == ITEMS

    inspected = {"execution_id": ran["execution_id"]}
    for budget, node in itertools.product((200, 1_000, 2_000, 50_000), (None, "start", "copy", "ask")):
        arguments = {**inspected, "max_tokens": budget, **({"node": node} if node else {})}
        seen, links = await meter.call("inspect_execution", budget, **arguments)
        assert seen.get("is_cut") or "next_cursor" in seen or node == "start"
        assert links or node == "start"
    whole = await meter.resource(f"execution://{ran['execution_id']}/nodes/copy")
    made_items = whole["runs"][0]["outputs"]["main"]
    assert len(made_items) == ITEMS

    path = {**inspected, "node": "copy", "path": "/runs/0/outputs/main"}
    pages = await meter.pages("inspect_execution", 50_000, **path, max_tokens=50_000)
    read = [item for page in pages for item in page["value"]]
    assert len(read) == ITEMS
    assert [item for item in read if "nested" not in item] == [item for item in made_items if "nested" not in item]

    text = {**inspected, "node": "copy", "path": "/runs/0/outputs/main/56/nested/text"}
    pages = await meter.pages("inspect_execution", 500, **text, max_tokens=500)
    assert "".join(page["value"] for page in pages) == "long " * 2_000
    last, _ = await meter.call("inspect_execution", 300, **inspected, path="/output/items/ask/9999", max_tokens=300)
    assert last["value"]["n"] == SOME_ITEMS - 1

    wrong = await meter.fail("inspect_execution", 1_000, **inspected, path="/output/items/asks")
    assert (wrong["pointer"], wrong["fix"]) == ("/path", "At '/output/items' there is: ask.")
    stray = await meter.fail("inspect_execution", 1_000, **path, cursor=pages[0]["next_cursor"])
    assert stray["pointer"] == "/cursor"

    planned = await meter.pages("plan_execution", 20_000, **known, input=items[100:], max_tokens=20_000)
    assert sum(len(page["effects"]) for page in planned) == (SOME_ITEMS - 100) * 8
    assert len({page["plan_hash"] for page in planned}) == 1
    await meter.call("list_executions", 4_000, limit=100)


async def test_long_errors_are_cut_in_lists_and_kept_whole_in_their_execution(meter: Meter) -> None:
    message = "because " * 1_000
    nodes = {"start": {"type": "manual"}, "stop": {"type": "stop_and_error", "parameters": {"message": message}}}
    definition = {"name": "long errors", "nodes": nodes, "connections": [["start", "stop"]]}
    made, _ = await meter.call("create_workflow", 4_000, definition=definition)
    known = {"workflow_id": made["workflow_id"]}
    for _ in range(30):
        await meter.call("execute_workflow", 2_000, **known, input={})
    pages = await meter.pages("list_executions", 4_000, **known, limit=100)
    assert sum(len(page["executions"]) for page in pages) == 30
    one = pages[0]["executions"][0]["execution_id"]
    read = await meter.pages("inspect_execution", 500, execution_id=one, path="/nodes/1/error/message", max_tokens=500)
    assert "".join(page["value"] for page in read) == message
    for budget in (200, 1_000):
        await meter.call("inspect_execution", budget, execution_id=one, max_tokens=budget)
        await meter.call("inspect_execution", budget, execution_id=one, node="stop", max_tokens=budget)
