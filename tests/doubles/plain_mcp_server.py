"""An MCP server that answers with JSON as it stands, also with what no SDK would send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.http_target import listening

Page = Callable[[str | None], dict[str, Any]]


@dataclass(slots=True)
class PlainMcpServer:
    """The server. ``tools`` are raw; ``page`` answers with a page by its cursor; ``result`` is what each call comes to.

    ``cursors`` are those that it was asked for, ``calls`` names and arguments of tools.
    """

    tools: list[Any] = field(default_factory=list)
    page: Page | None = None
    result: dict[str, Any] = field(default_factory=lambda: {"content": [{"type": "text", "text": "done"}]})
    url: str = ""
    cursors: list[str | None] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        """The answer to one message."""
        if request.method != "POST":
            return Response(status_code=405)
        message = await request.json()
        if "id" not in message:
            return Response(status_code=202)
        result = self._result(message["method"], message.get("params") or {})
        if result is None:
            error = {"code": -32601, "message": "Method not found"}
            return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error})
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        match method:
            case "initialize":
                info = {"name": "plain", "version": "1"}
                return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
            case "ping":
                return {}
            case "tools/list":
                self.cursors.append(params.get("cursor"))
                return {"tools": self.tools} if self.page is None else self.page(params.get("cursor"))
            case "tools/call":
                self.calls.append((params["name"], params.get("arguments") or {}))
                return self.result
        return None


@asynccontextmanager
async def running_plain_server(**members: Any) -> AsyncIterator[PlainMcpServer]:
    """The server, listening."""
    server = PlainMcpServer(**members)
    app = Starlette(routes=[Route("/mcp", server.answer, methods=["GET", "POST", "DELETE"])])
    async with listening(app) as url:
        server.url = f"{url}/mcp"
        yield server
