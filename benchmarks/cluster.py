"""The cost of sharing the work between processes, and the gain from more of them.

``python -m benchmarks.cluster [FILE]``: on the local PostgreSQL, RabbitMQ and Redis, in a database and under names of
its own; about four minutes. Ratios of one sitting count, not times. ``FILE`` gets the figures, which
:mod:`benchmarks.capacity` reads.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import redis.asyncio as redis
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
COMMITS = 300
SLOW_EXECUTIONS = 800
EFFECT_SECONDS = 0.1
CONCURRENCY = 10
SERVICES = ("postgres", "redis-server", "beam.smp")
ASK_SECONDS = 0.2
"""Between two counts of the ended executions: counting costs PostgreSQL CPU too."""
LOADS = {1: 400, 4: 1_200, 20: 4_000, 60: 4_000}
"""Executions, by how many callers hand them in at once."""
LOAD_NAMES = {"waiting": f"each waits {EFFECT_SECONDS} s for an effect", "busy": "three nodes, CPU only"}
NOTHING_CARRIED = {"transactions": 0.0, "wal_bytes": 0.0, "disk_bytes": 0.0, "redis_commands": 0.0}


@dataclass(slots=True, frozen=True, kw_only=True)
class Installation:
    """The services that processes of ours share."""

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


async def send(server: JobsprintProcess, path: str, count: int, *, callers: int = 20) -> float:
    """Submit so many; returns the seconds that it took."""
    began = time.perf_counter()
    left = iter(range(count))

    async def caller(http: httpx2.AsyncClient) -> None:
        for number in left:
            (await http.post(f"{server.url}/webhooks/{path}", json={"n": number})).raise_for_status()

    async with httpx2.AsyncClient(timeout=30) as http:
        await asyncio.gather(*(caller(http) for _ in range(callers)))
    return time.perf_counter() - began


async def ended(database: str) -> int:
    """How many executions have ended."""
    connection = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM executions WHERE state = 'succeeded'"))
    finally:
        await connection.close()


async def commit_ms(database: str) -> float:
    """How long a transaction of one small row takes that nobody shares (median)."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE TABLE commits (id integer)")
        times = []
        for number in range(COMMITS):
            began = time.perf_counter()
            await connection.execute("INSERT INTO commits VALUES ($1)", number)
            times.append((time.perf_counter() - began) * 1000)
        await connection.execute("DROP TABLE commits")
    finally:
        await connection.close()
    return statistics.median(times)


async def until_ended(database: str, count: int) -> None:
    """Wait until so many have."""
    async with asyncio.timeout(180):
        while await ended(database) < count:  # noqa: ASYNC110
            await asyncio.sleep(ASK_SECONDS)


def cpu_of_services() -> dict[str, float]:
    """CPU seconds of each local service so far, all its processes."""
    found = dict.fromkeys(SERVICES, 0.0)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        name = head.partition("(")[2]
        if name in found:
            members = rest.split()
            # Those of its children that have ended, too: every connection of PostgreSQL is a process.
            found[name] += sum(map(int, members[11:15])) / TICKS
    return found


def services_cpu() -> float:
    """CPU seconds of all of them."""
    return sum(cpu_of_services().values())


@dataclass(slots=True, frozen=True, kw_only=True)
class Cost:
    """What one execution costs: CPU in milliseconds by part, and what the services carry for it. ``target`` is this
    process, which is what executions call."""

    callers: int = 0
    cpu_ms: Mapping[str, float]
    transactions: float
    wal_bytes: float
    disk_bytes: float
    redis_commands: float

    def parts(self) -> str:
        """All of it in a line."""
        cpu = "  ".join(f"{name} {value:.2f}" for name, value in self.cpu_ms.items())
        return f"{cpu}   {self.transactions:.2f} transactions, {self.wal_bytes / 1024:.1f} KiB of WAL"

    @property
    def own_ms(self) -> float:
        """CPU of our processes."""
        return sum(value for name, value in self.cpu_ms.items() if name in ("server", "worker"))

    @property
    def services_ms(self) -> float:
        """CPU of the others'."""
        return sum(value for name, value in self.cpu_ms.items() if name in SERVICES)


class Meter:
    """Reads what there is to read before and after a load."""

    def __init__(self, cluster: Cluster, database: str | None) -> None:
        self._cluster = cluster
        self._database = database

    async def read(self) -> dict[str, float]:
        """All counters now."""
        parts = {"server": self._cluster.servers, "worker": self._cluster.workers}
        own = {"target": time.process_time()}
        own |= {part: sum(cpu_seconds(each.pid) for each in processes) for part, processes in parts.items()}
        counters = {**own, **cpu_of_services()}
        if self._database is None:
            return counters
        connection = await asyncpg.connect(self._database)
        try:
            row = await connection.fetchrow(
                "SELECT pg_current_xact_id()::text::bigint, pg_current_wal_insert_lsn() - '0/0'::pg_lsn,"
                " pg_database_size(current_database())"
            )
        finally:
            await connection.close()
        async with redis.from_url(REDIS_URL) as client:
            commands = (await client.info("stats"))["total_commands_processed"]
        names = ("transactions", "wal_bytes", "disk_bytes")
        return {**counters, **dict(zip(names, map(float, row), strict=True)), "redis_commands": float(commands)}


