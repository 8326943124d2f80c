"""n8n in queue mode and Jobsprint's processes on the same PostgreSQL and Redis: the same workflow, and the ratios.

``python -m benchmarks.peers_cluster PEER_SCRIPT``: ``PEER_SCRIPT`` is what :mod:`benchmarks.peers` takes. One server
and one worker each, 20 executions at once: the worker runs what the server takes in, and the server passes its answer
on. Both keep what every execution did. Needs wrk; about three minutes. Ratios of one sitting count, not times.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import redis.asyncio as redis
from sqlalchemy import make_url

from benchmarks.cluster import installation, services_cpu
from benchmarks.load import cpu_seconds
from benchmarks.peers import ENGINES
from benchmarks.shapes import case_b
from tests.chaos_cluster.cluster import Cluster
from tests.support.haystack import postgresql_of_ones_own
from tests.support.ports import free_port
from tests.support.services import REDIS_URL

SECONDS, WARM_UP_SECONDS = 10, 3
CONNECTIONS = (1, 20)
AT_ONCE = 20
START_SECONDS = 120.0


class Figures(NamedTuple):
    """One load: executions per second, latencies as wrk writes them, CPU milliseconds per execution."""

    rate: float
    p50: str
    p99: str
    own_cpu_ms: float
    services_cpu_ms: float


def wrk(script: Path, url: str, connections: int, seconds: int) -> str:
    """What wrk prints; any answer but 2xx ends the measurement."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "--latency"]
    printed = subprocess.run(
        [*command, "-s", str(script.parent / "post.lua"), url], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in printed or "timeout" in printed:
        raise RuntimeError(printed)
    return printed


async def loaded(script: Path, url: str, pids: Sequence[int]) -> Mapping[int, Figures]:
    """The figures by connections."""
    await asyncio.to_thread(wrk, script, url, 4, WARM_UP_SECONDS)
    found = {}
    for connections in CONNECTIONS:
        await asyncio.sleep(2)
        own, services = sum(map(cpu_seconds, pids)), services_cpu()
        printed = await asyncio.to_thread(wrk, script, url, connections, SECONDS)
        own, services = sum(map(cpu_seconds, pids)) - own, services_cpu() - services
        count = int(_found(r"(\d+) requests in", printed))
        found[connections] = Figures(
            rate=float(_found(r"Requests/sec:\s+([\d.]+)", printed)),
            p50=_found(r"\n\s+50%\s+(\S+)", printed),
            p99=_found(r"\n\s+99%\s+(\S+)", printed),
            own_cpu_ms=own * 1000 / count,
            services_cpu_ms=services * 1000 / count,
        )
    return found


def _found(pattern: str, printed: str) -> str:
    match = re.search(pattern, printed)
    if match is None:
        raise RuntimeError(printed)
    return match[1]


@asynccontextmanager
async def own() -> AsyncIterator[tuple[str, Sequence[int]]]:
    """A server and a worker of ours: the webhook's address, and the processes."""
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
        async with installation() as here:
            cluster = Cluster.of(here.environment, Path(folder), servers=1, workers=1, concurrency=AT_ONCE)
            await cluster.start()
            try:
                url = cluster.servers[0].url
                async with httpx2.AsyncClient(timeout=30) as http:
                    made = await http.post(f"{url}/api/workflows", params={"publish": True}, json=case_b())
                    made.raise_for_status()
                yield f"{url}/webhooks/bench-b", [process.pid for process in cluster.processes]
            finally:
                await cluster.stop()


@asynccontextmanager
async def peer(script: Path, options: Sequence[str]) -> AsyncIterator[tuple[str, Sequence[int]]]:
    """The same of n8n."""
    module = _module(script)
    async with postgresql_of_ones_own() as database, _redis_names() as prefix:
        url, shared = make_url(database), make_url(REDIS_URL)
        settings = {
            "EXECUTIONS_MODE": "queue",
            "DB_TYPE": "postgresdb",
            "DB_POSTGRESDB_HOST": url.host,
            "DB_POSTGRESDB_PORT": url.port or 5432,
            "DB_POSTGRESDB_USER": url.username,
            "DB_POSTGRESDB_DATABASE": url.database,
            "QUEUE_BULL_REDIS_HOST": shared.host,
            "QUEUE_BULL_REDIS_PORT": shared.port,
            "QUEUE_BULL_PREFIX": prefix,
            "N8N_REDIS_KEY_PREFIX": prefix,
        }
        pairs = [f"{name}={value}" for name, value in settings.items()] + list(options)
        await asyncio.to_thread(subprocess.run, [sys.executable, str(script), "start", *pairs], check=True)
        try:
            with _worker(module, pairs) as (worker, log):
                await _until_ready(worker, log)
                yield f"{module.BASE}/webhook/bench-b", [int((module.HOME / "pid").read_text()), worker.pid]
        finally:
            await asyncio.to_thread(subprocess.run, [sys.executable, str(script), "stop"], check=True)


def _module(script: Path) -> Any:
    spec = importlib.util.spec_from_file_location("peer", script)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{script} is no Python script")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _worker(module: Any, pairs: Sequence[str]) -> Any:
    """n8n's worker; its own broker of code runners needs a port of its own."""
    environment = module.environment([*pairs, f"N8N_RUNNERS_BROKER_PORT={free_port()}"])
    program = [str(module.NODE / "node"), "node_modules/n8n/bin/n8n", "worker", f"--concurrency={AT_ONCE}"]
    with tempfile.NamedTemporaryFile("w+") as log:
        process = subprocess.Popen(program, cwd=module.HOME / "app", env=environment, stdout=log, stderr=log)
        try:
            yield process, Path(log.name)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


async def _until_ready(worker: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(START_SECONDS):
        while "is now ready" not in (said := await asyncio.to_thread(log.read_text)):
            if worker.poll() is not None:
                raise RuntimeError(f"n8n's worker ended:\n{said[-3000:]}")
            await asyncio.sleep(0.2)


@asynccontextmanager
async def _redis_names() -> AsyncIterator[str]:
    """A prefix of names that are gone afterwards."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    try:
        yield prefix
    finally:
        async with redis.from_url(REDIS_URL) as client:
            async for key in client.scan_iter(f"*{prefix}*", count=1000):
                await client.delete(key)


async def run(script: Path) -> None:
    """Measure all and print how many times faster and cheaper Jobsprint is."""
    measured: dict[str, Mapping[int, Figures]] = {}
    for engine, options in ENGINES.items():
        async with peer(script, options) as (url, pids):
            measured[f"n8n, {engine}"] = await loaded(script, url, pids)
    async with own() as (url, pids):
        ours = await loaded(script, url, pids)
    print("                       conns  executions/s       p50       p99   CPU ms: own  services")
    for name, figures in {**measured, "Jobsprint": ours}.items():
        for connections, each in figures.items():
            print(
                f"{name:22} {connections:5}  {each.rate:12.1f} {each.p50:>9} {each.p99:>9}"
                f"   {each.own_cpu_ms:11.2f}  {each.services_cpu_ms:8.2f}"
            )
    for name, figures in measured.items():
        for connections, theirs in figures.items():
            own_figures = ours[connections]
            cheaper = (theirs.own_cpu_ms + theirs.services_cpu_ms) / sum(own_figures[3:])
            print(
                f"{name:22} {connections:5}  {own_figures.rate / theirs.rate:6.1f} × the executions a second, "
                f"{theirs.own_cpu_ms / own_figures.own_cpu_ms:5.1f} × less CPU, {cheaper:5.1f} × with the services'"
            )


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]).resolve()))
