"""The same with everything that an execution can be made of: loops, sub-workflows, waits, approvals, error workflows.

The load, the effects' service and what each workflow must come to are those of ``tests/chaos_cluster``.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.chaos_cluster.load import Effects, Load, callees, definitions, outputs
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

KILLS, FREEZES = 20, 4
CALLERS, PAUSE_SECONDS = 6, 0.3
NAMES = ("row", "answer", "pause", "loop", "children", "asks", "errors")
UNENDED = ("queued", "running", "waiting")


@dataclass(slots=True)
class OneServer:
    """A server that restarts at other addresses, for callers that know one."""

    process: ServerProcess

    @property
    def url(self) -> str:
        """Where it serves now."""
        return self.process.url


async def publish(server: ServerProcess, effects: Effects) -> dict[str, str]:
    """Every workflow listens; their ids by name."""
    ids: dict[str, str] = {}
    async with httpx2.AsyncClient(base_url=server.url, timeout=30) as http:
        for name, definition in callees(effects.url).items():
            ids[name] = await _published(http, definition)
        for name, definition in definitions(effects.url, ids).items():
            ids[name] = await _published(http, definition)
    return ids


async def _published(http: httpx2.AsyncClient, definition: dict[str, Any]) -> str:
    made = await http.post("/api/workflows?publish=true", json=definition)
    assert made.status_code == 201, made.text
    return str(made.json()["workflow_id"])


async def kill_and_freeze(server: ServerProcess) -> int:
    """Kill it at random moments and start it again; in between it stands still. How often it was killed."""
    strikes: list[str] = ["kill"] * KILLS + ["freeze"] * FREEZES
    random.shuffle(strikes)
    for strike in strikes:
        await asyncio.sleep(random.uniform(0.2, 3))  # noqa: S311 - moments nobody can prepare for
        if strike == "freeze":
            server.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1)
            server.process.send_signal(signal.SIGCONT)
        else:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
    return KILLS


async def listed(http: httpx2.AsyncClient, **query: str) -> list[dict[str, Any]]:
    """Every execution, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = await http.get(
            "/api/executions", params={**query, "limit": "100", **({"cursor": cursor} if cursor else {})}
        )
        page = answer.json()
        found += page["executions"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def wrong(http: httpx2.AsyncClient, load: Load) -> list[tuple[str, Any]]:
    """Accepted executions that came to something else than undisturbed."""
    found: list[tuple[str, Any]] = []
    for name, ids in load.accepted.items():
        for execution_id in ids:
            seen = (await http.get(f"/api/executions/{execution_id}")).json()
            if seen.get("status") != ("failed" if name == "errors" else "succeeded"):
                found.append((name, seen))
                continue
            expected = outputs(name, load.numbers[execution_id])
            values = [item.get("v") for item in ((seen.get("output") or {}).get("items") or {}).get("end", [])]
            if expected is not None and values != expected:
                found.append((name, values))
    return found


def counts(effects: Effects, ids: Sequence[str]) -> dict[int, int]:
    """How many failures have had so many error workflows."""
    numbers = [len(effects.handled[each]) for each in ids]
    return {number: numbers.count(number) for number in sorted(set(numbers))}


async def test_killed_and_frozen_at_any_moment_everything_comes_to_its_end(tmp_path: Path) -> None:
    random.seed(2026)
    effects = Effects()
    settings = {
        "JOBSPRINT_LOG_LEVEL": "error",
        "JOBSPRINT_OUTBOUND_ALLOW": "127.0.0.1",
        "JOBSPRINT_RETENTION_DAYS": "1",
        "JOBSPRINT_RETENTION_INTERVAL_SECONDS": "1",
    }
    server = ServerProcess(tmp_path / "data", settings)
    server.start()
    async with effects.serving():
        ids = await publish(server, effects)
        load = Load([OneServer(server)])  # type: ignore[list-item]
        approver = asyncio.create_task(load.approver())
        callers = [
            asyncio.create_task(load.caller(n, NAMES[n % 4 :] + NAMES[: n % 4], PAUSE_SECONDS)) for n in range(CALLERS)
        ]
        began = time.monotonic()
        kills = await kill_and_freeze(server)
        load.is_over = True
        await asyncio.gather(*callers)
        async with httpx2.AsyncClient(base_url=server.url, timeout=30) as http:

            async def have_ended() -> bool:
                pages = [await listed(http, status=state) for state in UNENDED]
                return not any(pages)

            await until(have_ended, seconds=120)
            approver.cancel()
            await asyncio.gather(approver, return_exceptions=True)
            differing = await wrong(http, load)
            children = await listed(http, workflow_id=ids["child"])
            handlers = await listed(http, workflow_id=ids["handler"])
            failures = await listed(http, workflow_id=ids["errors"], status="failed")
            parents = await listed(http, workflow_id=ids["children"])
        assert server.stop() == 0
    accepted = sum(map(len, load.accepted.values()))
    assert not differing, differing[:3]
    assert [each["status"] for each in children] == ["succeeded"] * (3 * len(parents)), "three children each"
    assert len(handlers) == len(failures), "one error workflow for each failure"
    assert counts(effects, [each["execution_id"] for each in failures]) == {1: len(failures)}
    repeated = sum(len(calls) > 1 for calls in effects.calls.values())
    print(  # noqa: T201 - the figures are what the target is run for
        f"\n{accepted} accepted of {sum(load.outcomes.values())} calls, {kills} kills and {FREEZES} freezes in "
        f"{time.monotonic() - began:.0f} s; {len(children)} children, {len(handlers)} error workflows, "
        f"{len(effects.calls)} effects, {repeated} of them repeated; all results as undisturbed"
    )
