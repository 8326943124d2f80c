"""A double of somebody's MCP server: both eras of the protocol, tools that ask, take their time and change, and what
goes wrong between here and there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
from mcp.server import Server
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.doubles.authorization_server import AuthorizationServer
from tests.support.http_target import listening

SIZE_FORM = {"type": "object", "properties": {"size": {"type": "string"}}, "required": ["size"]}
READ_ONLY = types.ToolAnnotations(read_only_hint=True)


def tool(name: str, *, annotations: types.ToolAnnotations | None = None, **properties: Any) -> types.Tool:
    """A tool whose arguments are all required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return types.Tool(name=name, description=f"Does {name}.", input_schema=schema, annotations=annotations)


def usual_tools() -> list[types.Tool]:
    """What the server has at first."""
    text = {"type": "string"}
    return [
        tool("echo", annotations=READ_ONLY, text=text),
        tool("order", item=text),
        tool("order_size", item=text),
        tool("steps", annotations=READ_ONLY),
        tool("broken", item=text),
    ]


SLOW_START_SECONDS = 0.5
"""The tool ``steps`` waits so long before its first progress: by then the client listens."""


@dataclass(slots=True)
class McpDouble:
    """The server. ``ordered`` is what has really happened; ``calls`` counts calls of tools, ``opened`` requests.

    ``statuses`` are answered in place of the next calls of tools; ``before`` and ``after`` run around an order.
    """

    url: str = ""
    token: str | None = None
    guard: AuthorizationServer | None = None
    is_old: bool = False
    page_size: int = 100
    tools: list[types.Tool] = field(default_factory=usual_tools)
    ordered: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    metas: list[Any] = field(default_factory=list)
    calls: int = 0
    lists: int = 0
    statuses: list[int] = field(default_factory=list)
    after_order: Callable[[], Any] | None = None
    sessions: list[Any] = field(default_factory=list)

    async def list_tools(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """A page of the tools."""
        self.lists += 1
        start = int(params.cursor) if params is not None and params.cursor else 0
        stop = start + self.page_size
        return types.ListToolsResult(
            tools=self.tools[start:stop], next_cursor=str(stop) if stop < len(self.tools) else None
        )

    async def call_tool(
        self, ctx: Any, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Do what the tool does."""
        self.calls += 1
        self.metas.append(params.meta)
        self.sessions.append(ctx.session)
        arguments = params.arguments or {}
        match params.name:
            case "echo":
                return text_result(str(arguments["text"]))
            case "order":
                self.ordered.append(arguments["item"])
                if self.after_order is not None:
                    await self.after_order()
                return text_result('{"ordered": true}')
            case "order_size":
                return await self._order_size(ctx, params)
            case "steps":
                await asyncio.sleep(SLOW_START_SECONDS)
                for step in (1, 2):
                    await ctx.session.report_progress(step, 2, f"step {step}")
                return types.CallToolResult(content=[], structured_content={"steps": 2})
            case "broken":
                return types.CallToolResult(
                    content=[types.TextContent(type="text", text="No such item.")], is_error=True
                )
        raise ValueError(params.name)

    async def _order_size(self, ctx: Any, params: types.CallToolRequestParams) -> Any:
        ask = types.ElicitRequestFormParams(message="Which size?", requested_schema=SIZE_FORM)
        if self.is_old:
            answer = await ctx.session.elicit_form(ask.message, SIZE_FORM, related_request_id=ctx.request_id)
        else:
            given = (params.input_responses or {}).get("size")
            if given is None:
                return types.InputRequiredResult(
                    input_requests={"size": types.ElicitRequest(params=ask)}, request_state="half way"
                )
            assert params.request_state == "half way"
            answer = types.ElicitResult.model_validate(given, from_attributes=True)
        if answer.action != "accept":
            return text_result("not ordered")
        size = (answer.content or {})["size"]
        self.ordered.append(f"{(params.arguments or {})['item']} {size}")
        return text_result(f"ordered in {size}")

    async def read_resource(self, ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """A resource of JSON."""
        content = types.TextResourceContents(uri=params.uri, mime_type="application/json", text='{"stock": 3}')
        return types.ReadResourceResult(contents=[content])

    def server(self) -> Server[Any]:
        """The SDK's server that does this."""
        return Server(
            "double",
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_read_resource=self.read_resource,
        )

    def app(self, inner: ASGIApp) -> ASGIApp:
        """The server over HTTP, behind what stands between here and there."""

        guarded: ASGIApp = Starlette(routes=self.guard.routes()) if self.guard is not None else inner

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] != "/mcp":
                await guarded(scope, receive, send)
                return
            await (self._refused(scope) or inner)(scope, receive, send)

        return app

    def _refused(self, scope: Scope) -> Response | None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.authorizations.append(headers.get("authorization", ""))
        if self.token is not None and headers.get("authorization") != f"Bearer {self.token}":
            return Response("no", 401, headers={"www-authenticate": 'Bearer scope="mcp"'})
        if self.guard is not None and not self.guard.is_good(headers.get("authorization", "")):
            return Response("no", 401, headers={"www-authenticate": self.guard.challenge()})
        if self.is_old and headers.get("mcp-protocol-version", "").startswith("2026"):
            error = {"code": -32600, "message": "Unsupported protocol version"}
            return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 400)
        is_call = headers.get("mcp-method", "tools/call") == "tools/call" and scope["method"] == "POST"
        if self.statuses and is_call and (not self.is_old or "mcp-session-id" in headers):
            status = self.statuses.pop(0)
            return Response("no", status, headers={"retry-after": "7"}) if status else None
        return None


def text_result(text: str) -> types.CallToolResult:
    """A text."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


@asynccontextmanager
async def running_mcp_double(**members: Any) -> AsyncIterator[McpDouble]:
    """The server, listening on this machine."""
    double = McpDouble(**members)
    inner = double.server().streamable_http_app()
    async with inner.router.lifespan_context(inner), listening(double.app(inner)) as url:
        double.url = f"{url}/mcp"
        if double.guard is not None:
            double.guard.url = url
        yield double


async def never() -> None:
    """Nothing, for ever."""
    await asyncio.Event().wait()
