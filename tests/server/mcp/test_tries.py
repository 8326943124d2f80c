"""Definitions that are tried: they run once, effects and all, and nothing of them is stored."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from engine.executions import tries
from engine.executions.tries import completed
from engine.nodes.registry import load_registry
from tests.support.here import here
from tests.support.http_target import HttpTarget
from tests.support.mcp_caller import McpCaller

SHAPE = {"type": "set", "parameters": {"fields": {"twice": "={{ $json.n * 2 }}"}}}


async def test_a_node_is_tried_by_itself(mcp: McpCaller) -> None:
    tried = await mcp.call("execute_workflow", definition={"nodes": {"shape": SHAPE}}, input=[{"n": 1}, {"n": 2}])
    assert tried["status"] == "succeeded"
    assert tried["output"] == {"items": {"shape": [{"n": 1, "twice": 2}, {"n": 2, "twice": 4}]}}
    assert tried["assumed"] == "Added a manual trigger 'start'."
    assert "execution_id" not in tried
    assert "create_workflow" in tried["next"]
    assert (await mcp.call("list_workflows", text="try"))["workflows"] == []


async def test_nodes_without_connections_run_in_the_order_in_which_they_stand(mcp: McpCaller) -> None:
    again = {"type": "set", "parameters": {"fields": {"four": "={{ $json.twice * 2 }}"}}}
    definition = {"name": "x", "nodes": {"shape": SHAPE, "again": again}}
    tried = await mcp.call("execute_workflow", definition=definition, input={"n": 3})
    assert tried["output"]["items"] == {"again": [{"n": 3, "twice": 6, "four": 12}]}
    assert "in the order in which they stand: shape, again" in tried["assumed"]
    assert list(tried["nodes"]) == ["start", "shape", "again"]


async def test_an_effect_happens_and_its_answer_is_seen(mcp: McpCaller, target: HttpTarget) -> None:
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/echo", "method": "POST", "json_body": {"a": 1}}}
    tried = await mcp.call("execute_workflow", definition={"nodes": {"ask": ask}})
    assert "→ 200" in tried["effects"]["ask"][0]
    assert len(target.received) == 1
    mocked = await mcp.call("execute_workflow", definition={"nodes": {"ask": ask}}, mode="test")
    assert (mocked["status"], mocked["mode"], len(target.received)) == ("succeeded", "test", 1)


async def test_a_failure_names_its_node_and_nothing_that_is_not_there(mcp: McpCaller) -> None:
    stop = {"type": "stop_and_error", "parameters": {"message": "No."}}
    tried = await mcp.call("execute_workflow", definition={"nodes": {"shape": SHAPE, "stop": stop}}, input={"n": 1})
    assert (tried["status"], tried["error"]["node"], tried["error"]["message"]) == ("failed", "stop", "No.")
    assert "inspect_execution" not in tried["next"]


async def test_a_definition_with_errors_is_refused_with_its_findings(mcp: McpCaller) -> None:
    failed = await mcp.fail("execute_workflow", definition={"nodes": {"shape": {"type": "sett"}}})
    assert failed["code"] == "invalid_definition"
    assert failed["findings"][0]["pointer"] == "/nodes/shape/type"


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"type": "wait", "parameters": {"seconds": 1}}, "it waits"),
        ({"type": "approval", "parameters": {"question": "?"}}, "waits for somebody"),
        ({"type": "execute_workflow", "parameters": {"workflow_id": "x"}}, "needs a stored execution"),
    ],
)
async def test_what_cannot_end_within_the_call_is_refused_before_anything_happens(
    mcp: McpCaller, node: dict[str, Any], says: str
) -> None:
    failed = await mcp.fail("execute_workflow", definition={"nodes": {"node": node}})
    assert failed["code"] == "invalid_arguments"
    assert says in failed["message"]
    assert failed["pointer"] == "/definition/nodes/node"


async def test_what_begins_to_wait_on_the_way_ends_the_try(mcp: McpCaller) -> None:
    asks = {"type": "ai_chat", "parameters": {"prompt": "Say hi.", "models": ["agent"]}}
    tried = await mcp.call("execute_workflow", definition={"nodes": {"asks": asks}})
    assert (tried["status"], tried["error"]["code"], tried["error"]["node"]) == ("failed", "try_cannot_wait", "asks")


async def test_a_try_ends_when_its_time_is_over(mcp: McpCaller, target: HttpTarget) -> None:
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    tried = await mcp.call("execute_workflow", definition={"nodes": {"ask": ask}}, wait_seconds=1)
    assert (tried["status"], tried["error"]["code"]) == ("failed", "execution_timeout")


@pytest.mark.parametrize("name", ["workflow_id", "version", "plan_hash", "idempotency_key", "priority"])
async def test_what_only_a_stored_workflow_has_is_refused_beside_a_definition(mcp: McpCaller, name: str) -> None:
    value: Any = {"version": 1, "priority": "low"}.get(name, "x")
    failed = await mcp.fail("execute_workflow", definition={"nodes": {"shape": SHAPE}}, **{name: value})
    assert (failed["code"], failed["pointer"]) == ("invalid_arguments", f"/{name}")


async def test_neither_a_workflow_nor_a_definition_is_said_to_be_nothing(mcp: McpCaller) -> None:
    failed = await mcp.fail("execute_workflow")
    assert (failed["code"], failed["pointer"]) == ("invalid_arguments", "/workflow_id")


async def test_over_rest_it_is_the_same_and_in_the_audit_log(tmp_path: Path) -> None:
    async with here(tmp_path) as server:
        body = {"definition": {"nodes": {"shape": SHAPE}}, "input": {"n": 5}}
        answer = await server.http.post("/api/executions", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["output"]["items"]["shape"] == [{"n": 5, "twice": 10}]
        assert [run["node"] for run in answer.json()["nodes"]] == ["start", "shape"]
        assert (await server.http.get("/api/executions")).json()["executions"] == []
        entries = (await server.http.get("/api/audit")).json()["entries"]
        assert [each["action"] for each in entries if each["action"].startswith("execution")] == ["execution.tried"]
        wrong = await server.http.post("/api/executions", json={"definition": {"nodes": {"shape": {"type": "x"}}}})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_definition")


async def test_a_workspace_has_a_few_at_once(
    tmp_path: Path, target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "MOST_AT_ONCE", 1)
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    async with here(tmp_path) as server:

        async def tried() -> httpx2.Response:
            return await server.http.post("/api/executions", json={"definition": {"nodes": {"ask": ask}}})

        first = asyncio.create_task(tried())
        async with asyncio.timeout(10):
            await target.arrived.wait()
        second = await tried()
        assert (second.status_code, second.json()["code"]) == (429, "too_many_tries")
        target.release.set()
        assert (await first).json()["status"] == "succeeded"


def test_a_definition_gets_only_what_it_lacks() -> None:
    whole = {"name": "x", "nodes": {"start": {"type": "manual"}, "shape": SHAPE}, "connections": [["start", "shape"]]}
    registry = load_registry()
    assert completed(whole, registry) == (whole, None)
    joined = {"nodes": {"start": SHAPE, "b": SHAPE, "c": SHAPE}, "connections": [["start", "b"]]}
    made, said = completed(joined, registry)
    assert made["connections"] == [["start 2", "start"], ["start 2", "c"], ["start", "b"]]
    assert said == "Added a manual trigger 'start 2' in front of what no connection leads to."
    for odd in (None, [], "x", {}, {"nodes": []}, {"nodes": {}}, {"nodes": {"a": 1}}):
        assert completed(odd, registry) == (odd, None)
