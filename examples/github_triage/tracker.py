"""The tracker that cards are posted to: an HTTP server that is as slow as real ones are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ANSWER_SECONDS = 0.4


@dataclass(slots=True)
class Tracker:
    """``cards`` holds what was posted; a card that is posted again with the same key is not made again."""

    url: str = ""
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def add_card(self, request: Request) -> Response:
        """201 with the card and its id."""
        card = await request.json()
        await asyncio.sleep(ANSWER_SECONDS)
        made = self.cards.setdefault(request.headers["idempotency-key"], {"id": f"C-{len(self.cards) + 1}", **card})
        return JSONResponse(made, status_code=201)


@asynccontextmanager
async def serving(tracker: Tracker) -> AsyncIterator[Tracker]:
    """The tracker, on a free port of this machine until the context is left."""
    app = Starlette(routes=[Route("/cards", tracker.add_card, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    tracker.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    loop = asyncio.create_task(server.main_loop())
    try:
        yield tracker
    finally:
        server.should_exit = True
        await loop
        await server.shutdown()
