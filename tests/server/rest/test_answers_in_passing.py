"""Answers that come at the wrong moment: while an execution runs or is queued, or is being stored as waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from engine.dispatch.milestones import Milestone
from tests.support.here import here
from tests.support.http_target import HttpTarget
from tests.support.milestones import HeldMilestones
from tests.support.server_process import ServerProcess

APPROVED_BOTH: dict[str, Any] = {
    "name": "two approvals",
    "nodes": {
        "start": {"type": "manual"},
        "approve": {"type": "approval", "parameters": {"question": "May it go on?"}},
    },
    "connections": [["start", "approve"]],
}
ITEMS = [{"n": 1}, {"n": 2}]


async def test_an_answer_that_comes_while_the_waiting_is_being_stored_is_not_too_late(tmp_path: Path) -> None:
    milestones = HeldMilestones()
    async with here(tmp_path, milestones=milestones) as server:
        made = (await server.http.post("/api/workflows", json=APPROVED_BOTH)).json()
        path = f"/api/workflows/{made['workflow_id']}/execute"
        # The first answer comes while the waiting for both is being stored, the second one while that for the rest is.
        holds = [milestones.hold(Milestone.RUN_SAVED) for _ in ITEMS]
        running = asyncio.create_task(server.http.post(path, json={"input": ITEMS, "wait_seconds": 20}))
        answers = []
        for item, hold in enumerate(holds):
            execution_id = await hold.reached()
            answer = {"item": item, "data": {"choice": "approve"}}
            answers.append(asyncio.create_task(server.http.post(f"/api/executions/{execution_id}/resume", json=answer)))
            await milestones.come_to(Milestone.ANSWER_CHECKED, times=item + 1)
            hold.release()
        assert [(await answer).status_code for answer in answers] == [200, 200]
        ran = (await running).json()
        assert ran["status"] == "succeeded", "the caller that waits sees the end"
        assert "waits_until" not in ran


async def asked_beside_a_call(client: httpx2.AsyncClient, target: HttpTarget) -> str:
    """The id of an execution that asks two things while it waits for the target."""
    call = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    definition = {
        **APPROVED_BOTH,
        "nodes": {**APPROVED_BOTH["nodes"], "first": {"type": "limit", "parameters": {"max_items": 1}}, "call": call},
        "connections": [*APPROVED_BOTH["connections"], ["start", "first"], ["first", "call"]],
    }
    workflow_id = (await client.post("/api/workflows", json=definition)).json()["workflow_id"]
    started = await client.post(f"/api/workflows/{workflow_id}/execute", json={"input": ITEMS})
    async with asyncio.timeout(10):
        await target.arrived.wait()
    return str(started.json()["execution_id"])


async def test_an_answer_to_a_running_execution_is_kept_over_a_kill(data_dir: Path, target: HttpTarget) -> None:
    server = ServerProcess(data_dir)
    server.start()
    async with httpx2.AsyncClient(base_url=server.url) as client:
        execution_id = await asked_beside_a_call(client, target)
        path = f"/api/executions/{execution_id}"
        answered = await client.post(f"{path}/resume", json={"item": 1, "data": {"choice": "approve"}})
        assert answered.status_code == 200
        assert answered.json()["status"] == "running"
    server.kill()
    target.release.set()
    with server:
        async with httpx2.AsyncClient(base_url=server.url) as client, asyncio.timeout(20):
            while (seen := (await client.get(path)).json())["status"] != "waiting":
                continue
    assert [each["item_index"] for each in seen["waiting"]] == [0]


async def test_what_waits_is_seen_while_the_execution_is_queued_again(data_dir: Path, target: HttpTarget) -> None:
    async with here(data_dir, worker_concurrency=1) as server:
        asks = await server.execution(APPROVED_BOTH, input=ITEMS)
        busy = await asked_beside_a_call(server.http, target)
        path = f"/api/executions/{asks['execution_id']}"
        answered = await server.http.post(f"{path}/resume", json={"item": 1, "data": {"choice": "approve"}})
        seen = (await server.http.get(path)).json()
        assert (answered.json()["status"], seen["status"]) == ("queued", "queued")
        assert [each["item_index"] for each in seen["waiting"]] == [0]
        target.release.set()
        await server.seen(busy)
