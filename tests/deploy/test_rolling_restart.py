"""All processes are restarted one by one, behind nginx and under load, and no caller sees a request fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.chaos_cluster.cluster import Cluster, JobsprintProcess
from tests.deploy.nginx import nginx_before
from tests.support.brokers import topology_of_ones_own
from tests.support.haystack import postgresql_of_ones_own
from tests.support.services import RABBITMQ_URL, REDIS_URL, need
from tests.support.tenants import registered

CALLERS = 6
PAUSE_SECONDS = 0.15
"""Between a caller's calls: together they stay below the 50 webhooks a second that nginx takes from one address."""
CALM_SECONDS = 2.0
HOOK = "/webhooks/answers"
ANSWERS = {
    "name": "answers",
    "nodes": {
        "hook": {"type": "webhook", "parameters": {"path": "answers"}},
        "answer": {"type": "respond", "parameters": {"body": {"n": "={{ $json.body.n * 2 }}"}}},
    },
    "connections": [["hook", "answer"]],
}


@dataclass(slots=True)
class Load:
    """Callers that try nothing twice; ``failed`` is what they saw go wrong."""

    url: str
    key: str
    is_over: bool = False
    good: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    async def caller(self, number: int) -> None:
        """Ask for an answer that a worker gives, and for a list that a server has."""
        who = {"authorization": f"Bearer {self.key}"}
        async with httpx2.AsyncClient(base_url=self.url, headers=who, verify=False, timeout=30) as http:
            while not self.is_over:
                for method, path, body in (
                    ("POST", "/webhooks/answers", {"n": number}),
                    ("GET", "/api/workflows", None),
                ):
                    try:
                        answer = await http.request(method, path, json=body)
                    except httpx2.HTTPError as error:
                        self.failed.append(f"{method} {path}: {error!r}")
                        continue
                    is_right = answer.status_code == 200 and (body is None or answer.json() == {"n": number * 2})
                    if is_right:
                        self.good[path] += 1
                    else:
                        self.failed.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
                await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def environment() -> AsyncIterator[Mapping[str, str]]:
    """Settings of an installation of the test's own, whose callers come through a proxy on this machine."""
    need("Redis")
    async with topology_of_ones_own() as topology, postgresql_of_ones_own() as database:
        yield {
            "JOBSPRINT_DATABASE_URL": database,
            "JOBSPRINT_BROKER_URL": RABBITMQ_URL,
            "JOBSPRINT_REDIS_URL": REDIS_URL,
            "JOBSPRINT_NAMESPACE": topology.prefix,
            "JOBSPRINT_SECRET_KEY": "k" * 48,
            "JOBSPRINT_VAULT_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "JOBSPRINT_LOG_LEVEL": "warning",
            "JOBSPRINT_RATE_LIMIT_PER_MINUTE": "",
            "JOBSPRINT_REGISTRATION": "open",
            "JOBSPRINT_EXPRESSION_WORKERS": "1",
        }


async def restart(process: JobsprintProcess) -> None:
    """As an operator does: in order, and wait until it works."""
    assert await process.end() == 0, process.log()
    process.launch()
    await process.ready()
    await asyncio.sleep(CALM_SECONDS)


@pytest.mark.timeout(240)
async def test_no_request_fails_while_every_process_is_restarted(tmp_path: Path) -> None:
    async with environment() as settings:
        cluster = Cluster.of(settings, tmp_path, servers=2, workers=2, concurrency=10)
        one, two = cluster.servers
        assert one.port is not None
        assert two.port is not None
        await cluster.start()
        try:
            ann = await registered(one.url, "ann")
            async with nginx_before(one.port, two.port, tmp_path) as port, ann.http() as http:
                made = await http.post("/api/workflows", params={"publish": True}, json=ANSWERS)
                assert made.status_code == 201, made.text
                key = (await http.post("/api/keys", json={"name": "load", "scopes": ["workflows:read"]})).json()["key"]
                load = Load(f"https://localhost:{port}", key)
                callers = [asyncio.create_task(load.caller(number)) for number in range(CALLERS)]
                await asyncio.sleep(CALM_SECONDS)
                before = sum(load.good.values())
                for process in cluster.processes:
                    await restart(process)
                load.is_over = True
                await asyncio.gather(*callers)
        finally:
            await cluster.stop()
    assert load.failed == []
    assert before > 0
    assert min(load.good.values()) > 50, load.good
