"""What the journal costs, by durability and number of nodes; and what stored and waiting executions cost.

``python -m benchmarks.durability [stored executions]`` (default 100000; 1000000 takes some minutes)
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import httpx2
import orjson

from benchmarks.load import load
from benchmarks.shapes import case_b, case_c, case_e, chain
from benchmarks.startup import resident_kib
from tests.support.server_process import ServerProcess

SECONDS = 4.0
BODY = orjson.dumps({"n": 42, "name": "bob"})
WAITING = 10_000


def create(server: ServerProcess, definition: object) -> str:
    """The id of a new workflow, published."""
    made = httpx2.post(f"{server.url}/api/workflows", params={"publish": True}, json=definition)
    made.raise_for_status()
    return str(made.json()["workflow_id"])


async def measure(server: ServerProcess, path: str, body: bytes = BODY, connections: int = 20) -> float:
    """CPU milliseconds per execution of the webhook."""
    url = f"{server.url}/webhooks/{path}"
    await load(url, body, process_id=server.process.pid, connections=connections, seconds=1)
    result = await load(url, body, process_id=server.process.pid, connections=connections, seconds=SECONDS)
    print(
        f"  {path:20} {result.rate:8.0f}/s   p50 {result.p50_ms:7.1f} ms   p99 {result.p99_ms:7.1f} ms"
        f"   {result.cpu_ms:7.2f} ms CPU each"
    )
    return result.cpu_ms


def fill(data_dir: Path, count: int) -> None:
    """Store ``count`` copies of the newest execution, with ids before all others."""
    with closing(sqlite3.connect(data_dir / "jobsprint.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        number = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        newest = "(SELECT * FROM executions ORDER BY id DESC LIMIT 1)"
        connection.execute(
            f"INSERT INTO executions {number} SELECT printf('0%035d', i), owner, workflow_id, state, created_at, "  # noqa: S608
            f"error_message, wake_at, lease_owner, lease_expires_at, data FROM n, {newest}",
            (count,),
        )
        newest = "(SELECT * FROM journal ORDER BY execution_id DESC LIMIT 1)"
        connection.execute(
            f"INSERT INTO journal {number} SELECT printf('0%035d', i), position, data FROM n, {newest}",  # noqa: S608
            (count,),
        )
        connection.commit()


async def waiting(server: ServerProcess) -> None:
    """Ten thousand executions that wait at once: what each costs in memory, and how soon they all go on."""
    nodes = {"start": {"type": "manual"}, "wait": {"type": "wait", "parameters": {"until": "={{ $json.at }}"}}}
    workflow_id = create(server, chain("waiting", nodes))
    wakes = time.time() + 45
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wakes))
    before, started = resident_kib(server.process.pid), time.perf_counter()
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
        limit = asyncio.Semaphore(50)

        async def one() -> None:
            async with limit:
                answer = await http.post(f"/api/workflows/{workflow_id}/execute", json={"input": {"at": at}})
                answer.raise_for_status()

        await asyncio.gather(*(one() for _ in range(WAITING)))
        took = time.perf_counter() - started
        grown = resident_kib(server.process.pid) - before
        print(f"  {WAITING} submitted in {took:.1f} s; memory grew by {grown / 1024:.0f} MiB in all")
        await asyncio.sleep(max(0.0, wakes - time.time()))
        waits = {"status": "waiting", "limit": 1}
        while (await http.get("/api/executions", params=waits)).json()["executions"]:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        print(f"  all of them had gone on {time.time() - wakes:.1f} s after their time")


async def run(stored: int) -> None:
    """Every measurement, with a server of its own where the others would disturb it."""
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
        settings = {"JOBSPRINT_LOG_LEVEL": "warning", "JOBSPRINT_RETENTION_DAYS": ""}
        with ServerProcess(Path(folder), settings) as server:
            print("durability")
            for durability in ("none", "effects", "every_node"):
                create(server, case_b(f"bench-{durability}", durability=durability))
                await measure(server, f"bench-{durability}")
            print("nodes")
            for length in (10, 100, 1_000):
                create(server, case_c(length, f"chain-{length}"))
                await measure(server, f"chain-{length}", connections=4)
            print("items")
            create(server, case_e("items"))
            for count in (1, 100, 10_000):
                items = [{"id": n, "name": f"item{n}", "price": n * 7 % 100, "qty": n % 13 + 1} for n in range(count)]
                await measure(server, "items", orjson.dumps({"items": items}), connections=2)
            print("waiting")
            await waiting(server)
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
        with ServerProcess(Path(folder), settings) as server:
            print("stored executions")
            create(server, case_b("stored"))
            few = await measure(server, "stored")
        fill(Path(folder), stored)
        with ServerProcess(Path(folder), settings) as server:
            many = await measure(server, "stored")
            print(f"  with {stored} executions stored: {many / few:.2f} times the CPU each")


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