def cost_of(before: Mapping[str, float], after: Mapping[str, float], count: float, *, callers: int = 0) -> Cost:
    """What each of so many executions took of what was counted."""
    each = {name: (after[name] - before[name]) / count for name in before}
    cpu_ms = {name: each.pop(name) * 1000 for name in ("server", "worker", "target", *SERVICES)}
    return Cost(callers=callers, cpu_ms=cpu_ms, **({**NOTHING_CARRIED, **each}))


async def costs(
    environment: Mapping[str, str], *, workers: int, database: str | None, loads: Mapping[int, int]
) -> list[Cost]:
    """The costs by load: so many callers at once, so many executions."""
    found = []
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
        cluster = Cluster.of(environment, Path(folder), servers=1, workers=workers, concurrency=50)
        await cluster.start()
        try:
            (server,) = cluster.servers
            await publish(server, cheap())
            await send(server, "cheap", 200)
            meter = Meter(cluster, database)
            for callers, count in loads.items():
                await asyncio.sleep(1)
                before = await meter.read()
                await send(server, "cheap", count, callers=callers)
                await until_settled(server)
                after = await meter.read()
                found.append(cost_of(before, after, count, callers=callers))
        finally:
            await cluster.stop()
    return found


async def until_settled(server: JobsprintProcess) -> None:
    """Wait until nothing is queued or runs."""
    async with httpx2.AsyncClient(timeout=30) as http, asyncio.timeout(120):
        for status in ("queued", "running"):
            while (await http.get(f"{server.url}/api/executions", params={"status": status})).json()["executions"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def drained(here: Installation, definition: Definition, count: int, *, workers: int) -> tuple[float, Cost]:
    """Executions a second of so many workers on a full queue, and the cost of each."""
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
            meter = Meter(cluster, here.database)
            counted, started, at = await meter.read(), time.perf_counter(), await ended(here.database)
            await until_ended(here.database, before + count)
            left, took = before + count - at, time.perf_counter() - started
            return left / took, cost_of(counted, await meter.read(), left)
        finally:
            await cluster.stop()


async def pause(request: Request) -> Response:
    """An answer that takes its time."""
    await asyncio.sleep(EFFECT_SECONDS)
    return JSONResponse({})


async def run() -> dict[str, Any]:
    """Measure and print; the figures."""
    async with installation() as here:
        alone: dict[str, str] = {
            name: value for name, value in here.environment.items() if name.endswith(("LEVEL", "CAPACITY", "MINUTE"))
        }
        commit = await commit_ms(here.database)
        (embedded,) = await costs(alone, workers=0, database=None, loads={20: EXECUTIONS})
        shared = await costs(here.environment, workers=1, database=here.database, loads=LOADS)
    print("CPU ms per execution of three nodes, accepted over HTTP")
    print(f"  embedded (SQLite), 20 callers    {embedded.own_ms:6.2f}")
    for cost in shared:
        parts = "  ".join(f"{name} {value:.2f}" for name, value in cost.cpu_ms.items())
        carried = f"{cost.transactions:.2f} transactions, {cost.wal_bytes / 1024:.1f} KiB of WAL"
        print(
            f"  shared, {cost.callers:2} callers    {cost.own_ms:6.2f} + {cost.services_ms:.2f}   {parts}   {carried}"
        )
    at_20 = next(cost for cost in shared if cost.callers == 20)
    print(f"  shared / embedded, 20 callers: {at_20.own_ms / embedded.own_ms:.2f} × (ours)", flush=True)
    drains: dict[str, list[dict[str, Any]]] = {}
    async with listening(Starlette(routes=[Route("/pause", pause)])) as target:
        loads: Mapping[str, tuple[Any, int]] = {
            "waiting": (slow(f"{target}/pause"), SLOW_EXECUTIONS),
            "busy": (cheap(), EXECUTIONS),
        }
        for name, (definition, count) in loads.items():
            print(f"executions/s, {LOAD_NAMES[name]}, {CONCURRENCY} at once in each worker")
            drains[name] = []
            for workers in (1, 2, 4, 8):
                async with installation() as here:
                    own_count = count * min(workers, 4) if name == "waiting" else count
                    rate, cost = await drained(here, definition, own_count, workers=workers)
                drains[name].append({"workers": workers, "rate": rate, "cost": asdict(cost)})
                print(
                    f"  {workers} workers  {rate:8.1f}   {rate / drains[name][0]['rate']:5.2f} ×   {cost.parts()}",
                    flush=True,
                )
    return {
        "commit_ms": commit,
        "embedded": asdict(embedded),
        "shared": [asdict(cost) for cost in shared],
        "drains": drains,
    }


if __name__ == "__main__":
    figures = asyncio.run(run())
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(figures, indent=1) + "\n")
