"""Resources, templates, prompts and completions: what clients can browse, page by page, in both protocol eras."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.support.mcp_caller import McpCaller
from tools.protocol.resources import SETTLED_MS

START = {"type": "manual"}
DOUBLE = {"type": "set", "parameters": {"fields": {"double": "={{ $json.n * 2 }}"}}}


async def read(caller: McpCaller, uri: str) -> Any:
    """A resource's JSON."""
    (content,) = (await caller.client.read_resource(uri)).contents
    assert isinstance(content, types.TextResourceContents)
    assert content.uri == uri
    return json.loads(content.text)


async def complete(caller: McpCaller, ref: str, variable: str, value: str, **others: str) -> list[str]:
    """Values for a template's variable, or (without ``:``) for a prompt's argument."""
    reference: types.ResourceTemplateReference | types.PromptReference = (
        types.ResourceTemplateReference(type="ref/resource", uri=ref)
        if ":" in ref
        else types.PromptReference(type="ref/prompt", name=ref)
    )
    result = await caller.client.complete(reference, {"name": variable, "value": value}, others or None)
    return result.completion.values


async def test_resources_show_workflows_executions_and_node_types(mcp: McpCaller) -> None:
    workflow_id = await mcp.create({"start": START, "a/b": DOUBLE}, ("start", "a/b"))
    ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input={"n": 4})
    listed = await mcp.client.list_resources()
    assert f"workflow://{workflow_id}" in {str(each.uri) for each in listed.resources}
    templates = await mcp.client.list_resource_templates()
    assert [each.uri_template for each in templates.resource_templates] == [
        "workflow://{id}",
        "workflow://{id}/versions/{version}",
        "execution://{id}",
        "execution://{id}/nodes/{node}",
        "node-type://{type}",
        "prompt://{name}",
        "prompt://{name}/versions/{version}",
    ]
    assert "flowchart LR" in (await read(mcp, f"workflow://{workflow_id}"))["picture"]
    assert (await read(mcp, f"workflow://{workflow_id}/versions/1"))["version"] == 1
    assert (await read(mcp, f"execution://{ran['execution_id']}"))["status"] == "succeeded"
    runs = (await read(mcp, f"execution://{ran['execution_id']}/nodes/a%2Fb"))["runs"]
    assert runs[0]["outputs"] == {"main": [{"n": 4, "double": 8}]}
    assert (await read(mcp, "node-type://set"))["type"] == "set"


async def test_a_resource_that_is_not_there_is_an_error_with_its_uri_and_a_fix(mcp_http: McpCaller) -> None:
    for uri, code in {
        "workflow://absent": "workflow_not_found",
        "workflow://absent/versions/one": "workflow_not_found",
        "execution://absent": "execution_not_found",
        "node-type://absent": "node_not_found",
        "nothing://at/all": "resource_not_found",
    }.items():
        with pytest.raises(MCPError) as caught:
            await mcp_http.client.read_resource(uri)
        error = caught.value.error
        assert (error.code, error.data["uri"], error.data["code"]) == (types.INVALID_PARAMS, uri, code)
        assert error.data["fix"]


async def test_every_resource_is_listed_once_page_by_page_in_an_order_that_stays(mcp_http: McpCaller) -> None:
    made = [await mcp_http.create({"start": START}, name=f"listed {number}") for number in range(60)]

    async def every() -> list[str]:
        uris: list[str] = []
        cursor = None
        while True:
            page = await mcp_http.client.list_resources(cursor=cursor)
            uris += [str(each.uri) for each in page.resources]
            cursor = page.next_cursor
            if cursor is None:
                return uris

    uris = await every()
    ours = [uri for uri in uris if uri.removeprefix("workflow://") in made]
    assert ours == [f"workflow://{each}" for each in reversed(made)]
    assert len(set(uris)) == len(uris)


@pytest.mark.parametrize(
    "listing", ["list_tools", "list_prompts", "list_resources", "list_resource_templates"], ids=lambda name: name[5:]
)
async def test_a_cursor_of_another_list_is_an_error(mcp_http: McpCaller, listing: str) -> None:
    foreign = {"list_tools": "WyJwcm9tcHRzIiwxMDBd", "list_prompts": "WyJ0b29scyIsMTAwXQ"}.get(listing, "WzksIiJd")
    for cursor in (foreign, "nonsense"):
        with pytest.raises(MCPError) as caught:
            await getattr(mcp_http.client, listing)(cursor=cursor)
        assert caught.value.error.code == types.INVALID_PARAMS
        assert caught.value.error.data["pointer"] == "/cursor"


