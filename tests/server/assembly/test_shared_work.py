"""Two processes' worth of Jobsprint on one database, broker and Redis: one serves, the other runs what comes in."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import httpx2
import pytest
import redis.asyncio as redis

from server.assembly.app import http_app
from server.assembly.composition import running_services
from server.assembly.core import Core, running_core
from server.settings.settings import Settings
from storage.queue.topology import Topology
from tests.support.brokers import topology_of_ones_own
from tests.support.haystack import postgresql_of_ones_own
from tests.support.here import BASE, Here
from tests.support.http_target import HttpTarget
from tests.support.services import RABBITMQ_URL, REDIS_URL, need
from tests.support.waiting import until
from workflow.identity import LOCAL_ACTOR
from workflow.states import ExecutionState

ONE_NODE = {
    "name": "one node",
    "nodes": {"start": {"type": "manual"}, "add": {"type": "set", "parameters": {"fields": {"two": "={{ 1 + 1 }}"}}}},
    "connections": [["start", "add"]],
}


@dataclass(slots=True)
class Shared:
    """What the processes of an installation have in common."""

    members: dict[str, Any]
    folder: Path
    topology: Topology

    def settings(self, name: str, **members: Any) -> Settings:
        """The settings of one of its processes."""
        return Settings(data_dir=self.folder / name, expression_workers=1, **{**self.members, **members})

    @asynccontextmanager
    async def server(self, name: str = "server") -> AsyncIterator[Here]:
        """A process that serves."""
        settings = self.settings(name)
        async with (
            running_services(settings, has_http=True) as services,
            http_app(settings, services) as app,
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app, client=("127.0.0.1", 5000)), base_url=BASE, timeout=60
            ) as http,
        ):
            yield Here(services, http)

    @asynccontextmanager
    async def worker(self, name: str = "worker") -> AsyncIterator[Core]:
        """A process that runs executions."""
        async with running_core(self.settings(name), has_http=True, concurrency=5) as core:
            yield core


@pytest.fixture(params=["redis", pytest.param("no redis", marks=pytest.mark.long)])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shared]:
    """An installation of the test's own; without Redis no event tells a process of another."""
    async with AsyncExitStack() as stack:
        topology = await stack.enter_async_context(topology_of_ones_own())
        members = {
            "database_url": await stack.enter_async_context(postgresql_of_ones_own()),
            "broker_url": RABBITMQ_URL,
            "namespace": topology.prefix,
            "secret_key": "k" * 48,
            "vault_keys": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "lease_seconds": 3,
            "outbound_allow": "127.0.0.1",
        }
        if request.param == "redis":
            need("Redis")
            members["redis_url"] = REDIS_URL
        yield Shared(members, tmp_path, topology)


async def made(server: Here, definition: dict[str, Any]) -> str:
    """The id of a new workflow."""
    answer = await server.http.post("/api/workflows", json=definition)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["workflow_id"])


async def executed(server: Here, workflow_id: str, **body: Any) -> dict[str, Any]:
    """What an execution came to within its time."""
    ran = await server.http.post(f"/api/workflows/{workflow_id}/execute", json={"wait_seconds": 20, **body})
    assert ran.status_code in (200, 202), ran.text
    return dict(ran.json())


async def until_state(server: Here, execution_id: str, *states: ExecutionState) -> None:
    """Wait until the execution is in one of these states."""

    async def is_there() -> bool:
        return (await server.services.reader.get("local", execution_id)).state in states

    await until(is_there, seconds=20)


async def test_what_one_process_takes_in_another_runs_and_the_caller_sees_the_end(shared: Shared) -> None:
    async with shared.server() as server, shared.worker():
        workflow_id = await made(server, ONE_NODE)
        results = await asyncio.gather(*(executed(server, workflow_id, input={"n": number}) for number in range(20)))
        assert [result["status"] for result in results] == ["succeeded"] * 20
        assert results[0]["output"]["items"]["add"] == [{"n": 0, "two": 2}]


async def test_what_comes_in_while_there_is_no_worker_waits_for_one(shared: Shared) -> None:
    async with shared.server() as server:
        workflow_id = await made(server, ONE_NODE)
        waiting = await executed(server, workflow_id, wait_seconds=0)
        assert waiting["status"] == "queued"
        async with shared.worker():
            await until_state(server, waiting["execution_id"], ExecutionState.SUCCEEDED)


