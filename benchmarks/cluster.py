"""What it costs that processes share the work, and what more of them bring.

``python -m benchmarks.cluster``: on the local PostgreSQL, RabbitMQ and Redis, in a database and under names of its own;
about three minutes. Ratios of one sitting count, not times.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.load import TICKS, cpu_seconds
from benchmarks.shapes import Definition, chain, fields, webhook
from storage.queue.topology import Topology
from tests.chaos_cluster.cluster import Cluster, JobsprintProcess
from tests.support.brokers import remove
from tests.support.haystack import postgresql_of_ones_own
from tests.support.http_target import listening
from tests.support.services import RABBITMQ_URL, REDIS_URL

EXECUTIONS = 4_000
SLOW_EXECUTIONS = 800
EFFECT_SECONDS = 0.1
CONCURRENCY = 10
SERVICES = ("postgres", "redis-server", "beam.smp")


@dataclass(slots=True, frozen=True, kw_only=True)
class Installation:
    """Where processes of ours would meet."""

    database: str
    environment: Mapping[str, str]


@asynccontextmanager
async def installation() -> AsyncIterator[Installation]:
    """A database and names of its own, gone afterwards."""
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    async with postgresql_of_ones_own() as database:
        try:
            yield Installation(
                database=database,
                environment={
                    "JOBSPRINT_DATABASE_URL": database,
                    "JOBSPRINT_BROKER_URL": RABBITMQ_URL,
                    "JOBSPRINT_REDIS_URL": REDIS_URL,
                    "JOBSPRINT_NAMESPACE": namespace,
                    "JOBSPRINT_SECRET_KEY": "k" * 48,
                    "JOBSPRINT_VAULT_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
                    "JOBSPRINT_LOG_LEVEL": "warning",
                    "JOBSPRINT_QUEUE_CAPACITY": "1000000",
                    "JOBSPRINT_RATE_LIMIT_PER_MINUTE": "",
                    "JOBSPRINT_OUTBOUND_ALLOW": "127.0.0.1",
                    "JOBSPRINT_DATABASE_CONNECTIONS": "6",
                },
            )
        finally:
            await remove(Topology(namespace))


def cheap() -> Definition:
    """Three nodes that need nobody."""
    nodes = {
        "hook": webhook("cheap"),
        "one": fields(n="={{ $json.body.n + 1 }}"),
        "two": fields(m="={{ $json.n * 2 }}"),
        "three": fields(text="=hello {{ $json.m }}"),
    }
    return chain("cheap", nodes)


def slow(url: str) -> Definition:
    """One effect, for which the worker waits."""
    return chain("slow", {"hook": webhook("slow"), "call": {"type": "http_request", "parameters": {"url": url}}})


async def publish(server: JobsprintProcess, definition: Definition) -> None:
    """Have a workflow listen."""
    async with httpx2.AsyncClient(timeout=30) as http:
        answer = await http.post(f"{server.url}/api/workflows", params={"publish": True}, json=definition)
        answer.raise_for_status()


async def send(server: JobsprintProcess, path: str, count: int) -> float:
    """Hand so many in; the seconds that it took."""
    began = time.perf_counter()
    left = iter(range(count))

    async def caller(http: httpx2.AsyncClient) -> None:
        for number in left:
            (await http.post(f"{server.url}/webhooks/{path}", json={"n": number})).raise_for_status()

    async with httpx2.AsyncClient(timeout=30) as http:
        await asyncio.gather(*(caller(http) for _ in range(20)))
    return time.perf_counter() - began


async def ended(database: str) -> int:
    """How many executions have ended."""
    connection = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM executions WHERE state = 'succeeded'"))
    finally:
        await connection.close()


async def until_ended(database: str, count: int) -> None:
    """Wait until so many have."""
    async with asyncio.timeout(180):
        while await ended(database) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def services_cpu() -> float:
    """CPU time of the local services so far, all their processes."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        if head.partition("(")[2] in SERVICES:
            members = rest.split()
            # Those of its children that have ended, too: every connection of PostgreSQL is a process.
            total += sum(map(int, members[11:15])) / TICKS
    return total


async def cost(environment: Mapping[str, str], *, workers: int) -> tuple[float, float]:
    """CPU milliseconds per execution, of ours and of the services."""
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
        cluster = Cluster.of(environment, Path(folder), servers=1, workers=workers, concurrency=50)
        await cluster.start()
        try:
            (server,) = cluster.servers
            await publish(server, cheap())
            await send(server, "cheap", 200)
            await asyncio.sleep(1)
            own, others = sum(cpu_seconds(each.pid) for each in cluster.processes), services_cpu()
            await send(server, "cheap", EXECUTIONS)
            await until_settled(server)
            own = sum(cpu_seconds(each.pid) for each in cluster.processes) - own
            return own / EXECUTIONS * 1000, (services_cpu() - others) / EXECUTIONS * 1000
        finally:
            await cluster.stop()


async def until_settled(server: JobsprintProcess) -> None:
    """Wait until nothing is queued or runs."""
    async with httpx2.AsyncClient(timeout=30) as http, asyncio.timeout(120):
        for status in ("queued", "running"):
            while (await http.get(f"{server.url}/api/executions", params={"status": status})).json()["executions"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def drained(here: Installation, definition: Definition, count: int, *, workers: int) -> float:
    """Executions a second that so many workers run of what was handed in before they came."""
    path = definition["nodes"]["hook"]["parameters"]["path"]
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
        cluster = Cluster.of(here.environment, Path(folder), servers=1, workers=workers, concurrency=CONCURRENCY)
        (server,) = cluster.servers
        try:
            server.launch()
            await server.ready()
            await publish(server, definition)
            before = await ended(here.database)
            await send(server, path, count)
            for worker in cluster.workers:
                worker.launch()
            # From when all are at work to the end, so that their start does not count.
            for worker in cluster.workers:
                await worker.ready()
            started, at = time.perf_counter(), await ended(here.database)
            await until_ended(here.database, before + count)
            return (before + count - at) / (time.perf_counter() - started)
        finally:
            await cluster.stop()


async def pause(request: Request) -> Response:
    """An answer that takes its time."""
    await asyncio.sleep(EFFECT_SECONDS)
    return JSONResponse({})


async def run() -> None:
    """Measure and print."""
    async with installation() as here:
        alone: dict[str, str] = {
            name: value for name, value in here.environment.items() if name.endswith(("LEVEL", "CAPACITY", "MINUTE"))
        }
        embedded, _ = await cost(alone, workers=0)
        own, services = await cost(here.environment, workers=1)
        print("CPU per execution of three nodes, accepted over HTTP")
        print(f"  embedded (SQLite)                     {embedded:6.2f} ms")
        print(f"  shared: server and worker             {own:6.2f} ms   {own / embedded:5.2f} ×")
        print(f"  shared: PostgreSQL, RabbitMQ, Redis   {services:6.2f} ms", flush=True)
    async with listening(Starlette(routes=[Route("/pause", pause)])) as target:
        loads: Mapping[str, tuple[Any, int]] = {
            f"waits {EFFECT_SECONDS} s for an effect": (slow(f"{target}/pause"), SLOW_EXECUTIONS),
            "three nodes, CPU only": (cheap(), EXECUTIONS),
        }
        for name, (definition, count) in loads.items():
            print(f"executions/s, {name}, {CONCURRENCY} at once in each worker")
            one = 0.0
            for workers in (1, 2, 4, 8):
                async with installation() as here:
                    own_count = count * min(workers, 4) if "waits" in name else count
                    rate = await drained(here, definition, own_count, workers=workers)
                one = one or rate
                print(f"  {workers} workers  {rate:8.1f}   {rate / one:5.2f} ×", flush=True)


if __name__ == "__main__":
    asyncio.run(run())