async def test_what_never_changes_may_be_kept_and_what_may_change_is_stale_at_once(mcp_http: McpCaller) -> None:
    workflow_id = await mcp_http.create({"start": START})
    ran = await mcp_http.call("execute_workflow", workflow_id=workflow_id)
    client = mcp_http.client
    kept = {
        "tools": await client.list_tools(),
        "templates": await client.list_resource_templates(),
        "workflow": await client.read_resource(f"workflow://{workflow_id}"),
        "version": await client.read_resource(f"workflow://{workflow_id}/versions/1"),
        "execution": await client.read_resource(f"execution://{ran['execution_id']}"),
        "node type": await client.read_resource("node-type://set"),
    }
    assert {name: result.ttl_ms for name, result in kept.items()} == {
        "tools": 0,
        "templates": SETTLED_MS,
        "workflow": 0,
        "version": SETTLED_MS,
        "execution": SETTLED_MS,
        "node type": SETTLED_MS,
    }
    assert {result.cache_scope for result in kept.values()} == {"private"}


async def test_variables_and_arguments_are_completed(mcp: McpCaller) -> None:
    nodes = {"start": START, "double up": DOUBLE}
    workflow_id = await mcp.create(nodes, ("start", "double up"), name="Zebra crossing")
    operations = [{"op": "set_workflow", "description": "more"}]
    await mcp.call("update_workflow", workflow_id=workflow_id, expected_version=1, operations=operations)
    ran = await mcp.call("execute_workflow", workflow_id=workflow_id, input={"n": 1})
    execution_id = ran["execution_id"]
    assert workflow_id in await complete(mcp, "workflow://{id}", "id", "zebra")
    assert await complete(mcp, "workflow://{id}", "id", workflow_id[:-1]) == [workflow_id]
    assert await complete(mcp, "workflow://{id}/versions/{version}", "version", "", id=workflow_id) == ["2", "1"]
    assert execution_id in await complete(mcp, "execution://{id}", "id", execution_id[:8])
    nodes_of = "execution://{id}/nodes/{node}"
    assert await complete(mcp, nodes_of, "node", "dou", id=execution_id) == ["double up"]
    assert await complete(mcp, nodes_of, "node", "", id="absent") == []
    assert (await complete(mcp, "node-type://{type}", "type", "s"))[0].startswith("s")
    assert execution_id in await complete(mcp, "debug_execution", "execution_id", execution_id[:8])
    assert await complete(mcp, "build_workflow", "trigger", "web") == ["webhook"]
    assert await complete(mcp, "build_workflow", "goal", "any") == []
    for ref, variable in (("workflow://{id}", "no"), ("workflow://{no}", "no"), ("build_workflow", "no"), ("no", "no")):
        with pytest.raises(MCPError) as caught:
            await complete(mcp, ref, variable, "")
        assert caught.value.error.code == types.INVALID_PARAMS


async def test_guides_are_prompts_with_arguments(mcp: McpCaller) -> None:
    listed = (await mcp.client.list_prompts()).prompts
    assert [prompt.name for prompt in listed][:2] == ["build_workflow", "debug_execution"]
    assert all(prompt.title and prompt.description for prompt in listed)
    got = await mcp.client.get_prompt("build_workflow", {"goal": "count {{goal}} sheep"})
    (message,) = got.messages
    assert isinstance(message.content, types.TextContent)
    assert "does this: count {{goal}} sheep" in message.content.text
    assert "whatever trigger fits" in message.content.text
    with pytest.raises(MCPError) as caught:
        await mcp.client.get_prompt("build_workflow", {"gaol": "count sheep"})
    assert "Did you mean 'goal'?" in caught.value.error.message
    with pytest.raises(MCPError) as caught:
        await mcp.client.get_prompt("debug_execution", {})
    assert (caught.value.error.code, caught.value.error.data["pointer"]) == (
        types.INVALID_PARAMS,
        "/arguments/execution_id",
    )
    with pytest.raises(MCPError):
        await mcp.client.get_prompt("absent", {})