@pytest.mark.parametrize("shared", ["redis"], indirect=True)
async def test_a_process_hears_only_of_what_it_has_asked_for(shared: Shared) -> None:
    settings = shared.settings("worker")
    async with shared.server(), shared.worker(), redis.from_url(REDIS_URL) as client:
        assert await client.publish(f"{settings.redis_prefix}events:of-a-workflow-nobody-watches", b"{}") == 0
        assert await client.publish(f"{settings.redis_prefix}changes", b"{}") == 2


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_webhook_gets_the_answer_of_the_process_that_runs_it(shared: Shared, size: int) -> None:
    async with shared.server() as server, shared.worker():
        body = {"got": "={{ $json.body.n }}", "much": "x" * size}
        nodes = {
            "hook": {"type": "webhook", "parameters": {"path": "leads"}},
            "answer": {"type": "respond", "parameters": {"status": 201, "headers": {"x-mine": "yes"}, "body": body}},
            "pause": {"type": "wait", "parameters": {"seconds": 60}},
        }
        definition = {"name": "hooked", "nodes": nodes, "connections": [["hook", "answer"], ["answer", "pause"]]}
        workflow_id = await made(server, definition)
        assert (await server.http.post(f"/api/workflows/{workflow_id}/publish", json={})).status_code == 200
        answers = await asyncio.gather(*(server.http.post("/webhooks/leads", json={"n": n}) for n in range(10)))
        assert [(each.status_code, each.headers["x-mine"], each.json()["got"]) for each in answers] == [
            (201, "yes", n) for n in range(10)
        ]


async def test_a_webhook_gets_the_failure_of_an_execution_that_another_process_runs(shared: Shared) -> None:
    async with shared.server() as server, shared.worker():
        nodes = {
            "hook": {"type": "webhook", "parameters": {"path": "leads"}},
            "fail": {"type": "stop_and_error", "parameters": {"message": "No."}},
            "answer": {"type": "respond"},
        }
        definition = {"name": "hooked", "nodes": nodes, "connections": [["hook", "fail"], ["fail", "answer"]]}
        workflow_id = await made(server, definition)
        assert (await server.http.post(f"/api/workflows/{workflow_id}/publish", json={})).status_code == 200
        answer = await server.http.post("/webhooks/leads", json={})
        assert (answer.status_code, answer.json()["code"]) == (500, "execution_failed")


async def test_what_another_process_runs_can_be_cancelled(shared: Shared, target: HttpTarget) -> None:
    async with shared.server() as server, shared.worker():
        call = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
        nodes = {"start": {"type": "manual"}, "call": call}
        workflow_id = await made(server, {"name": "slow", "nodes": nodes, "connections": [["start", "call"]]})
        ran = await executed(server, workflow_id, wait_seconds=0)
        await target.arrived.wait()
        cancelled = await server.services.control.cancel(LOCAL_ACTOR, ran["execution_id"])
        assert cancelled.state is ExecutionState.CANCELLED


APPROVAL = {
    "name": "approval",
    "nodes": {
        "start": {"type": "manual"},
        "ask": {"type": "approval", "parameters": {"question": "May it?"}},
        "add": {"type": "set", "parameters": {"fields": {"two": 2}}},
    },
    "connections": [["start", "ask"], ["ask.approve", "add"]],
}


async def test_what_waits_can_be_answered_at_any_server_once(shared: Shared) -> None:
    async with shared.server("a") as one, shared.server("b") as two, shared.worker():
        workflow_id = await made(one, APPROVAL)
        ran = await executed(one, workflow_id, input=[{"n": number} for number in range(4)])
        assert ran["status"] == "waiting"

        async def answer(server: Here, item: int) -> bool:
            path = f"/api/executions/{ran['execution_id']}/resume"
            body = {"node": "ask", "item": item, "data": {"choice": "approve"}}
            return (await server.http.post(path, json=body)).status_code < 300

        answers = await asyncio.gather(*(answer(server, item) for item in range(4) for server in (one, two)))
        assert sum(answers) >= 4
        await until_state(two, ran["execution_id"], ExecutionState.SUCCEEDED)
        seen = await one.seen(ran["execution_id"])
        assert [(item["n"], item["two"]) for item in seen["output"]["items"]["add"]] == [(n, 2) for n in range(4)]


