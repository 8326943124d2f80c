"""The double itself: an MCP server behind tokens and OAuth, with a ledger of what has really happened."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

import mcp_types as types
from mcp.server import Server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.doubles.authorization_server import AuthorizationServer
from tests.doubles.zapier.catalogue import Catalogue, ZapierAction
from tests.support.http_target import listening

PATH = "/api/v1/connect"
TOKEN = "zapier-connection-token"
FEEDBACK = "https://mcp.zapier.com/feedback/1"
PAGE_SIZE = 100
META_TOOLS = (
    "discover_zapier_actions", "enable_zapier_action", "disable_zapier_action", "auto_provision_mcp",
    "list_zapier_connections", "manage_zapier_connections", "create_skill", "get_skill", "update_skill",
    "delete_skill", "write_code_action", "get_configuration_url", "send_feedback",
)  # fmt: skip

Mode = Literal["managed", "agentic"]
Trap = Literal[
    "401", "404", "429", "500", "502", "503", "hang", "slow success", "not json", "other json", "empty", "preview",
    "failure", "drop",
]  # fmt: skip
"""What goes wrong with one call of an action."""


@dataclass(slots=True)
class ZapierDouble:
    """The double. ``ledger`` has every action that has really happened, ``traps`` what the next calls run into.

    ``attempts`` counts calls of actions, ``meta_calls`` has those of tools that widen what may be done.
    """

    mode: Mode = "agentic"
    catalogue: Catalogue = field(default_factory=Catalogue)
    lister: str = "inspect_zapier_actions"
    params_name: str = "params"
    has_tool_name: bool = False
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    tasks_left: int = 1_000
    url: str = ""
    guard: AuthorizationServer = field(default_factory=lambda: AuthorizationServer(path=PATH))
    traps: list[Trap] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    meta_calls: list[str] = field(default_factory=list)
    lists: int = 0
    attempts: int = 0
    retry_after: str = "7"
    ids: Any = field(default_factory=lambda: itertools.count(1))

    async def list_tools(self, ctx: Any, params: Any) -> types.ListToolsResult:
        """A tool per action, or the meta-tools."""
        self.lists += 1
        if self.mode == "managed":
            tools = [
                types.Tool(
                    name=each.tool, description=each.description, input_schema=each.schema(with_instructions=True)
                )
                for each in self.catalogue.actions
            ]
            return types.ListToolsResult(tools=tools)
        execute: dict[str, Any] = {
            "selected_api": {"type": "string"},
            "action": {"type": "string"},
            self.params_name: {"type": "object"},
            "instructions": {"type": "string"},
        }
        if self.has_tool_name:
            execute["tool_name"] = {"type": "string"}
        schema = {"type": "object", "properties": execute, "required": ["selected_api", "action", "instructions"]}
        listing = {"type": "object", "properties": {"cursor": {"type": "string"}}}
        return types.ListToolsResult(
            tools=[
                types.Tool(name=self.lister, description="The enabled actions.", input_schema=listing),
                types.Tool(name="execute_zapier_read_action", description="Reads.", input_schema=schema),
                types.Tool(name="execute_zapier_write_action", description="Writes.", input_schema=schema),
                *(
                    types.Tool(name=name, description=f"{name}.", input_schema={"type": "object"})
                    for name in META_TOOLS
                ),
            ]
        )

    async def call_tool(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        """List, execute, or widen one's powers."""
        arguments = params.arguments or {}
        if params.name == self.lister:
            return self._listed(arguments)
        if params.name in META_TOOLS:
            self.meta_calls.append(params.name)
            return _json({"ok": True})
        if self.mode == "managed":
            found = next((each for each in self.catalogue.actions if each.tool == params.name), None)
            given = {name: value for name, value in arguments.items() if name != "instructions"}
        else:
            found = next(
                (
                    each
                    for each in self.catalogue.actions
                    if (each.api, each.key) == (arguments.get("selected_api"), arguments.get("action"))
                ),
                None,
            )
            given = arguments.get(self.params_name, {})
            if self.has_tool_name and "tool_name" not in arguments:
                return _failure("tool_name is required")
        if found is None:
            return _failure("Action not found or not enabled.")
        return await self._executed(found, given, arguments.get("instructions", ""))

    async def _executed(self, action: ZapierAction, params: dict[str, Any], instructions: str) -> types.CallToolResult:
        trap = self.traps.pop(0) if self.traps else None
        if trap == "hang":
            await asyncio.Event().wait()
        if trap == "failure":
            return _failure("The app answered: no such record.")
        if any(name not in params for name in action.required) or set(params) - set(action.params):
            return _failure("Required or unknown fields.")
        if trap == "preview":
            return self._succeeded(action, params, instructions, is_preview=True)
        if self.tasks_left < 2:
            return _failure("You have no tasks left: the task limit of your plan is reached.")
        self.tasks_left -= 2
        self.ledger.append({"action": action.key, "params": params, "instructions": instructions})
        if trap == "slow success":
            await asyncio.Event().wait()
        if trap == "not json":
            return types.CallToolResult(content=[types.TextContent(type="text", text="Done! The email was sent.")])
        if trap == "other json":
            return _json({"message": "ok"})
        if trap == "empty":
            return types.CallToolResult(content=[])
        return self._succeeded(action, params, instructions, is_preview=False)

    def _succeeded(
        self, action: ZapierAction, params: dict[str, Any], instructions: str, *, is_preview: bool
    ) -> types.CallToolResult:
        resolved = {
            name: {"name": name, "label": name.title(), "value": value, "reason": "given", "status": "locked"}
            for name, value in params.items()
        }
        execution = {
            "id": f"exec-{next(self.ids)}",
            "actionId": action.key,
            "mcpServerId": "server-1",
            "instructions": instructions,
            "params": params,
            "resolvedParams": resolved,
            "status": "SUCCESS",
            "createdDT": "2026-01-06T12:00:00Z",
        }
        results = [{"id": next(self.ids), "app": action.api}]
        return _json({"results": results, "feedbackUrl": FEEDBACK, "isPreview": is_preview, "execution": execution})

    def _listed(self, arguments: dict[str, Any]) -> types.CallToolResult:
        start = int(arguments.get("cursor") or 0)
        page = self.catalogue.actions[start : start + PAGE_SIZE]
        entries = [
            {
                "selected_api": each.api,
                "action": each.key,
                "title": each.title,
                "description": each.description,
                "type": each.type,
                "params_schema": each.schema(),
            }
            for each in page
        ]
        stop = start + PAGE_SIZE
        more = {"next_cursor": str(stop)} if stop < len(self.catalogue.actions) else {}
        return _json({"actions": entries, **more})

    def app(self, inner: ASGIApp) -> ASGIApp:
        """The endpoint, behind its doors, and what an operator of the double can do."""
        others = Starlette(routes=[*self.guard.routes(), Route("/admin", self.admin, methods=["GET", "POST"])])

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] != PATH:
                await others(scope, receive, send)
                return
            refused = self._refused(scope)
            await (refused or inner)(scope, receive, send)

        return app

    async def admin(self, request: Request) -> Response:
        """What has happened; with a body ``{"traps": […]}`` what is to go wrong next."""
        if request.method == "POST":
            for name, value in (await request.json()).items():
                setattr(self, name, value)
        shown = {"ledger": self.ledger, "traps": self.traps, "tasks_left": self.tasks_left, "mode": self.mode}
        return JSONResponse(shown)

    def _refused(self, scope: Scope) -> Response | None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        authorization = headers.get("authorization", "")
        in_query = dict(parse_qsl(scope["query_string"].decode())).get("token")
        token = in_query or authorization.removeprefix("Bearer ")
        if token in self.tokens:
            pass
        elif in_query or (authorization and not token.startswith("access-")):
            return Response("Not found", 404)  # so it does, for tokens that it does not know
        elif not self.guard.is_good(authorization):
            return Response("no", 401, headers={"www-authenticate": self.guard.challenge()})
        return self._trapped(headers)

    def _trapped(self, headers: dict[str, str]) -> Response | None:
        is_call = headers.get("mcp-method") == "tools/call" and headers.get("mcp-name") != self.lister
        self.attempts += is_call
        if not is_call or not self.traps or not self.traps[0].isdecimal():
            return None
        return Response("no", int(self.traps.pop(0)), headers={"retry-after": self.retry_after})


@asynccontextmanager
async def running_zapier(*, port: int = 0, actions: int | None = None, **members: Any) -> AsyncIterator[ZapierDouble]:
    """The double, listening on this machine."""
    double = ZapierDouble(**members)
    if actions is not None:
        double.catalogue = Catalogue(actions)
    server: Server[Any] = Server("zapier", on_list_tools=double.list_tools, on_call_tool=double.call_tool)
    inner = server.streamable_http_app(streamable_http_path=PATH)
    async with inner.router.lifespan_context(inner), listening(double.app(inner), port=port) as url:
        double.url = f"{url}{PATH}"
        double.guard.url = url
        yield double


def _tool(action: ZapierAction) -> types.Tool:
    """An action of managed mode."""
    schema = action.schema(with_instructions=True)
    return types.Tool(name=action.tool, description=action.description, input_schema=schema)


def _json(content: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=json.dumps(content))])


def _failure(why: str) -> types.CallToolResult:
    text = json.dumps({"error": why, "feedbackUrl": FEEDBACK})
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)
