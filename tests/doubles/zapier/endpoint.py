"""The double over HTTP: tokens, OAuth, what goes wrong before and behind the tools, and the operator's route."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.doubles.zapier.catalogue import Catalogue
from tests.doubles.zapier.server import EXECUTORS, PATH, ZapierDouble
from tests.support.http_target import listening

STATUSES = ("401", "404", "429", "500", "502", "503")


class Endpoint:
    """The ASGI application in front of ``inner``, the SDK's."""

    def __init__(self, double: ZapierDouble, inner: ASGIApp) -> None:
        self._double = double
        self._inner = inner
        routes = [*double.guard.routes(), Route("/admin", self.admin, methods=["GET", "POST"])]
        self._others = Starlette(routes=routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["path"] != PATH:
            await self._others(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, send)
        elif scope["method"] == "POST":
            await self._post(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def admin(self, request: Request) -> Response:
        """What has happened, and how the double is set; a body changes its settings, traps above all."""
        double = self._double
        if request.method == "POST":
            for name, value in (await request.json()).items():
                if name == "expire":
                    double.guard.expire()
                elif name == "tokens":
                    double.tokens = set(value)
                elif name in ("traps", "traps_of", "tasks_left", "mode"):
                    setattr(double, name, value)
                else:
                    return JSONResponse({"error": f"There is nothing called {name}."}, 400)
        shown = {"ledger": double.ledger, "traps": double.traps, "traps_of": double.traps_of, "mode": double.mode}
        counted = {"attempts": double.attempts, "requests": double.requests, "meta_calls": double.meta_calls}
        return JSONResponse({**shown, **counted, "tasks_left": double.tasks_left})

    def _refused(self, scope: Scope) -> Response | None:
        """The answer to a request without a good token."""
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        authorization = headers.get("authorization", "")
        in_query = dict(parse_qsl(scope["query_string"].decode())).get("token")
        token = in_query or authorization.removeprefix("Bearer ")
        guard = self._double.guard
        if token in self._double.tokens or guard.is_good(authorization):
            return None
        if in_query or (authorization and not token.startswith("access-")):
            return Response("Not found", 404)  # so it does, for connection tokens that it does not know
        return Response("no", 401, headers={"www-authenticate": guard.challenge()})

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A message of MCP, unless it is a call that runs into something."""
        double = self._double
        body = await Request(scope, receive).body()
        message = json.loads(body)
        double.requests[message.get("method", "answer")] += 1
        params = message.get("params") or {}
        name = params.get("name", "")
        if message.get("method") == "tools/call":
            is_action = double.mode == "managed" or name in EXECUTORS
            double.attempts += is_action
            action = double.meant(name, params.get("arguments") or {})
            tool = action.tool if action is not None else name
            status = double.trap(tool, is_action=is_action, among=STATUSES)
            if status is not None:
                await Response("no", int(status), headers={"retry-after": double.retry_after})(scope, receive, send)
                return
            if double.trap(tool, is_action=is_action, among=("drop",)):
                send = _breaking(send)
        await self._inner(scope, _again(body, receive), send)


def _again(body: bytes, receive: Receive) -> Receive:
    """The request's body once more, and then what comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _breaking(send: Send) -> Send:
    """Begin to answer, and never end: the server closes the connection then."""

    async def breaking(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, value) for name, value in message["headers"] if name != b"content-length"]
            await send({**message, "headers": headers})
        elif message.get("body"):
            await send({**message, "body": message["body"][:10], "more_body": True})

    return breaking


@asynccontextmanager
async def running_zapier(*, port: int = 0, actions: int | None = None, **members: Any) -> AsyncIterator[ZapierDouble]:
    """The double, listening on this machine."""
    double = ZapierDouble(**members)
    if actions is not None:
        double.catalogue = Catalogue(actions)
    inner = double.server().streamable_http_app(streamable_http_path=PATH)
    async with inner.router.lifespan_context(inner), listening(Endpoint(double, inner), port=port) as url:
        double.url = f"{url}{PATH}"
        double.guard.url = url
        yield double
