"""What a workspace knows of actions: who has declared one a read, and the shape of its last result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client

from tests.doubles.mcp_server import McpDouble, running_mcp_double, tool
from tests.support.here import Here, here
from tests.support.server_process import ServerProcess
from tests.support.tenants import Tenant, registered

EFFECT = "/api/integrations/shop/actions/order/effect"
READ = {"effect": "read"}
TEXT = {"type": "string"}


@pytest.fixture
async def double() -> AsyncIterator[McpDouble]:
    async with running_mcp_double() as made:
        yield made


async def connect(http: httpx2.AsyncClient, double: McpDouble, **settings: Any) -> dict[str, Any]:
    made = await http.post(
        "/api/integrations", json={"name": "shop", "kind": "mcp", "settings": {"url": double.url, **settings}}
    )
    assert made.status_code == 201, made.text
    return dict(made.json())


async def found(server: Here, action: str = "order", **arguments: Any) -> dict[str, Any]:
    async with Client(server.services.mcp) as agent:
        answer = await agent.call_tool("find_actions", {"connection": "shop", "action": action, **arguments})
    assert answer.structured_content is not None, answer.content
    return answer.structured_content


async def test_a_new_connection_answers_with_its_actions_over_rest_and_to_agents(
    tmp_path: Path, double: McpDouble
) -> None:
    async with here(tmp_path) as server:
        made = await connect(server.http, double)
        by_name = {each["action"]: each for each in made["actions"]}
        assert list(by_name) == ["broken", "echo", "order", "order_size", "steps"]
        assert by_name["echo"]["input_schema"]["required"] == ["text"]
        assert (by_name["echo"]["effect"], "effect_note" in by_name["echo"]) == ("read", False)
        assert by_name["order"]["effect_note"] == "assumed write: the server does not say"
        async with Client(server.services.mcp) as agent:
            checked = await agent.call_tool("connect_integration", {"do": "check", "name": "shop"})
        assert checked.structured_content is not None
        assert checked.structured_content["actions"] == made["actions"]


async def test_of_many_actions_the_names_are_answered_and_how_to_see_the_rest(
    tmp_path: Path, double: McpDouble
) -> None:
    double.tools = [tool(f"tool_{number:03}", item=TEXT) for number in range(300)]
    async with here(tmp_path) as server:
        made = await connect(server.http, double)
        assert made["total"] == 300
        assert 20 < len(made["actions"]) < 300
        assert all("input_schema" not in each for each in made["actions"])
        left_out = 300 - len(made["actions"])
        assert made["more"].startswith(f"{left_out} more are not shown; find_actions (connection: shop)")
        async with Client(server.services.mcp) as agent:
            checked = await agent.call_tool("connect_integration", {"do": "check", "name": "shop"})
        assert "is_cut" not in (checked.structured_content or {})


async def test_a_declared_read_is_a_read_for_plans_and_doubts_until_it_is_withdrawn(
    tmp_path: Path, double: McpDouble
) -> None:
    order = {"connection": "shop", "tool": "order", "arguments": {"item": "tea"}, "on_doubt": "fail"}
    definition = {
        "name": "orders",
        "nodes": {"start": {"type": "manual"}, "order": {"type": "mcp_tool", "parameters": order}},
        "connections": [["start", "order"]],
    }
    async with here(tmp_path) as server:
        await connect(server.http, double)
        assert (await found(server))["is_repeatable"] is False
        made = (await server.http.post("/api/workflows", json={**definition, "name": "planned"})).json()
        plan = {"workflow_id": made["workflow_id"], "input": {}}
        async with Client(server.services.mcp) as agent:
            before = await agent.call_tool("plan_execution", plan)
            declared = await server.http.put(EFFECT, json=READ)
            assert declared.status_code == 200, declared.text
            assert declared.json()["effect_note"] == "read: declared by a person"
            after = await agent.call_tool("plan_execution", plan)
        assert "assumed write: the server does not say" in str(before.content)
        assert "read: declared by a person" in str(after.content)
        assert (await found(server))["effect"] == "read"
        double.statuses = [500]
        ran = await server.execution(definition)
        assert (ran["status"], len(double.ordered)) == ("succeeded", 1), "a read is tried again, and not in doubt"
        withdrawn = await server.http.delete(EFFECT)
        assert withdrawn.json()["effect_note"] == "assumed write: the server does not say"
        double.statuses = [500]
        ran = await server.execution(definition)
        assert (ran["status"], ran["error"]["code"]) == ("failed", "action_in_doubt")


@pytest.mark.parametrize("change", ["schema", "description", "address", "connected anew", "now said"])
async def test_a_declaration_is_gone_when_the_action_may_be_another(
    tmp_path: Path, double: McpDouble, change: str
) -> None:
    async with running_mcp_double() as other, here(tmp_path) as server:
        await connect(server.http, double)
        assert (await server.http.put(EFFECT, json=READ)).status_code == 200
        await server.http.patch(
            "/api/integrations/shop", json={"settings": {"url": double.url, "pinned": ["order"], "allow": ["order*"]}}
        )
        assert (await found(server))["effect"] == "read", "what is pinned and allowed changes no action"
        same = next(each for each in double.tools if each.name == "order")
        if change == "schema":
            same.input_schema["properties"]["amount"] = {"type": "integer"}
        elif change == "description":
            same.description = "Orders, and deletes the account."
        elif change == "now said":
            same.annotations = types.ToolAnnotations(read_only_hint=False)
        elif change == "address":
            await server.http.patch("/api/integrations/shop", json={"settings": {"url": other.url}})
        else:
            await server.http.delete("/api/integrations/shop")
            await connect(server.http, double)
        assert (await server.http.post("/api/integrations/shop/check")).status_code == 200
        seen = await found(server)
        assert (seen["effect"], seen.get("effect_note") is None) == ("write", change == "now said")


async def test_what_the_other_side_says_cannot_be_declared(tmp_path: Path, double: McpDouble) -> None:
    double.tools.append(tool("wipe", annotations=types.ToolAnnotations(destructive_hint=True), item=TEXT))
    async with here(tmp_path) as server:
        await connect(server.http, double)
        refused = await server.http.put("/api/integrations/shop/actions/wipe/effect", json=READ)
        assert (refused.status_code, refused.json()["code"]) == (409, "effect_known")
        wrong = await server.http.put(EFFECT, json={"effect": "write"})
        assert (wrong.status_code, wrong.json()["pointer"]) == (400, "/effect")
        unknown = await server.http.put("/api/integrations/shop/actions/ordr/effect", json=READ)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "action_not_found")


async def test_a_recent_results_shape_is_shown_without_its_values(tmp_path: Path, double: McpDouble) -> None:
    async with here(tmp_path) as server:
        await connect(server.http, double)
        assert "last_result" not in await found(server, "echo")
        await server.run(text="hush hush")
        seen = await found(server, "echo")
        assert seen["last_result"]["shape"] == "string"
        listed = await server.http.get("/api/integrations/shop/actions", params={"text": "echo"})
        assert listed.json()["actions"][0]["last_result"] == seen["last_result"]
        assert "hush" not in listed.text
        await server.http.delete("/api/integrations/shop")
        await connect(server.http, double)
        assert "last_result" not in await found(server, "echo"), "it went with its connection"


async def test_programs_declare_nothing_and_another_workspace_sees_nothing(tmp_path: Path, double: McpDouble) -> None:
    settings = {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "warning"}
    with ServerProcess(tmp_path / "data", settings) as process:
        ada, eve = await registered(process.url, "ada"), await registered(process.url, "eve")
        async with ada.http() as ours, eve.http() as theirs:
            await connect(ours, double)
            await connect(theirs, double)
            key = await ours.post("/api/keys", json={"name": "agent", "scopes": ["integrations:*", "executions:run"]})
            async with httpx2.AsyncClient(
                base_url=process.url, headers={"authorization": f"Bearer {key.json()['key']}"}
            ) as agent:
                refused = await agent.put(EFFECT, json=READ)
                assert (refused.status_code, refused.json()["code"]) == (403, "own_login_needed")
            assert (await ours.put(EFFECT, json=READ)).status_code == 200
            await run(ada)
            assert await order(ours) == ("read", True)
            assert await order(theirs) == ("write", False)
            assert (await theirs.delete(EFFECT)).status_code == 200
            assert await order(ours) == ("read", True), "what others withdraw is their own"
            noted = (await ours.get("/api/audit")).json()["entries"]
            declared = next(each for each in noted if each["action"] == "action.declared_read")
            ada_id = (await ours.get("/auth/me")).json()["user_id"]
            assert (declared["user_id"], declared["subject"]) == (ada_id, "action:shop/order")


async def order(http: httpx2.AsyncClient) -> tuple[str, bool]:
    """The effect of the action, and whether a result was seen."""
    listed = (await http.get("/api/integrations/shop/actions")).json()["actions"]
    one = next(each for each in listed if each["action"] == "order")
    return one["effect"], "last_result" in one


async def run(tenant: Tenant) -> None:
    """Run the action by a workflow."""
    node = {"type": "mcp_tool", "parameters": {"connection": "shop", "tool": "order", "arguments": {"item": "tea"}}}
    definition = {
        "name": "orders",
        "nodes": {"start": {"type": "manual"}, "order": node},
        "connections": [["start", "order"]],
    }
    async with tenant.http() as http:
        made = (await http.post("/api/workflows", json=definition)).json()
        ran = await http.post(f"/api/workflows/{made['workflow_id']}/execute", json={"wait_seconds": 20})
        assert ran.json()["status"] == "succeeded", ran.text
