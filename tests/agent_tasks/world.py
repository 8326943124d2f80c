"""The world that tasks act on: an HTTP server that keeps what was done to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.http_target import listening

ORDERS = [
    {"id": 1, "customer": "Ada", "amount": 40, "country": "NO"},
    {"id": 2, "customer": "Grace", "amount": 250, "country": "US"},
    {"id": 3, "customer": "Alan", "amount": 120, "country": "GB"},
]


@dataclass(slots=True)
class World:
    """``done`` has each effect as ``[path, body]``; ``fails`` is how many answers of the flaky
    address fail next."""

    url: str = ""
    done: list[list[Any]] = field(default_factory=list)
    fails: int = 0
    keys: set[str] = field(default_factory=set)

    async def orders(self, request: Request) -> Response:
        """The orders there are."""
        return JSONResponse({"orders": ORDERS})

    async def keep(self, request: Request) -> Response:
        """Keep what was sent, once for each idempotency key."""
        key = request.headers.get("idempotency-key", "")
        if key not in self.keys:
            self.keys.add(key)
            self.done.append([request.url.path, await request.json()])
        return JSONResponse({"kept": len(self.done)}, status_code=201)

    async def flaky(self, request: Request) -> Response:
        """Out of order for a while."""
        if self.fails:
            self.fails -= 1
            return JSONResponse({"error": "out of order"}, status_code=503)
        return await self.keep(request)

    async def rate(self, request: Request) -> Response:
        """What a unit of a currency costs."""
        return JSONResponse({"rates": {"EUR": 1, "USD": 1.25, "NOK": 11.5}})


@asynccontextmanager
async def running_world() -> AsyncIterator[World]:
    """A new world, until the context is left."""
    world = World()
    routes = [
        Route("/orders", world.orders),
        Route("/rates", world.rate),
        Route("/mail", world.keep, methods=["POST"]),
        Route("/refunds", world.keep, methods=["POST"]),
        Route("/flaky", world.flaky, methods=["POST"]),
    ]
    async with listening(Starlette(routes=routes)) as world.url:
        yield world
