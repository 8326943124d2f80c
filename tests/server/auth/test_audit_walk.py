"""Everything that changes something, over REST and MCP, is in the audit log: once, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.http_target import HttpTarget
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess
from tests.support.tenants import Tenant, registered

MANUAL = {"name": "plain", "nodes": {"start": {"type": "manual"}}}
WAITING = {
    "name": "waiting",
    "nodes": {"start": {"type": "manual"}, "pause": {"type": "wait", "parameters": {"for_call": True}}},
    "connections": [["start", "pause"]],
}
TOOL = {"name": "own_tool", "description": "Does nothing."}


def asking(target: HttpTarget, path: str = "walk") -> dict[str, Any]:
    """A workflow that a webhook starts and that asks a server which fails."""
    ask = {"url": f"{target.url}/status/503?token=hush", "method": "POST", "json_body": "={{ $json.body }}"}
    return {
        "name": "asking",
        "nodes": {
            "start": {"type": "webhook", "parameters": {"path": path}},
            "ask": {"type": "http_request", "parameters": ask, "retry": {"max_attempts": 1}},
        },
        "connections": [["start", "ask"]],
    }


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Tenant]:
    """A user on a server of their own."""
    settings = {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "warning"}
    with ServerProcess(tmp_path / "data", settings) as server:
        yield await registered(server.url, "ada")


class Walk:
    """Looks at what was noted since it looked last."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._seen: set[str] = set()

    async def entries(self) -> list[dict[str, Any]]:
        """New entries, the oldest first."""
        listed = (await self._http.get("/api/audit", params={"limit": 200})).json()["entries"]
        new = [each for each in reversed(listed) if each["id"] not in self._seen]
        self._seen |= {each["id"] for each in new}
        return new

    async def actions(self) -> list[str]:
        """What they say was done."""
        return [each["action"] for each in await self.entries()]

    async def send(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """A request that succeeds."""
        response = await self._http.request(method, path, json=body, **options)
        assert response.is_success, response.text
        return response.json() if response.content else None

    async def until(self, execution_id: str, status: str) -> None:
        """Return when the execution is in the state."""
        async with asyncio.timeout(20):
            while (await self.send("GET", f"/api/executions/{execution_id}"))["status"] != status:
                continue


async def dead_letter(walk: Walk) -> str:
    """An execution of the webhook's whose retries are spent."""
    accepted = await walk.send("POST", "/webhooks/walk", {"iban": "DE12"})
    execution_id = str(accepted["execution_id"])
    await walk.until(execution_id, "dead")
    return execution_id


async def test_every_change_over_rest_is_noted_once(owner: Tenant, target: HttpTarget) -> None:
    async with owner.http() as http:
        walk = Walk(http)
        await walk.actions()
        made = await walk.send("POST", "/api/workflows", MANUAL)
        workflow = f"/api/workflows/{made['workflow_id']}"
        (created,) = await walk.entries()
        assert (created["action"], created["subject"]) == ("workflow.created", f"workflow:{made['workflow_id']}")
        for method, path, body, noted in (
            ("PUT", "", {**MANUAL, "name": "other"}, "workflow.updated"),
            ("PATCH", "", {"description": "changed"}, "workflow.updated"),
            ("POST", "/versions/1/restore", None, "workflow.updated"),
            ("POST", "/publish", {"tool": TOOL}, "workflow.published"),
            ("DELETE", "/tool", None, "workflow.tool_withdrawn"),
            ("POST", "/unpublish", None, "workflow.unpublished"),
            ("DELETE", "", None, "workflow.deleted"),
            ("POST", "/restore", None, "workflow.restored"),
            ("POST", "/execute", {"input": {"iban": "DE12"}, "wait_seconds": 10}, "execution.started"),
        ):
            await walk.send(method, workflow + path, body)
            assert await walk.actions() == [noted], f"{method} {path}"
        for path in (workflow, f"{workflow}/versions", f"{workflow}/difference?base_version=1", "/api/executions"):
            await walk.send("GET", path)
        assert (await http.put(workflow, json={"name": "no nodes"})).status_code == 400
        assert (await http.post(f"{workflow}/unpublish")).status_code == 409
        assert await walk.actions() == [], "reading and what was refused change nothing"

        made = await walk.send("POST", "/api/workflows", WAITING, params={"publish": True})
        assert await walk.actions() == ["workflow.created", "workflow.published"]
        for action, noted in (("resume", "execution.resumed"), ("cancel", "execution.cancelled")):
            started = await walk.send("POST", f"/api/workflows/{made['workflow_id']}/execute")
            await walk.until(started["execution_id"], "waiting")
            await walk.send("POST", f"/api/executions/{started['execution_id']}/{action}")
            assert await walk.actions() == ["execution.started", noted]
        await walk.send("POST", f"/api/executions/{started['execution_id']}/rerun", {"node": "pause"})
        (rerun,) = await walk.entries()
        assert (rerun["action"], rerun["details"]["of"]) == ("execution.rerun", started["execution_id"])

        await walk.send("POST", "/api/workflows", asking(target), params={"publish": True})
        execution_id = await dead_letter(walk)
        entries = await walk.entries()
        assert [each["action"] for each in entries] == [
            "workflow.created",
            "workflow.published",
            "effect.sent",
            "effect.failed",
        ]
        sent = entries[2]
        assert (sent["user_id"], sent["client"]) == ("webhook", "webhook")
        assert (sent["subject"], sent["details"]["target"]) == (
            f"execution:{execution_id}",
            f"POST {target.url}/status/503",
        )
        for action, noted in (("redrive", "execution.redriven"), ("retry", "execution.retried")):
            await walk.send("POST", f"/api/executions/{execution_id}/{action}")
            await walk.until(execution_id, "dead")
            # The worker may note its own entry before the request's is noted.
            assert sorted(await walk.actions()) == ["effect.failed", "effect.sent", noted]
        everything = str((await http.get("/api/audit", params={"limit": 200})).json())
        assert "hush" not in everything
        assert "DE12" not in everything
        assert owner.token not in everything


async def test_every_change_over_mcp_is_noted_once_with_its_client(owner: Tenant, target: HttpTarget) -> None:
    async with owner.http() as http, owner.mcp() as mcp:
        walk = Walk(http)
        await walk.actions()

        async def noted_by(called: str, /, **arguments: Any) -> list[str]:
            await mcp.call(called, **arguments)
            return await walk.actions()

        made = await mcp.call("create_workflow", definition=WAITING)
        (created,) = await walk.entries()
        assert (created["action"], created["user_id"]) == ("workflow.created", owner_id(created))
        workflow_id = made["workflow_id"]
        patch = [{"op": "patch", "patch": [{"op": "replace", "path": "/name", "value": "renamed"}]}]
        assert await noted_by("update_workflow", workflow_id=workflow_id, expected_version=1, operations=patch) == [
            "workflow.updated"
        ]
        assert await noted_by("publish_workflow", workflow_id=workflow_id, tool=TOOL) == ["workflow.published"]
        withdraw = {"workflow_id": workflow_id, "action": "withdraw_tool"}
        assert await noted_by("publish_workflow", **withdraw) == ["workflow.tool_withdrawn"]
        unpublish = {"workflow_id": workflow_id, "action": "unpublish"}
        assert await noted_by("publish_workflow", **unpublish) == ["workflow.unpublished"]
        for action, noted in (("resume", "execution.resumed"), ("cancel", "execution.cancelled")):
            started = await mcp.call("execute_workflow", workflow_id=workflow_id, wait_seconds=0)
            await walk.until(started["execution_id"], "waiting")
            await mcp.call("control_execution", execution_id=started["execution_id"], action=action)
            assert await walk.actions() == ["execution.started", noted]
        assert await noted_by("control_execution", execution_id=started["execution_id"], action="rerun") == [
            "execution.rerun"
        ]
        assert await noted_by("delete_workflow", workflow_id=workflow_id) == ["workflow.deleted"]

        await mcp.call("create_workflow", definition=asking(target), publish=True)
        execution_id = await dead_letter(walk)
        await walk.actions()
        for action, noted in (("redrive", "execution.redriven"), ("retry", "execution.retried")):
            await mcp.call("control_execution", execution_id=execution_id, action=action)
            await walk.until(execution_id, "dead")
            assert sorted(await walk.actions()) == ["effect.failed", "effect.sent", noted]
        discard = {"execution_id": execution_id, "action": "discard"}
        assert await noted_by("control_execution", **discard) == ["execution.discarded"]
        for tool, arguments in (
            ("list_workflows", {}),
            ("find_nodes", {"query": "http"}),
            ("list_executions", {}),
            ("inspect_execution", {"execution_id": execution_id}),
            ("validate_workflow", {"definition": MANUAL}),
        ):
            assert await noted_by(tool, **arguments) == [], "reading changes nothing"


def owner_id(entry: dict[str, Any]) -> str:
    """The user of an entry, who is no machine and nobody."""
    user_id = str(entry["user_id"])
    assert len(user_id) == 36
    return user_id


async def test_a_key_that_was_used_twice_starts_and_notes_one_execution(owner: Tenant) -> None:
    async with owner.http() as http:
        walk = Walk(http)
        made = await walk.send("POST", "/api/workflows", MANUAL)
        await walk.actions()
        for _ in range(2):
            await walk.send(
                "POST", f"/api/workflows/{made['workflow_id']}/execute", headers={"idempotency-key": "once"}
            )
        assert await walk.actions() == ["execution.started"]


async def test_an_api_key_is_named_as_the_client(owner: Tenant) -> None:
    async with owner.http() as http:
        walk = Walk(http)
        key = await walk.send("POST", "/api/keys", {"name": "ci", "scopes": ["workflows:*"]})
        await walk.actions()
        with_key = {"authorization": f"Bearer {key['key']}"}
        await walk.send("POST", "/api/workflows", MANUAL, headers=with_key)
        (created,) = await walk.entries()
        assert created["client"] == "API key ci"
        async with Tenant(owner.url, "", key["key"], "").mcp() as mcp:
            assert isinstance(mcp, McpCaller)
            assert {"create_workflow"} <= {tool.name for tool in (await mcp.client.list_tools()).tools}
        response = await http.post(f"/api/workflows/{created['subject'][9:]}/execute", headers=with_key)
        assert response.json()["code"] == "insufficient_scope"
