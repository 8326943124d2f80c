"""A server that is killed again and again loses nothing and does nothing twice but what it was in the middle of."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.server_process import ServerProcess

EXECUTIONS = 1_000
KILLS = 50
CLIENTS = 20
UNNOTED_SECONDS = 1.0
"""How long before a kill an effect may have ended whose result was not yet on the disk."""


ARRIVAL_SECONDS = 0.5
"""How long after the death of its sender a request may still arrive."""


class Kill(NamedTuple):
    """When a kill was begun, and when the process was gone."""

    began: float
    ended: float


@dataclass(slots=True)
class Call:
    """One arrival of an effect."""

    began: float
    ended: float | None = None


@dataclass(slots=True)
class EffectCounter:
    """The service that effects go to: it notes every key, and answers by what was sent alone."""

    url: str = ""
    calls: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))

    async def effect(self, request: Request) -> Response:
        """Twice what was sent, after a while."""
        sent = await request.json()
        call = Call(time.monotonic())
        self.calls[request.headers["idempotency-key"]].append(call)
        await asyncio.sleep(random.uniform(0, 0.03))  # noqa: S311 - it only spreads the load
        call.ended = time.monotonic()
        return JSONResponse({"v": sent["v"] * 2})


@pytest.fixture
async def counter() -> AsyncIterator[EffectCounter]:
    """The service, listening."""
    counter = EffectCounter()
    app = Starlette(routes=[Route("/effect", counter.effect, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    counter.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/effect"
    loop = asyncio.create_task(server.main_loop())
    yield counter
    server.should_exit = True
    await loop
    await server.shutdown()


def definition(url: str) -> dict[str, Any]:
    """Three effects, each on what the one before gave, with pure nodes in between."""

    def effect(value: str) -> dict[str, Any]:
        return {"type": "http_request", "parameters": {"url": url, "method": "POST", "json_body": {"v": value}}}

    return {
        "name": "chaos",
        "nodes": {
            "start": {"type": "manual"},
            "one": effect("={{ $json.n }}"),
            "next": {"type": "set", "parameters": {"fields": {"v": "={{ [$json.body.v].map(v => v + 1)[0] }}"}}},
            "two": effect("={{ $json.v }}"),
            "check": {"type": "if", "parameters": {"condition": "={{ $json.body.v % 4 === 2 }}"}},
            "three": effect("={{ $json.body.v }}"),
            "end": {
                "type": "set",
                "parameters": {
                    "fields": {"v": "={{ $json.body.v }}", "r": "={{ Math.random() }}"},
                    "keep_input": False,
                },
            },
        },
        "connections": [
            ["start", "one"],
            ["one", "next"],
            ["next", "two"],
            ["two", "check"],
            ["check.true", "three"],
            ["check.false", "three"],
            ["three", "end"],
        ],
    }


def expected(n: int) -> int:
    """What an undisturbed execution gives for ``n``."""
    return (n * 2 + 1) * 2 * 2


async def submit_all(server: ServerProcess, workflow_id: str, accepted: dict[int, str]) -> None:
    """Submit every execution once, with as much patience as it takes; the same key makes it once."""
    numbers = iter(range(EXECUTIONS))

    async def client() -> None:
        for n in numbers:
            while n not in accepted:
                try:
                    async with httpx2.AsyncClient(base_url=server.url, timeout=5) as http:
                        answer = await http.post(
                            f"/api/workflows/{workflow_id}/execute",
                            json={"input": {"n": n}},
                            headers={"idempotency-key": f"n{n}"},
                        )
                        answer.raise_for_status()
                        accepted[n] = answer.json()["execution_id"]
                except httpx2.HTTPError:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(random.uniform(0, 1.2))  # noqa: S311 - it only spreads the load

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def kill_and_restart(server: ServerProcess, kills: list[Kill], submitted: asyncio.Task[None]) -> None:
    """Kill at random moments, often enough, and until everything is submitted.

    On average it is up about as long as it takes to come up: on a slow machine it would do little else otherwise.
    """
    longest_life = 1.0
    while len(kills) < KILLS or not submitted.done():
        await asyncio.sleep(random.uniform(0.05, longest_life))  # noqa: S311 - moments nobody can prepare for
        before = time.monotonic()
        await asyncio.to_thread(server.kill)
        kills.append(Kill(before, time.monotonic()))
        await asyncio.to_thread(server.start)
        longest_life = max(1.0, 2 * (time.monotonic() - kills[-1].ended))


async def output_of(http: httpx2.AsyncClient, execution_id: str) -> Any:
    """What an execution gave, when it has ended; the test's time limit bounds the wait."""
    while True:
        seen = (await http.get(f"/api/executions/{execution_id}")).json()
        if seen["status"] not in ("queued", "running"):
            assert seen["status"] == "succeeded", seen
            (output,) = seen["output"]["items"]["end"]
            return output
        await asyncio.sleep(0.05)


async def test_killed_at_any_moment_it_loses_nothing(tmp_path: Path, counter: EffectCounter) -> None:
    random.seed(2024)
    server = ServerProcess(tmp_path / "data", {"JOBSPRINT_LOG_LEVEL": "error"})
    server.start()
    async with httpx2.AsyncClient(base_url=server.url) as http:
        made = await http.post("/api/workflows", json=definition(counter.url))
        workflow_id = made.json()["workflow_id"]
    accepted: dict[int, str] = {}
    kills: list[Kill] = []
    submitted = asyncio.create_task(submit_all(server, workflow_id, accepted))
    await kill_and_restart(server, kills, submitted)
    await submitted
    async with httpx2.AsyncClient(base_url=server.url) as http:
        outputs = {n: await output_of(http, execution_id) for n, execution_id in accepted.items()}
    assert server.stop() == 0
    assert len(accepted) == EXECUTIONS
    assert {n: output["v"] for n, output in outputs.items()} == {n: expected(n) for n in range(EXECUTIONS)}
    keys = {f"{execution_id}:{node}:0:0" for execution_id in accepted.values() for node in ("one", "two", "three")}
    assert set(counter.calls) == keys, "every effect happened, and no other"
    repeated = {key: calls for key, calls in counter.calls.items() if len(calls) > 1}
    longest_unnoted = 0.0
    for key, calls in repeated.items():
        for before, again in itertools.pairwise(calls):
            between = [
                kill for kill in kills if before.began <= kill.ended + ARRIVAL_SECONDS and kill.began <= again.began
            ]
            assert between, f"{key} was repeated although the server was not killed"
            unnoted = max((kill.began - before.ended for kill in between[:1] if before.ended is not None), default=0.0)
            longest_unnoted = max(longest_unnoted, unnoted)
            assert unnoted < UNNOTED_SECONDS, f"{key} had ended {unnoted:.2f} s before the kill, and was repeated"
    print(  # noqa: T201 - the figures are what the target is run for
        f"\n{EXECUTIONS} executions, {len(kills)} kills, {len(keys)} effects, {len(repeated)} of them repeated "
        f"({sum(len(calls) - 1 for calls in repeated.values())} repetitions, of effects that had ended at most "
        f"{longest_unnoted * 1000:.0f} ms before the kill); all results as undisturbed"
    )
