"""Callers that go on whatever happens, and a service that notes every effect."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
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
    handled: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    async def effect(self, request: Request) -> Response:
        """Twice what was sent, after a while."""
        call = Call(time.monotonic())
        self.calls[request.headers["idempotency-key"]].append(call)
        sent = await request.json()
        if "of" in sent:
            self.handled[sent["of"]].add(request.headers["idempotency-key"])
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


def effect(effects_url: str, path: str = "effect", v: str = "$json.v ?? $json.body.v", **more: Any) -> dict[str, Any]:
    """A node that has an effect with this value."""
    parameters = {"url": f"{effects_url}/{path}", "method": "POST", "json_body": {"v": f"={{{{ {v} }}}}"}}
    return {"type": "http_request", "parameters": parameters, **more}


def callees(effects_url: str) -> dict[str, dict[str, Any]]:
    """What other workflows start: a child, and an error workflow that says whose error it deals with."""
    handle = effect(effects_url, v="0")
    handle["parameters"]["json_body"]["of"] = "={{ $json.execution.id }}"
    return {
        "child": {
            "name": "child",
            "nodes": {"in": {"type": "manual"}, "one": effect(effects_url), "out": _fields(v="$json.body.v")},
            "connections": [["in", "one"], ["one", "out"]],
        },
        "handler": {
            "name": "handler",
            "nodes": {"in": {"type": "manual"}, "handle": handle},
            "connections": [["in", "handle"]],
        },
    }


def definitions(effects_url: str, called: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What is run, by name; ``called`` has the ids of :func:`callees`.

    Effects in a row, a pause in between, an answer to the caller, one that cannot succeed; a loop, sub-workflows, an
    approval, a failure with an error workflow.
    """

    def one() -> dict[str, Any]:
        return effect(effects_url)

    def hook(path: str) -> dict[str, Any]:
        return {"type": "webhook", "parameters": {"path": path}}

    several = {
        "grow": _fields(each="[1, 2, 3].map(n => ({v: n + $json.body.v}))"),
        "several": {"type": "split_out", "parameters": {"field": "each"}},
    }
    return {
        "row": {
            "name": "row",
            "nodes": {"in": hook("row"), "one": one(), "two": one(), "three": one()},
            "connections": [["in", "one"], ["one", "two"], ["two", "three"]],
        },
        "pause": {
            "name": "pause",
            "nodes": {
                "in": hook("pause"),
                "one": one(),
                "pause": {"type": "wait", "parameters": {"seconds": 1}},
                "two": one(),
            },
            "connections": [["in", "one"], ["one", "pause"], ["pause", "two"]],
        },
        "answer": {
            "name": "answer",
            "nodes": {
                "in": hook("answer"),
                "one": one(),
                "say": {"type": "respond", "parameters": {"body": {"id": "={{ $execution.id }}"}}},
                "two": one(),
            },
            "connections": [["in", "one"], ["one", "say"], ["say", "two"]],
        },
        "dead": {
            "name": "dead",
            "nodes": {"in": hook("dead"), "one": effect(effects_url, "broken", retry={"max_attempts": 1})},
            "connections": [["in", "one"]],
        },
        "loop": {
            "name": "loop",
            "nodes": {
                "in": hook("loop"),
                **several,
                "loop": {"type": "loop", "parameters": {"batch_size": 1}},
                "one": effect(effects_url, v="$json.each?.v ?? $json.v"),
                "end": _fields(v="$json.body.v"),
            },
            "connections": [
                ["in", "grow"],
                ["grow", "several"],
                ["several", "loop"],
                ["loop.batch", "one"],
                ["one", "loop"],
                ["loop.done", "end"],
            ],
        },
        "children": {
            "name": "children",
            "nodes": {
                "in": hook("children"),
                **several,
                "plain": _fields(v="$json.each?.v ?? $json.v"),
                "each": {"type": "for_each", "parameters": {"workflow_id": called["child"]}},
                "end": _fields(v="$json.output.items.out[0].v"),
            },
            "connections": [
                ["in", "grow"],
                ["grow", "several"],
                ["several", "plain"],
                ["plain", "each"],
                ["each", "end"],
            ],
        },
        "asks": {
            "name": "asks",
            "nodes": {
                "in": hook("asks"),
                "ask": {"type": "approval", "parameters": {"question": "Go on?"}},
                "one": one(),
            },
            "connections": [["in", "ask"], ["ask.approve", "one"]],
        },
        "errors": {
            "name": "errors",
            "nodes": {
                "in": hook("errors"),
                "one": one(),
                "no": {"type": "stop_and_error", "parameters": {"message": "no"}},
            },
            "connections": [["in", "one"], ["one", "no"]],
            "settings": {"error_workflow": called["handler"]},
        },
    }


def outputs(name: str, number: int) -> list[int] | None:
    """The values that an execution gives that caller ``number`` started; ``None`` where nothing is compared."""
    return [2 * (n + number) for n in (1, 2, 3)] if name in ("loop", "children") else None


def _fields(**expressions: str) -> dict[str, Any]:
    fields = {name: f"={{{{ {expression} }}}}" for name, expression in expressions.items()}
    return {"type": "set", "parameters": {"fields": fields, "keep_input": False}}


@dataclass(slots=True)
class Load:
    """Callers in turn at all servers. ``accepted`` are ids by the name of what they run."""

    servers: Sequence[JobsprintProcess]
    accepted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    numbers: dict[str, int] = field(default_factory=dict)
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
                execution_id = body.get("execution_id") or body["id"]
                self.accepted[name].append(execution_id)
                self.numbers[execution_id] = number
                self.waits.append(time.monotonic() - began)
            return
        self.outcomes["nobody there"] += 1

    async def approver(self) -> None:
        """Approve what waits for a person, until cancelled: what a fault holds up waits long after others."""
        for server in itertools.cycle(self.servers):
            with contextlib.suppress(httpx2.HTTPError):
                async with httpx2.AsyncClient(base_url=server.url, timeout=10) as http:
                    await self._approve(http)
            await asyncio.sleep(0.3)

    async def _approve(self, http: httpx2.AsyncClient) -> None:
        """Approve a page of what waits."""
        answer = await http.get("/api/executions", params={"status": "waiting", "limit": 100})
        if answer.status_code != 200:
            return
        asking = [each["execution_id"] for each in answer.json()["executions"] if each["workflow"] == "asks"]
        for execution_id in asking:
            data = {"data": {"choice": "approve"}}
            # 409: answered before, by a call whose answer was lost; it is seen in the end whether that was so.
            await http.post(f"/api/executions/{execution_id}/resume", json=data)