async def test_an_answer_by_way_of_a_process_that_ends_is_not_lost(shared: Shared) -> None:
    async with shared.server("two") as two, shared.worker():
        async with shared.server("one") as one:
            workflow_id = await made(one, APPROVAL)
            ran = await executed(one, workflow_id, input={"n": 1})
            # It is about to answer, and ends before it has stored anything.
            waiting = [ExecutionState.WAITING]
            assert await one.services.control._wakeups.claim_idle("local", ran["execution_id"], waiting)
            body = {"node": "ask", "item": 0, "data": {"choice": "approve"}}
            answer = await two.http.post(f"/api/executions/{ran['execution_id']}/resume", json=body)
            assert answer.is_success, answer.text
        await until_state(two, ran["execution_id"], ExecutionState.SUCCEEDED)


async def test_a_workflow_s_limit_holds_for_all_workers_together(shared: Shared, target: HttpTarget) -> None:
    call = {"type": "http_request", "parameters": {"url": f"{target.url}/pause"}}
    definition = {
        "name": "limited",
        "nodes": {"start": {"type": "manual"}, "call": call},
        "connections": [["start", "call"]],
        "settings": {"concurrency": {"limit": 2}},
    }
    async with shared.server() as server, shared.worker("a"), shared.worker("b"):
        workflow_id = await made(server, definition)
        results = await asyncio.gather(*(executed(server, workflow_id) for _ in range(10)))
        assert [result["status"] for result in results] == ["succeeded"] * 10
        assert target.most_at_once == 2


async def test_a_changed_workflow_is_seen_by_every_process_soon(shared: Shared) -> None:
    async with shared.server("a") as one, shared.server("b") as two, shared.worker():
        workflow_id = await made(one, ONE_NODE)
        assert (await executed(two, workflow_id))["version"] == 1
        changed = {**ONE_NODE, "name": "another name"}
        answer = await one.http.put(f"/api/workflows/{workflow_id}", json=changed, headers={"if-match": '"1"'})
        assert answer.status_code == 200, answer.text

        async def is_seen() -> bool:
            return bool((await executed(two, workflow_id))["version"] == 2)

        await until(is_seen, seconds=5)


async def dead_letters(topology: Topology) -> Sequence[dict[str, Any]]:
    """The messages among the dead letters; they stay."""
    async with await aio_pika.connect(RABBITMQ_URL) as connection, connection.channel() as channel:
        queue = await channel.get_queue(topology.dead_queue)
        found = []
        while (message := await queue.get(fail=False)) is not None:
            found.append(json.loads(message.body))
        return found


async def test_a_dead_execution_is_a_dead_letter_until_it_is_redriven(shared: Shared, target: HttpTarget) -> None:
    target.status_now = 503
    nodes = {
        "hook": {"type": "webhook", "parameters": {"path": "flaky"}},
        "call": {
            "type": "http_request",
            "parameters": {"url": f"{target.url}/now"},
            "retry": {"max_attempts": 1},
        },
    }
    async with shared.server() as server, shared.worker():
        workflow_id = await made(server, {"name": "flaky", "nodes": nodes, "connections": [["hook", "call"]]})
        assert (await server.http.post(f"/api/workflows/{workflow_id}/publish", json={})).status_code == 200
        accepted = (await server.http.post("/webhooks/flaky", json={})).json()
        await until_state(server, accepted["execution_id"], ExecutionState.DEAD)

        async def has_letters() -> bool:
            return bool(await dead_letters(shared.topology))

        await until(has_letters)
        (letter,) = await dead_letters(shared.topology)
        assert letter["payload"]["executionId"] == accepted["execution_id"]
        assert (letter["type"], letter["version"]) == ("workflow.execute", "1.0")
        target.status_now = 200
        path = f"/api/executions/{accepted['execution_id']}/redrive"
        assert (await server.http.post(path)).status_code < 300
        await until_state(server, accepted["execution_id"], ExecutionState.SUCCEEDED)


async def test_any_process_that_is_there_keeps_the_timers(shared: Shared) -> None:
    nodes = {"start": {"type": "manual"}, "pause": {"type": "wait", "parameters": {"seconds": 1}}}
    async with shared.server() as server:
        workflow_id = await made(server, {"name": "pause", "nodes": nodes, "connections": [["start", "pause"]]})
        async with shared.worker("a"):
            began = time.monotonic()
            ran = await executed(server, workflow_id, wait_seconds=0)
            await until_state(server, ran["execution_id"], ExecutionState.WAITING)
        async with shared.worker("b"):
            await until_state(server, ran["execution_id"], ExecutionState.SUCCEEDED)
            assert time.monotonic() - began >= 0.9
