"""Callers that go on whatever happens, and a service that notes every effect."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.chaos_cluster.cluster import JobsprintProcess
from tests.support.http_target import listening


@dataclass(slots=True)
class Call:
    """One arrival of an effect."""

    began: float
    ended: float | None = None


@dataclass(slots=True)
class Effects:
    """The service that effects go to; it answers by what was sent alone, and refuses everything under ``/broken``."""

    url: str = ""
    calls: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))

    async def effect(self, request: Request) -> Response:
        """Twice what was sent, after a while."""
        call = Call(time.monotonic())
        self.calls[request.headers["idempotency-key"]].append(call)
        sent = await request.json()
        await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 - it only spreads the load
        call.ended = time.monotonic()
        return JSONResponse({"v": sent["v"] * 2})

    async def broken(self, request: Request) -> Response:
        """503, always."""
        return Response(status_code=503)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Effects]:
        """The service at work."""
        routes = [Route("/effect", self.effect, methods=["POST"]), Route("/broken", self.broken, methods=["POST"])]
        async with listening(Starlette(routes=routes)) as self.url:
            yield self


def definitions(effects_url: str) -> dict[str, dict[str, Any]]:
    """What is run, by name: effects in a row, a pause in between, an answer to the caller, one that cannot succeed."""

    def effect(path: str = "effect", **more: Any) -> dict[str, Any]:
        body = {"v": "={{ $json.v ?? $json.body.v }}"}
        url = f"{effects_url}/{path}"
        return {"type": "http_request", "parameters": {"url": url, "method": "POST", "json_body": body}, **more}

    def hook(path: str) -> dict[str, Any]:
        return {"type": "webhook", "parameters": {"path": path}}

    return {
        "row": {
            "name": "row",
            "nodes": {"in": hook("row"), "one": effect(), "two": effect(), "three": effect()},
            "connections": [["in", "one"], ["one", "two"], ["two", "three"]],
        },
        "pause": {
            "name": "pause",
            "nodes": {
                "in": hook("pause"),
                "one": effect(),
                "pause": {"type": "wait", "parameters": {"seconds": 1}},
                "two": effect(),
            },
            "connections": [["in", "one"], ["one", "pause"], ["pause", "two"]],
        },
        "answer": {
            "name": "answer",
            "nodes": {
                "in": hook("answer"),
                "one": effect(),
                "say": {"type": "respond", "parameters": {"body": {"id": "={{ $execution.id }}"}}},
                "two": effect(),
            },
            "connections": [["in", "one"], ["one", "say"], ["say", "two"]],
        },
        "dead": {
            "name": "dead",
            "nodes": {"in": hook("dead"), "one": effect("broken", retry={"max_attempts": 1})},
            "connections": [["in", "one"]],
        },
    }


@dataclass(slots=True)
class Load:
    """Callers in turn at all servers. ``accepted`` are ids by the name of what they run."""

    servers: Sequence[JobsprintProcess]
    accepted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    outcomes: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    is_over: bool = False

    async def caller(self, number: int, names: Sequence[str], pause_seconds: float) -> None:
        """Call until it is over, whatever the answers are."""
        turns = itertools.cycle(names)
        async with httpx2.AsyncClient(timeout=10) as http:
            while not self.is_over:
                await self._call(http, number, next(turns))
                await asyncio.sleep(pause_seconds)

    async def _call(self, http: httpx2.AsyncClient, number: int, name: str) -> None:
        """One call, at another server where one is away, as a proxy does that knows two."""
        began = time.monotonic()
        for attempt in range(len(self.servers)):
            server = self.servers[(number + attempt) % len(self.servers)]
            try:
                answer = await http.post(f"{server.url}/webhooks/{name}", json={"v": number})
            except httpx2.ConnectError:
                continue
            except httpx2.HTTPError as error:  # it may have been accepted: nobody was promised anything
                self.outcomes[type(error).__name__] += 1
                return
            self.outcomes[str(answer.status_code)] += 1
            if answer.status_code in (200, 202):
                body = answer.json()
                self.accepted[name].append(body.get("execution_id") or body["id"])
                self.waits.append(time.monotonic() - began)
            return
        self.outcomes["nobody there"] += 1
