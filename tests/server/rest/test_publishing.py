"""Drafts and published versions through the front door: what runs when, and workflows as tools of their own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import jsonpatch
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.support.mcp_caller import McpCaller

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
START: dict[str, Any] = {"type": "manual", "parameters": {"input_schema": CITY}}
GREET: dict[str, Any] = {"type": "set", "parameters": {"fields": {"text": "=Hello {{ $json.city }}"}}}

Offer = Callable[..., Awaitable[tuple[str, str]]]


def new_name() -> str:
    """A name that no other test has."""
    return f"test_{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def offering(mcp: McpCaller) -> AsyncIterator[Offer]:
    """Makes tools of workflows that greet a city, and takes them out of use again."""
    made: list[str] = []

    async def offer(nodes: dict[str, Any] | None = None, **members: Any) -> tuple[str, str]:
        every = nodes or {"start": START, "greet": GREET}
        first, *_, last = every
        workflow_id = await mcp.create(every, (first, last), name="Greeting")
        made.append(workflow_id)
        tool = {"name": new_name(), "description": "Greets a city.", **members}
        published = await mcp.call("publish_workflow", workflow_id=workflow_id, tool=tool)
        assert (published["status"], published["tool"]) == ("published", tool["name"])
        return workflow_id, tool["name"]

    try:
        yield offer
    finally:
        for workflow_id in made:
            await mcp.client.call_tool("publish_workflow", {"workflow_id": workflow_id, "action": "unpublish"})


async def listed_tools(mcp: McpCaller) -> dict[str, Any]:
    """The tools listed now, by name."""
    return {tool.name: tool for tool in (await mcp.client.list_tools(cache_mode="refresh")).tools}


async def versioned(mcp: McpCaller) -> tuple[str, str]:
    """A workflow whose published version 1 says "one" and whose draft, version 2, says "two"; and its path."""
    path = f"hook-{uuid.uuid4().hex[:8]}"
    nodes = {
        "start": {"type": "manual"},
        "hook": {"type": "webhook", "parameters": {"path": path}},
        "say": {"type": "set", "parameters": {"keep_input": False, "fields": {"said": "one"}}},
        "answer": {"type": "respond", "parameters": {"body": "={{ $json }}"}},
    }
    connections = (("start", "say"), ("hook", "say"), ("say", "answer"))
    workflow_id = await mcp.create(nodes, *connections, publish=True)
    change = {"op": "update_node", "name": "say", "changes": {"parameters": {"fields": {"said": "two"}}}}
    saved = await mcp.call("update_workflow", workflow_id=workflow_id, expected_version=1, operations=[change])
    assert (saved["version"], saved["status"], saved["published_version"]) == (2, "published", 1)
    assert "Version 1 stays in use" in saved["next"]
    return workflow_id, path


async def test_a_published_workflow_is_a_tool_of_its_own(mcp: McpCaller) -> None:
    async with offering(mcp) as offer:
        workflow_id, name = await offer()
        tool = (await listed_tools(mcp))[name]
        assert (tool.title, tool.description, tool.input_schema) == ("Greeting", "Greets a city.", CITY)
        assert (tool.annotations.read_only_hint, tool.annotations.destructive_hint) == (True, False)

        result = await mcp.client.call_tool(name, {"city": "Oslo"})
        assert await mcp.checked(name, result) == {"city": "Oslo", "text": "Hello Oslo"}
        assert result.meta is not None
        assert (result.meta["dev.jobsprint/workflow_id"], result.meta["dev.jobsprint/version"]) == (workflow_id, 1)
        seen = await mcp.call("inspect_execution", execution_id=result.meta["dev.jobsprint/execution_id"])
        assert seen["status"] == "succeeded"

        error = await mcp.fail(name, city=7)
        assert (error["code"], error["pointer"]) == ("invalid_arguments", "/city")
        assert [finding["pointer"] for finding in (await mcp.fail(name))["findings"]] == ["/city"]

        await mcp.call("publish_workflow", workflow_id=workflow_id, action="unpublish")
        assert name not in await listed_tools(mcp)
        with pytest.raises(MCPError):
            await mcp.client.call_tool(name, {"city": "Oslo"})


async def test_tools_come_after_ours_by_name_and_say_whether_they_only_read(mcp_http: McpCaller) -> None:
    ask = {"type": "http_request", "parameters": {"url": "http://127.0.0.1:9/"}}
    async with offering(mcp_http) as offer:
        _, acting = await offer({"start": {"type": "manual"}, "ask": ask})
        _, reading = await offer()
        tools = await listed_tools(mcp_http)
        assert list(tools)[-2:] == sorted([acting, reading])
        assert tools[acting].input_schema == {"type": "object", "properties": {}}, "providers want properties"
        hints = tools[acting].annotations
        assert (hints.read_only_hint, hints.destructive_hint, hints.open_world_hint) == (False, True, True)


async def test_a_tool_follows_the_published_version_until_it_is_withdrawn(mcp_http: McpCaller) -> None:
    async with offering(mcp_http) as offer:
        workflow_id, name = await offer()
        patch = [{"op": "replace", "path": "/nodes/greet/parameters/fields/text", "value": "=Hi {{ $json.city }}"}]
        change = {"op": "patch", "patch": patch}
        await mcp_http.call("update_workflow", workflow_id=workflow_id, expected_version=1, operations=[change])
        assert (await mcp_http.call(name, city="Oslo"))["text"] == "Hello Oslo"
        await mcp_http.call("publish_workflow", workflow_id=workflow_id)
        assert (await mcp_http.call(name, city="Oslo"))["text"] == "Hi Oslo"
        withdrawn = await mcp_http.call("publish_workflow", workflow_id=workflow_id, action="withdraw_tool")
        assert withdrawn["status"] == "published"
        assert name not in await listed_tools(mcp_http)


async def test_a_workflow_is_a_prompt_where_it_asks_for_it(mcp: McpCaller) -> None:
    async with offering(mcp) as offer:
        _, name = await offer(prompt=True)
        prompts = {prompt.name: prompt for prompt in (await mcp.client.list_prompts(cache_mode="refresh")).prompts}
        assert prompts[name].description == "Greets a city."
        prompt = await mcp.client.get_prompt(name, {"city": "Oslo"})
        assert isinstance(prompt.messages[0].content, types.TextContent)
        assert f"calling the tool {name}" in prompt.messages[0].content.text


async def test_a_given_schema_wins_over_the_triggers_and_both_are_kept(mcp_http: McpCaller) -> None:
    async with offering(mcp_http) as offer:
        _, name = await offer(input_schema={"type": "object", "properties": {"city": {"enum": ["Oslo"]}}})
        assert (await mcp_http.fail(name, city="Rome"))["pointer"] == "/city"
        error = await mcp_http.fail(name)
        assert (error["code"], "input_does_not_fit" in error["message"]) == ("workflow_failed", True)
        seen = await mcp_http.call(error["next"]["tool"], **error["next"]["arguments"])
        assert seen["status"] == "failed"


@pytest.mark.parametrize(
    ("tool", "code", "pointer"),
    [
        ({"name": "list_workflows", "description": "d"}, "tool_name_taken", "/tool/name"),
        ({"name": "Bad Name", "description": "d"}, "invalid_arguments", "/tool/name"),
        ({"name": "a" * 31, "description": "d"}, "invalid_arguments", "/tool/name"),
        ({"name": "fine", "description": ""}, "invalid_arguments", "/tool/description"),
        (
            {"name": "fine", "description": "d", "input_schema": {"type": "object", "required": "city"}},
            "invalid_arguments",
            "/tool/input_schema/required",
        ),
    ],
)
async def test_a_tool_that_cannot_be_is_refused_and_nothing_published(
    mcp_http: McpCaller, tool: dict[str, Any], code: str, pointer: str
) -> None:
    workflow_id = await mcp_http.create({"start": {"type": "manual"}})
    error = await mcp_http.fail("publish_workflow", workflow_id=workflow_id, tool=tool)
    assert (error["code"], error["pointer"]) == (code, pointer)
    assert error["fix"]
    assert (await mcp_http.call("get_workflow", workflow_id=workflow_id, view="summary"))["status"] == "draft"


async def test_two_workflows_cannot_be_the_same_tool(mcp_http: McpCaller) -> None:
    async with offering(mcp_http) as offer:
        _, name = await offer()
        second = await mcp_http.create({"start": {"type": "manual"}})
        error = await mcp_http.fail(
            "publish_workflow", workflow_id=second, tool={"name": name, "description": "The same again."}
        )
        assert error["code"] == "tool_name_taken"


async def test_a_tool_needs_a_manual_trigger(mcp_http: McpCaller) -> None:
    workflow_id = await mcp_http.create({"hook": {"type": "webhook", "parameters": {"path": new_name()}}})
    offered = {"name": new_name(), "description": "d"}
    error = await mcp_http.fail("publish_workflow", workflow_id=workflow_id, tool=offered)
    assert (error["code"], error["pointer"]) == ("invalid_arguments", "/tool")
    wrong = await mcp_http.fail("publish_workflow", workflow_id=workflow_id, action="unpublish", tool=offered)
    assert (wrong["code"], wrong["pointer"]) == ("invalid_arguments", "/tool")
    early = await mcp_http.fail("publish_workflow", workflow_id=workflow_id, action="unpublish")
    assert early["code"] == "not_published"


async def test_webhooks_run_the_published_version_and_execute_workflow_the_draft(
    mcp_http: McpCaller, http: httpx2.AsyncClient
) -> None:
    workflow_id, path = await versioned(mcp_http)

    async def said(**arguments: Any) -> str:
        ran = await mcp_http.call("execute_workflow", workflow_id=workflow_id, **arguments)
        return str(ran["output"]["items"]["answer"][0]["said"])

    assert (await http.post(f"/webhooks/{path}")).json() == {"said": "one"}
    assert [await said(), await said(version="published"), await said(version=1)] == ["two", "one", "one"]
    planned = await mcp_http.call("plan_execution", workflow_id=workflow_id, version="published")
    refused = await mcp_http.fail("execute_workflow", workflow_id=workflow_id, plan_hash=planned["plan_hash"])
    assert refused["code"] == "plan_changed"
    assert await said(version="published", plan_hash=planned["plan_hash"]) == "one"

    published = await mcp_http.call("publish_workflow", workflow_id=workflow_id)
    assert (published["published_version"], published["webhooks"]) == (2, [f"/webhooks/{path}"])
    assert (await http.post(f"/webhooks/{path}")).json() == {"said": "two"}
    await mcp_http.call("publish_workflow", workflow_id=workflow_id, version=1)
    assert (await http.post(f"/webhooks/{path}")).json() == {"said": "one"}
    await mcp_http.call("publish_workflow", workflow_id=workflow_id, action="unpublish")
    assert (await http.post(f"/webhooks/{path}")).status_code == 404
    gone = await mcp_http.fail("execute_workflow", workflow_id=workflow_id, version="published")
    assert gone["code"] == "not_published"


async def test_other_workflows_run_the_published_version_or_else_the_draft(mcp_http: McpCaller) -> None:
    child, _ = await versioned(mcp_http)
    call = {"type": "execute_workflow", "parameters": {"workflow_id": child}}
    parent = await mcp_http.create({"start": {"type": "manual"}, "call": call}, ("start", "call"))

    async def said() -> str:
        ran = await mcp_http.call("execute_workflow", workflow_id=parent)
        return str(ran["output"]["items"]["call"][0]["output"]["items"]["answer"][0]["said"])

    assert await said() == "one"
    await mcp_http.call("publish_workflow", workflow_id=child, action="unpublish")
    assert await said() == "two"


async def test_versions_are_listed_compared_and_restored(mcp_http: McpCaller) -> None:
    workflow_id, _ = await versioned(mcp_http)
    listed = await mcp_http.call("get_workflow", workflow_id=workflow_id, view="versions")
    assert [(each["version"], each["change"], each.get("published")) for each in listed["versions"]] == [
        (2, "Changed the node 'say': parameters.fields", None),
        (1, "Created", True),
    ]
    first = await mcp_http.call("get_workflow", workflow_id=workflow_id, version="published")
    second = await mcp_http.call("get_workflow", workflow_id=workflow_id)
    between = await mcp_http.call("get_workflow", workflow_id=workflow_id, view="difference")
    assert (between["base_version"], between["version"]) == (1, 2)
    assert between["changes"] == ["Changed the node 'say': parameters.fields"]
    assert jsonpatch.apply_patch(first["definition"], between["patch"]) == second["definition"]
    back = await mcp_http.call("get_workflow", workflow_id=workflow_id, view="difference", version=1, base_version=2)
    assert jsonpatch.apply_patch(second["definition"], back["patch"]) == first["definition"]

    restored = await mcp_http.call("update_workflow", workflow_id=workflow_id, expected_version=2, restore_version=1)
    assert restored["version"] == 3
    third = await mcp_http.call("get_workflow", workflow_id=workflow_id)
    assert third["definition"] == first["definition"]
    newest = (await mcp_http.call("get_workflow", workflow_id=workflow_id, view="versions"))["versions"][0]
    assert newest["change"] == "Restored version 1"
    absent = await mcp_http.fail("update_workflow", workflow_id=workflow_id, expected_version=3, restore_version=9)
    assert absent["code"] == "workflow_not_found"
    two_ways = await mcp_http.fail(
        "update_workflow", workflow_id=workflow_id, expected_version=3, restore_version=1, operations=[]
    )
    assert two_ways["code"] == "invalid_arguments"


async def test_a_deleted_workflow_can_be_restored_as_a_draft(mcp_http: McpCaller, http: httpx2.AsyncClient) -> None:
    workflow_id, path = await versioned(mcp_http)
    assert (await mcp_http.call("delete_workflow", workflow_id=workflow_id))["restorable_days"] == 30
    assert (await http.post(f"/webhooks/{path}")).status_code == 404
    deleted = (await mcp_http.call("list_workflows", deleted=True, limit=100))["workflows"]
    (found,) = [each for each in deleted if each["workflow_id"] == workflow_id]
    assert (found["status"], found["restorable_until"] > found["deleted_at"]) == ("deleted", True)
    restored = await mcp_http.call("delete_workflow", workflow_id=workflow_id, restore=True)
    assert (restored["deleted"], restored["status"], restored["version"]) == (False, "draft", 2)
    assert (await http.post(f"/webhooks/{path}")).status_code == 404
    await mcp_http.call("publish_workflow", workflow_id=workflow_id, version=1)
    assert (await http.post(f"/webhooks/{path}")).json() == {"said": "one"}


async def test_input_that_does_not_fit_the_triggers_schema_fails_the_run(mcp_http: McpCaller) -> None:
    workflow_id = await mcp_http.create({"start": START, "greet": GREET}, ("start", "greet"))
    ran = await mcp_http.call("execute_workflow", workflow_id=workflow_id, input=[{"city": "Oslo"}, {}])
    error = ran["error"]
    assert (ran["status"], error["code"], error["item_index"]) == ("failed", "input_does_not_fit", 1)
    assert "'city' is missing" in error["message"]
    broken = {"name": "x", "nodes": {"start": {"type": "manual", "parameters": {"input_schema": {"type": "objct"}}}}}
    report = await mcp_http.call("validate_workflow", definition=broken)
    assert [(each["code"], each["pointer"]) for each in report["findings"]] == [
        ("bad_schema", "/nodes/start/parameters/input_schema")
    ]
