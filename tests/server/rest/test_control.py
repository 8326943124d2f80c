"""Submission and control: keys, limits, priorities; dead letters, error workflows; running again from a node."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx2

from tests.support.http_target import HttpTarget
from tests.support.mcp_caller import McpCaller

START = {"type": "manual"}
QUICK = {"max_attempts": 2, "first_delay_seconds": 0.01}


async def until(mcp: McpCaller, execution_id: str, *states: str) -> dict[str, Any]:
    """The execution when it is in one of the states."""
    async with asyncio.timeout(20):
        while True:
            seen = await mcp.call("inspect_execution", execution_id=execution_id, wait_seconds=1)
            if seen["status"] in states:
                return seen


def asking(url: str, **node: Any) -> dict[str, Any]:
    """Nodes that ask a URL."""
    return {"start": START, "ask": {"type": "http_request", "parameters": {"url": url}, **node}}


async def test_the_same_key_is_the_same_execution(mcp_http: McpCaller, http: httpx2.AsyncClient) -> None:
    workflow_id = await mcp_http.create({"start": START})
    key = uuid.uuid4().hex
    first = await mcp_http.call("execute_workflow", workflow_id=workflow_id, idempotency_key=key, input={"n": 1})
    again = await mcp_http.call("execute_workflow", workflow_id=workflow_id, idempotency_key=key, input={"n": 1})
    assert (again["execution_id"], again["repeated"], "repeated" in first) == (first["execution_id"], True, False)
    path = f"/api/workflows/{workflow_id}/execute"
    over_rest = await http.post(path, headers={"idempotency-key": key}, json={"input": {"n": 1}})
    assert (over_rest.json()["execution_id"], over_rest.json()["repeated"]) == (first["execution_id"], True)
    other = await mcp_http.call("execute_workflow", workflow_id=workflow_id, idempotency_key=key + "x")
    assert other["execution_id"] != first["execution_id"]


async def limited(mcp: McpCaller, target: HttpTarget, policy: str) -> str:
    """A workflow of which one execution runs at a time."""
    definition = {
        "name": "limited",
        "nodes": asking(f"{target.url}/wait"),
        "connections": [["start", "ask"]],
        "settings": {"concurrency": {"limit": 1, "policy": policy}},
    }
    return str((await mcp.call("create_workflow", definition=definition))["workflow_id"])


async def test_a_limit_holds_executions_back_or_rejects_them(mcp_http: McpCaller, target: HttpTarget) -> None:
    queueing, rejecting = await limited(mcp_http, target, "queue"), await limited(mcp_http, target, "reject")
    started = [
        await mcp_http.call("execute_workflow", workflow_id=workflow_id, wait_seconds=0)
        for workflow_id in (queueing, queueing, rejecting)
    ]
    refused = await mcp_http.fail("execute_workflow", workflow_id=rejecting, wait_seconds=0)
    assert refused["code"] == "concurrency_limit"
    async with asyncio.timeout(10):
        await target.arrived.wait()
    held = await mcp_http.call("inspect_execution", execution_id=started[1]["execution_id"])
    assert held["status"] == "queued"
    target.release.set()
    for each in started:
        await until(mcp_http, each["execution_id"], "succeeded")


async def test_a_webhooks_execution_whose_retries_are_spent_is_a_dead_letter(
    mcp_http: McpCaller, http: httpx2.AsyncClient, target: HttpTarget
) -> None:
    path = f"dead-{uuid.uuid4().hex[:8]}"
    nodes = asking("={{ $json.body.url }}", retry=QUICK)
    nodes["start"] = {"type": "webhook", "parameters": {"path": path}}
    workflow_id = await mcp_http.create(nodes, ("start", "ask"), publish=True)
    status = {"code": 503}
    answer = await http.post(f"/webhooks/{path}", json={"url": f"{target.url}/status/{status['code']}"})
    execution_id = answer.json()["execution_id"]
    dead = await until(mcp_http, execution_id, "dead")
    assert dead["error"]["code"] == "http_status"
    listed = await mcp_http.call("list_executions", workflow_id=workflow_id, status="dead")
    assert [each["execution_id"] for each in listed["executions"]] == [execution_id]
    await mcp_http.call("control_execution", execution_id=execution_id, action="redrive")
    assert (await until(mcp_http, execution_id, "dead"))["status"] == "dead"
    discarded = await mcp_http.call("control_execution", execution_id=execution_id, action="discard")
    assert discarded["status"] == "cancelled"
    again = await mcp_http.fail("control_execution", execution_id=execution_id, action="redrive")
    assert again["code"] == "illegal_transition"


async def test_the_error_workflow_hears_of_failures(mcp_http: McpCaller) -> None:
    handler = await mcp_http.create({"start": START, "note": {"type": "no_op"}}, ("start", "note"), name="handler")
    definition = {
        "name": "fails",
        "nodes": {"start": START, "bad": {"type": "stop_and_error", "parameters": {"message": "oh no"}}},
        "connections": [["start", "bad"]],
        "settings": {"error_workflow": handler},
    }
    workflow_id = (await mcp_http.call("create_workflow", definition=definition))["workflow_id"]
    failed = await mcp_http.call("execute_workflow", workflow_id=workflow_id)
    async with asyncio.timeout(10):
        while not (listed := await mcp_http.call("list_executions", workflow_id=handler))["executions"]:
            await asyncio.to_thread(lambda: None)
    seen = await until(mcp_http, listed["executions"][0]["execution_id"], "succeeded")
    note = seen["output"]["items"]["note"][0]
    assert note["execution"]["id"] == failed["execution_id"]
    assert note["error"]["message"] == "oh no"


async def test_a_retry_starts_where_it_failed_and_only_what_failed_is_retried(
    mcp_http: McpCaller, http: httpx2.AsyncClient, target: HttpTarget
) -> None:
    fail = {"type": "stop_and_error", "parameters": {"message": "oh no"}}
    workflow_id = await mcp_http.create(
        {**asking(f"{target.url}/echo"), "fail": fail}, ("start", "ask"), ("ask", "fail")
    )
    first = await mcp_http.call("execute_workflow", workflow_id=workflow_id)
    again = await mcp_http.call("control_execution", execution_id=first["execution_id"], action="retry")
    assert again["rerun_of"] == first["execution_id"]
    await until(mcp_http, again["execution_id"], "failed")
    assert len(target.received) == 1, "the request before the failure was not sent again"
    answer = await http.post(f"/api/executions/{first['execution_id']}/retry")
    assert (answer.status_code, answer.json()["rerun_of"]) == (202, first["execution_id"])
    whole = await mcp_http.create({"start": {"type": "manual"}})
    ended = await mcp_http.call("execute_workflow", workflow_id=whole)
    refused = await mcp_http.fail("control_execution", execution_id=ended["execution_id"], action="retry")
    assert refused["code"] == "illegal_transition"
    assert (await http.post(f"/api/executions/{ended['execution_id']}/retry")).status_code == 409


async def test_running_again_from_a_node_keeps_what_came_before(mcp_http: McpCaller, target: HttpTarget) -> None:
    nodes = {
        **asking(f"{target.url}/echo"),
        "check": {"type": "if", "parameters": {"condition": "={{ $json.status === 200 }}"}},
        "pick": {"type": "set", "parameters": {"fields": {"path": "={{ $json.body.path }}"}, "keep_input": False}},
    }
    workflow_id = await mcp_http.create(nodes, ("start", "ask"), ("ask", "check"), ("check.true", "pick"))
    first = await mcp_http.call("execute_workflow", workflow_id=workflow_id)
    assert len(target.received) == 1
    again = await mcp_http.call("control_execution", execution_id=first["execution_id"], action="rerun", node="check")
    assert again["rerun_of"] == first["execution_id"]
    done = await until(mcp_http, again["execution_id"], "succeeded")
    assert done["output"] == {"items": {"pick": [{"path": "/echo"}]}}
    assert len(target.received) == 1, "the request before the node was not sent again"
    changes = {"parameters": {"fields": {"path": "edited"}}}
    operations = [{"op": "update_node", "name": "pick", "changes": changes}]
    await mcp_http.call("update_workflow", workflow_id=workflow_id, expected_version=1, operations=operations)
    edited = await mcp_http.call(
        "control_execution", execution_id=first["execution_id"], action="rerun", node="pick", version="current"
    )
    assert (await until(mcp_http, edited["execution_id"], "succeeded"))["output"] == {
        "items": {"pick": [{"path": "edited"}]}
    }
    assert len(target.received) == 1
    whole = await mcp_http.call("control_execution", execution_id=first["execution_id"], action="rerun")
    await until(mcp_http, whole["execution_id"], "succeeded")
    assert len(target.received) == 2
    unknown = await mcp_http.fail(
        "control_execution", execution_id=first["execution_id"], action="rerun", node="absent"
    )
    assert unknown["code"] == "node_not_found"


async def test_a_test_run_sends_nothing(mcp_http: McpCaller, target: HttpTarget) -> None:
    workflow_id = await mcp_http.create(asking(f"{target.url}/echo"), ("start", "ask"))
    ran = await mcp_http.call("execute_workflow", workflow_id=workflow_id, mode="test", input={"n": 1})
    assert ran["output"] == {"items": {"ask": [{"n": 1, "mocked": "http_request"}]}}
    pinned = await mcp_http.call(
        "execute_workflow", workflow_id=workflow_id, mode="test", pins={"ask": [{"status": 200}]}
    )
    assert pinned["output"] == {"items": {"ask": [{"status": 200}]}}
    assert target.received == []


async def test_a_node_that_tries_again_says_so(mcp_http: McpCaller, target: HttpTarget) -> None:
    nodes = asking(f"{target.url}/status/503", retry={"max_attempts": 3, "first_delay_seconds": 600})
    nodes["ask"]["retry"]["max_delay_seconds"] = 600
    workflow_id = await mcp_http.create(nodes, ("start", "ask"))
    ran = await mcp_http.call("execute_workflow", workflow_id=workflow_id, wait_seconds=0)
    async with asyncio.timeout(10):
        while "retrying" not in (seen := await mcp_http.call("inspect_execution", execution_id=ran["execution_id"])):
            await asyncio.to_thread(lambda: None)
    assert "503" in seen["retrying"]["ask"]
    await mcp_http.call("control_execution", execution_id=ran["execution_id"], action="cancel")


async def test_every_durability_gives_the_same_result(mcp_http: McpCaller) -> None:
    for durability in ("effects", "every_node", "none"):
        definition = {
            "name": durability,
            "nodes": {"start": START, "set": {"type": "set", "parameters": {"fields": {"x": 1}}}},
            "connections": [["start", "set"]],
            "settings": {"durability": durability},
        }
        workflow_id = (await mcp_http.call("create_workflow", definition=definition))["workflow_id"]
        ran = await mcp_http.call("execute_workflow", workflow_id=workflow_id, input={"n": 1})
        seen = await until(mcp_http, ran["execution_id"], "succeeded")
        assert seen["output"] == {"items": {"set": [{"n": 1, "x": 1}]}}


async def test_a_plan_tells_every_effect_and_its_hash_holds_a_run_to_it(
    mcp_http: McpCaller, target: HttpTarget
) -> None:
    nodes = {
        "start": START,
        "post": {
            "type": "http_request",
            "parameters": {"url": f"{target.url}/echo", "method": "POST", "json_body": {"n": "={{ $json.n }}"}},
        },
        "then": {"type": "http_request", "parameters": {"url": "={{ $json.body.next.url }}"}},
    }
    workflow_id = await mcp_http.create(nodes, ("start", "post"), ("post", "then"))
    planned = await mcp_http.call("plan_execution", workflow_id=workflow_id, input=[{"n": 1}, {"n": 2}])
    first, second, third, _ = planned["effects"]
    assert first == {
        "node": "post",
        "type": "http_request",
        "item_index": 0,
        "parameters": {"url": f"{target.url}/echo", "method": "POST", "json_body": {"n": 1}},
        "repeatable": False,
    }
    assert second["parameters"]["json_body"] == {"n": 2}
    assert "next" in third["unknown"]
    assert target.received == []
    other = await mcp_http.fail(
        "execute_workflow", workflow_id=workflow_id, input={"n": 3}, plan_hash=planned["plan_hash"]
    )
    assert (other["code"], other["pointer"]) == ("plan_changed", "/plan_hash")
    assert target.received == []
    ran = await mcp_http.call(
        "execute_workflow", workflow_id=workflow_id, input=[{"n": 1}, {"n": 2}], plan_hash=planned["plan_hash"]
    )
    assert ran["status"] == "failed"
    assert len(target.received) == 2
