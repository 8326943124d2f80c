"""Runs that are approved by a plan: one run for a plan, for an hour, and what would be different is said."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.workflows.plans import SqlPlans
from tests.support.databases import database_of
from tests.support.engine import NOON
from tests.support.here import here
from tests.support.http_target import HttpTarget
from tests.support.mcp_caller import McpCaller
from workflow.plans import StoredPlan, differences


def asking(target: HttpTarget, path: str = "echo") -> dict[str, Any]:
    """A workflow that sends an order."""
    ask = {"url": f"{target.url}/{path}", "method": "POST", "json_body": "={{ $json }}"}
    return {
        "name": "Order",
        "nodes": {"start": {"type": "manual"}, "ask": {"type": "http_request", "parameters": ask}},
        "connections": [["start", "ask"]],
    }


async def planned(mcp: McpCaller, target: HttpTarget) -> dict[str, Any]:
    """The arguments of a run by plan."""
    made = await mcp.call("create_workflow", definition=asking(target))
    known = {"workflow_id": made["workflow_id"], "input": {"id": 7}}
    return {**known, "plan_hash": (await mcp.call("plan_execution", **known))["plan_hash"]}


async def test_a_plan_is_for_one_run(mcp: McpCaller, target: HttpTarget) -> None:
    run = await planned(mcp, target)
    assert (await mcp.call("execute_workflow", **run))["status"] == "succeeded"
    refused = await mcp.fail("execute_workflow", **run)
    assert (refused["code"], refused["pointer"]) == ("plan_used", "/plan_hash")
    assert len(target.received) == 1
    again = await mcp.call(refused["next"]["tool"], **refused["next"]["arguments"])
    assert (await mcp.call("execute_workflow", **{**run, "plan_hash": again["plan_hash"]}))["status"] == "succeeded"
    assert len(target.received) == 2


async def test_of_many_runs_at_once_by_one_plan_one_starts(mcp: McpCaller, target: HttpTarget) -> None:
    run = await planned(mcp, target)
    answers = await asyncio.gather(*(mcp.client.call_tool("execute_workflow", run) for _ in range(5)))
    assert sum(not answer.is_error for answer in answers) == 1
    assert len(target.received) == 1


async def test_the_same_request_again_gets_its_run(mcp: McpCaller, target: HttpTarget) -> None:
    run = {**await planned(mcp, target), "idempotency_key": "order 7"}
    first = await mcp.call("execute_workflow", **run)
    second = await mcp.call("execute_workflow", **run)
    assert (second["execution_id"], second["repeated"]) == (first["execution_id"], True)
    other = await mcp.fail("execute_workflow", **{**run, "idempotency_key": "another"})
    assert other["code"] == "plan_used"


async def test_what_would_be_different_is_said(mcp: McpCaller, target: HttpTarget) -> None:
    run = await planned(mcp, target)
    operation = {
        "op": "update_node",
        "name": "ask",
        "changes": {"parameters": asking(target, "x")["nodes"]["ask"]["parameters"]},
    }
    await mcp.call("update_workflow", workflow_id=run["workflow_id"], expected_version=1, operations=[operation])
    refused = await mcp.fail("execute_workflow", **run)
    assert refused["code"] == "plan_changed"
    assert f"node 'ask', item 0: url was '{target.url}/echo', now '{target.url}/x'" in refused["message"]
    assert target.received == []


async def test_who_approved_it_is_in_the_audit_log_and_an_old_plan_is_refused(
    tmp_path: Path, target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp.client.client import Client

    async with here(tmp_path) as server, Client(server.services.mcp) as client:
        mcp = McpCaller(client)
        run = await planned(mcp, target)
        ran = await mcp.call("execute_workflow", **run)
        entries = (await server.http.get("/api/audit")).json()["entries"]
        (approved,) = [each for each in entries if each["action"] == "execution.approved"]
        assert approved["subject"] == f"execution:{ran['execution_id']}"
        assert approved["details"]["planned_by"] == approved["user_id"]
        monkeypatch.setattr("engine.executions.plans.LASTS", timedelta(seconds=-1))
        old = await mcp.call("plan_execution", workflow_id=run["workflow_id"], input={"id": 8})
        refused = await mcp.fail("execute_workflow", **{**run, "input": {"id": 8}, "plan_hash": old["plan_hash"]})
        assert refused["code"] == "plan_expired"


def effect(node: str, item: int = 0, **parameters: Any) -> dict[str, Any]:
    """An effect as a plan shows it."""
    return {"node": node, "type": "http_request", "item_index": item, "parameters": parameters, "repeatable": False}


def test_differences_are_told_in_few_sentences() -> None:
    then = [effect("a", url="x"), effect("b"), effect("c", 1)]
    now = [effect("a", url="y" * 200), effect("b"), effect("d")]
    told = differences(then, now)
    assert told[0].startswith("node 'a', item 0: url was 'x', now 'yyy")
    assert len(told[0]) < 150
    assert told[1:] == ["node 'd', item 0: its effect was not planned", "node 'c', item 1: its effect is gone"]
    many = differences([], [effect("a", item) for item in range(9)])
    assert many[-1] == "and 4 more differences"
    assert differences(then, then) == ["the input or the version is another one"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_plans_are_kept_by_workspace(kind: str, tmp_path: Path) -> None:
    async with database_of(kind, tmp_path) as database:
        store = SqlPlans(database)
        plan = StoredPlan(owner="ann", hash="h", workflow_id="w", effects=[effect("a")], made_by="ann", made_at=NOON)
        await store.add(plan)
        assert await store.get("ann", "h") == plan
        assert await store.get("bob", "h") is None
        assert await store.use(plan, by="ann", at=NOON, key=None)
        assert not await store.use(plan, by="ann", at=NOON, key=None)
        await store.release(plan)
        assert await store.use(plan, by="ann", at=NOON, key="k")
        later = StoredPlan(
            owner="ann", hash="h", workflow_id="w", effects=[], made_by="ann", made_at=NOON + timedelta(minutes=1)
        )
        await store.add(later)
        assert not await store.use(plan, by="ann", at=NOON, key=None), "it was made anew"
        assert await store.get("ann", "h") == later
        assert await store.prune(made_before=NOON + timedelta(hours=1)) == 1
        assert await store.get("ann", "h") is None
