"""An HTTP server for requests that workflows send: it keeps what came, and answers by path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(slots=True)
class HttpTarget:
    """``url`` is where it listens; ``received`` what came; ``keys`` of waiting requests, which ``release`` lets go."""

    url: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    status_now: int = 200
    at_once: int = 0
    most_at_once: int = 0

    async def echo(self, request: Request) -> Response:
        """What was sent, as JSON."""
        body = await request.body()
        received = {
            "method": request.method,
            "path": request.url.path,
            "query": request.query_params.multi_items(),
            "headers": dict(request.headers),
            "body": body.decode(),
        }
        self.received.append(received)
        return JSONResponse(received)

    async def status(self, request: Request) -> Response:
        """The status that the path names."""
        return JSONResponse({"asked": request.path_params["status"]}, status_code=request.path_params["status"])

    async def wait(self, request: Request) -> Response:
        """Nothing until the test says so."""
        self.keys.append(request.headers.get("idempotency-key", ""))
        self.arrived.set()
        await self.release.wait()
        return JSONResponse({"waited": True})

    async def now(self, request: Request) -> Response:
        """The status that the test has set."""
        return JSONResponse({}, status_code=self.status_now)

    async def pause(self, request: Request) -> Response:
        """Nothing for a moment, and how many wait for that at once."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.05)
        self.at_once -= 1
        return JSONResponse({})

    async def large(self, request: Request) -> Response:
        """As many bytes as the path names."""
        return Response(b"x" * request.path_params["size"], media_type="text/plain")

    async def redirect(self, request: Request) -> Response:
        """To the echo, or in a circle."""
        return RedirectResponse("/redirect/loop" if request.path_params["to"] == "loop" else "/echo")

    async def text(self, request: Request) -> Response:
        """JSON that says it is text."""
        return Response(orjson.dumps({"a": 1}), media_type="text/plain")

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/echo", self.echo, methods=METHODS),
                Route("/status/{status:int}", self.status, methods=METHODS),
                Route("/wait", self.wait, methods=METHODS),
                Route("/now", self.now, methods=METHODS),
                Route("/pause", self.pause, methods=METHODS),
                Route("/large/{size:int}", self.large),
                Route("/redirect/{to}", self.redirect, methods=METHODS),
                Route("/text", self.text),
            ]
        )


@asynccontextmanager
async def serving(target: HttpTarget) -> AsyncIterator[HttpTarget]:
    """The target, listening on a free port until the context is left."""
    async with listening(target.app()) as target.url:
        try:
            yield target
        finally:
            target.release.set()


@asynccontextmanager
async def listening(app: ASGIApp, **options: Any) -> AsyncIterator[str]:
    """The URL of a free port where the application is served until the context is left; ``options`` are uvicorn's."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", **{"port": 0, **options})
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        await server.on_tick(0)
        yield f"http://127.0.0.1:{port}"
    finally:
        # As uvicorn does, which sleeps for a tenth of a second on the way, or for two.
        for each in server.servers:
            each.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        if server.server_state.tasks:
            await asyncio.wait(server.server_state.tasks)
