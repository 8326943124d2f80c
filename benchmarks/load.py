"""Load on loopback, bounded in time and number: requests per second, latencies, CPU time per request."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True, frozen=True)
class Result:
    """What a load saw. Latencies are in milliseconds, ``cpu_ms`` is per request over the server's process tree."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def cpu_seconds(process_id: int) -> float:
    """CPU time of a process and its children so far (Linux: it reads /proc)."""
    stat = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    own = (int(stat[11]) + int(stat[12])) / TICKS
    children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return own + sum(cpu_seconds(int(child)) for child in children)


async def load(url: str, body: bytes, *, process_id: int, connections: int, seconds: float) -> Result:
    """POST ``body`` over and over. Any answer but 2xx ends the measurement."""
    times: list[float] = []
    before, started = cpu_seconds(process_id), time.perf_counter()

    async def client() -> None:
        async with httpx2.AsyncClient(timeout=30) as http:
            while time.perf_counter() - started < seconds:
                sent = time.perf_counter()
                answer = await http.post(url, content=body, headers={"content-type": "application/json"})
                answer.raise_for_status()
                times.append(time.perf_counter() - sent)

    await asyncio.gather(*(client() for _ in range(connections)))
    took = time.perf_counter() - started
    times.sort()
    return Result(
        rate=len(times) / took,
        p50_ms=times[len(times) // 2] * 1000,
        p99_ms=times[int(len(times) * 0.99)] * 1000,
        cpu_ms=(cpu_seconds(process_id) - before) * 1000 / len(times),
    )
