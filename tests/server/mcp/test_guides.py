"""The guides name what is there, and following them to the letter works."""

from __future__ import annotations

import json
import re
from typing import Any

import mcp_types as types
import pytest

from prompts.guides import Guide, load_guides
from tests.support.mcp_caller import McpCaller

GUIDES = {guide.name: guide for guide in load_guides()}


@pytest.fixture(params=GUIDES.values(), ids=lambda guide: guide.name)
def guide(request: pytest.FixtureRequest) -> Guide:
    """Each guide."""
    found: Guide = request.param
    return found


async def test_a_guide_names_only_tools_and_parameters_that_are_there(guide: Guide, mcp_http: McpCaller) -> None:
    tools = {tool.name: tool for tool in (await mcp_http.client.list_tools()).tools}
    parameters = {name for tool in tools.values() for name in tool.input_schema["properties"]}
    words = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", guide.template))
    given = {"workflow_id", "execution_id", "items_out", "plan_hash", "update_node", "http_request"}
    assert words - tools.keys() - parameters - given == set()
    assert words & tools.keys()


def test_every_place_in_a_guide_is_an_argument(guide: Guide) -> None:
    places = set(re.findall(r"\{\{(\w+)(?:\|[^}]*)?\}\}", guide.template))
    assert places == {argument.name for argument in guide.arguments}


async def test_the_workflow_in_the_guide_is_built_planned_and_run_as_it_says(mcp_http: McpCaller) -> None:
    text = GUIDES["build_workflow"].render({"goal": "label large orders"})
    found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert found is not None
    definition: dict[str, Any] = json.loads(found[1])
    assert await mcp_http.call("validate_workflow", definition=definition) == {"valid": True, "findings": []}
    workflow_id = (await mcp_http.call("create_workflow", definition=definition))["workflow_id"]
    orders = [{"id": 1, "amount": 50}, {"id": 2, "amount": 500}]
    planned = await mcp_http.call("plan_execution", workflow_id=workflow_id, input=orders)
    tried = await mcp_http.call("execute_workflow", workflow_id=workflow_id, input=orders, mode="test")
    assert tried["status"] == "succeeded"
    ran = await mcp_http.call("execute_workflow", workflow_id=workflow_id, input=orders, plan_hash=planned["plan_hash"])
    assert ran["output"]["items"]["label"] == [{"id": 2, "amount": 500, "note": "Order 2 is large"}]


async def test_the_way_to_mend_an_execution_works_as_the_guide_says(mcp_http: McpCaller) -> None:
    nodes = {
        "start": {"type": "manual"},
        "sum": {"type": "set", "parameters": {"fields": {"total": "={{ $json.price.net * 2 }}"}}},
    }
    workflow_id = await mcp_http.create(nodes, ("start", "sum"))
    broken = await mcp_http.call("execute_workflow", workflow_id=workflow_id, input={"price": None})
    got = await mcp_http.client.get_prompt("debug_execution", {"execution_id": broken["execution_id"]})
    (message,) = got.messages
    assert isinstance(message.content, types.TextContent)
    assert f'execution_id "{broken["execution_id"]}"' in message.content.text
    seen = await mcp_http.call("inspect_execution", execution_id=broken["execution_id"], wait_seconds=30)
    (failed,) = [node["node"] for node in seen["nodes"] if "error" in node]
    inside = await mcp_http.call("inspect_execution", execution_id=broken["execution_id"], node=failed)
    assert inside["runs"][0]["inputs"] == [{"from": "start.main", "items": [{"price": None}]}]
    version = (await mcp_http.call("get_workflow", workflow_id=seen["workflow_id"]))["version"]
    changes = {"parameters": {"fields": {"total": "={{ ($json.price?.net ?? 0) * 2 }}"}}}
    operations = [{"op": "update_node", "name": failed, "changes": changes}]
    tried = await mcp_http.call("validate_workflow", workflow_id=workflow_id, operations=operations)
    assert tried["valid"]
    await mcp_http.call("update_workflow", workflow_id=workflow_id, expected_version=version, operations=operations)
    again = await mcp_http.call(
        "control_execution", execution_id=broken["execution_id"], action="rerun", node=failed, version="current"
    )
    ended = await mcp_http.call("inspect_execution", execution_id=again["execution_id"], wait_seconds=30)
    assert (ended["status"], ended["output"]["items"]["sum"]) == ("succeeded", [{"price": None, "total": 0}])
