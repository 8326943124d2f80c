"""Executions that wait: for a time, a call, a person, another workflow; and what wakes them, restarts included."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess

START = {"type": "manual"}


def behind(**node: Any) -> dict[str, Any]:
    """A definition with one node named ``node`` behind the start, and what follows it."""
    after = {"type": "set", "parameters": {"fields": {"after": True}}}
    outputs = node.pop("outputs", [""])
    return {
        "name": "waiting",
        "nodes": {"start": START, "node": node, "after": after},
        "connections": [["start", "node"], *([f"node.{output}" if output else "node", "after"] for output in outputs)],
    }


async def run(mcp: McpCaller, definition: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """A new workflow, executed."""
    made = await mcp.call("create_workflow", definition=definition)
    return await mcp.call("execute_workflow", workflow_id=made["workflow_id"], **arguments)


async def ended(mcp: McpCaller, execution_id: str) -> dict[str, Any]:
    """The execution when it neither runs nor waits."""
    async with asyncio.timeout(30):
        while True:
            seen = await mcp.call("inspect_execution", execution_id=execution_id, wait_seconds=5, max_tokens=5000)
            if seen["status"] not in ("queued", "running", "waiting"):
                return seen


async def test_a_wait_goes_on_by_itself_when_its_time_is_over(mcp_http: McpCaller) -> None:
    ran = await run(mcp_http, behind(type="wait", parameters={"seconds": 0.3}), input={"n": 1}, wait_seconds=0)
    ran = await mcp_http.call("inspect_execution", execution_id=ran["execution_id"], wait_seconds=0.2)
    assert ran["status"] == "waiting"
    assert "waits_until" in ran
    done = await ended(mcp_http, ran["execution_id"])
    assert done["output"] == {"items": {"after": [{"n": 1, "after": True}]}}


async def test_a_call_to_the_signed_link_goes_on_once(mcp_http: McpCaller, http: httpx2.AsyncClient) -> None:
    ran = await run(mcp_http, behind(type="wait", parameters={"for_call": True}), input={"n": 1})
    seen = await mcp_http.call("inspect_execution", execution_id=ran["execution_id"])
    (waiting,) = seen["waiting"]
    assert (waiting["node"], waiting["for"]) == ("node", "call")
    forged = waiting["resume_url"][:-1] + ("0" if waiting["resume_url"][-1] != "0" else "1")
    assert (await http.get(forged)).status_code == 403
    answer = await http.post(waiting["resume_url"], json={"paid": True})
    assert answer.status_code == 200
    done = await ended(mcp_http, ran["execution_id"])
    assert done["output"]["items"]["after"] == [
        {"n": 1, "resume": {"by": "link", "data": {"paid": True}}, "after": True}
    ]
    again = await http.post(waiting["resume_url"], json={})
    assert (again.status_code, again.json()["code"]) == (409, "not_waiting")


APPROVAL = {"question": "=Refund {{ $json.amount }}?", "who": "the lead"}


async def test_an_agent_answers_an_approval(mcp_http: McpCaller) -> None:
    ran = await run(mcp_http, behind(type="approval", parameters=APPROVAL, outputs=["approve"]), input={"amount": 5})
    assert ran["status"] == "waiting"
    assert "control_execution" in ran["next"]
    seen = await mcp_http.call("inspect_execution", execution_id=ran["execution_id"])
    assert (seen["waiting"][0]["question"], seen["waiting"][0]["choices"]) == ("Refund 5?", ["approve", "reject"])
    wrong = await mcp_http.fail(
        "control_execution", execution_id=ran["execution_id"], action="resume", data={"choice": "maybe"}
    )
    assert "approve" in wrong["fix"]
    await mcp_http.call(
        "control_execution",
        execution_id=ran["execution_id"],
        action="resume",
        data={"choice": "approve", "comment": "fine"},
    )
    done = await ended(mcp_http, ran["execution_id"])
    answer = done["output"]["items"]["after"][0]["approval"]
    assert {name: answer[name] for name in ("choice", "comment", "by", "who")} == {
        "choice": "approve",
        "comment": "fine",
        "by": "agent",
        "who": "local",
    }


async def test_a_person_answers_an_approval_on_its_page(mcp_http: McpCaller, http: httpx2.AsyncClient) -> None:
    ran = await run(mcp_http, behind(type="approval", parameters=APPROVAL, outputs=["reject"]), input={"amount": "<5>"})
    seen = await mcp_http.call("inspect_execution", execution_id=ran["execution_id"])
    url = seen["waiting"][0]["resume_url"]
    page = await http.get(url)
    assert "Refund &lt;5&gt;?" in page.text
    assert (await mcp_http.call("inspect_execution", execution_id=ran["execution_id"]))["status"] == "waiting"
    answered = await http.post(url, data={"choice": "reject", "comment": "no"}, headers={"accept": "text/html"})
    assert "goes on" in answered.text
    done = await ended(mcp_http, ran["execution_id"])
    assert done["output"]["items"]["after"][0]["approval"]["choice"] == "reject"


async def test_an_approval_expires(mcp_http: McpCaller) -> None:
    parameters = {**APPROVAL, "expires_seconds": 0.2}
    ran = await run(mcp_http, behind(type="approval", parameters=parameters, outputs=["expired"]), input={"amount": 1})
    done = await ended(mcp_http, ran["execution_id"])
    answer = done["output"]["items"]["after"][0]["approval"]
    assert (answer["choice"], answer["comment"], answer["by"], "who" in answer) == ("expired", None, "timer", False)


async def test_a_waiting_execution_can_be_cancelled(mcp_http: McpCaller) -> None:
    ran = await run(mcp_http, behind(type="wait", parameters={"for_call": True}))
    cancelled = await mcp_http.call("control_execution", execution_id=ran["execution_id"], action="cancel")
    assert cancelled["status"] == "cancelled"


async def test_a_timer_fires_after_a_restart_and_a_person_may_answer_after_one(data_dir: Path) -> None:
    async def create(client: httpx2.AsyncClient, definition: dict[str, Any]) -> str:
        workflow_id = (await client.post("/api/workflows", json=definition)).json()["workflow_id"]
        answer = await client.post(f"/api/workflows/{workflow_id}/execute", json={"wait_seconds": 20})
        assert answer.json()["status"] == "waiting", answer.text
        return str(answer.json()["execution_id"])

    server = ServerProcess(data_dir)
    server.start()
    async with httpx2.AsyncClient(base_url=server.url) as client:
        timer = await create(client, behind(type="wait", parameters={"seconds": 1}))
        call = await create(client, behind(type="wait", parameters={"for_call": True}))
    server.kill()
    with server:
        async with httpx2.AsyncClient(base_url=server.url) as client, asyncio.timeout(20):
            assert (await client.post(f"/api/executions/{call}/resume", json={"data": 1})).status_code == 200
            for execution_id in (timer, call):
                while True:
                    seen = (await client.get(f"/api/executions/{execution_id}")).json()
                    if seen["status"] not in ("queued", "running", "waiting"):
                        break
                assert seen["status"] == "succeeded"


CHILD = {
    "name": "child",
    "nodes": {
        "start": START,
        "pause": {"type": "wait", "parameters": {"seconds": "={{ $json.pause ?? 0 }}"}},
        "check": {"type": "if", "parameters": {"condition": "={{ $json.n === 13 }}"}},
        "bad": {"type": "stop_and_error", "parameters": {"message": "unlucky"}},
        "double": {"type": "set", "parameters": {"fields": {"double": "={{ $json.n * 2 }}"}}},
    },
    "connections": [["start", "pause"], ["pause", "check"], ["check.true", "bad"], ["check.false", "double"]],
}


@pytest.mark.parametrize("pause", [0, 0.1])
async def test_other_workflows_run_as_steps_and_their_parents_wait_for_them(mcp_http: McpCaller, pause: float) -> None:
    child = (await mcp_http.call("create_workflow", definition=CHILD))["workflow_id"]
    node = {"type": "for_each", "parameters": {"workflow_id": child, "concurrency": 2}}
    ran = await run(mcp_http, behind(**node), input=[{"n": n, "pause": pause} for n in range(5)])
    done = await ended(mcp_http, ran["execution_id"])
    assert done["status"] == "succeeded", done
    results = done["output"]["items"]["after"]
    assert [each["output"]["items"]["double"][0]["double"] for each in results] == [0, 2, 4, 6, 8]
    listed = await mcp_http.call("list_executions", workflow_id=child)
    assert len(listed["executions"]) == 5


async def test_a_failed_child_fails_its_item(mcp_http: McpCaller) -> None:
    child = (await mcp_http.call("create_workflow", definition=CHILD))["workflow_id"]
    node = {"type": "execute_workflow", "parameters": {"workflow_id": child, "input": {"n": 13}}}
    ran = await run(mcp_http, behind(**node))
    done = await ended(mcp_http, ran["execution_id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "sub_workflow_failed")
    assert "unlucky" in done["error"]["message"]


async def test_a_child_nobody_waits_for_runs_on_its_own(mcp_http: McpCaller) -> None:
    child = (await mcp_http.call("create_workflow", definition=CHILD))["workflow_id"]
    node = {"type": "execute_workflow", "parameters": {"workflow_id": child, "wait": False}}
    ran = await run(mcp_http, behind(**node), input={"n": 4})
    assert ran["status"] == "succeeded"
    started = ran["output"]["items"]["after"][0]["execution_id"]
    assert (await ended(mcp_http, started))["output"]["items"]["double"][0]["double"] == 8
