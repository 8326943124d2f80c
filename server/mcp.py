"""The MCP endpoint: one low-level server over the tools and resources, for both protocol eras and transports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from mcp.server.apps import client_supports_apps
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

from server.identity import IdentifiedServer
from tools import execution_app
from tools.caller import LOCAL_USER
from tools.resources import Resources
from tools.tool import Tool
from workflow.errors import JobsprintError

INSTRUCTIONS = (
    "Jobsprint runs workflows: graphs of nodes that pass items (JSON objects) on. To build one: find_nodes for the "
    "types you need, create_workflow, execute_workflow, and inspect_execution where the result is not what you "
    "expected. Every error says what is wrong, where, and how to mend it; findings carry JSON Patches that "
    'update_workflow takes as {"op":"patch"}.'
)


@dataclass(slots=True, frozen=True)
class _SessionCaller:
    """A :class:`tools.caller.Caller` over the SDK's context of a request."""

    context: ServerRequestContext[Any]

    @property
    def user(self) -> str:
        return LOCAL_USER

    async def report_progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        await self.context.session.report_progress(done, total, message)


def build_mcp_server(*, version: str, tools: Iterable[Tool[Any]], resources: Resources) -> Server[Any]:
    """The server with all its handlers; it holds no state of its own."""
    by_name = {tool.name: tool for tool in tools}
    listed = {
        has_apps: types.ListToolsResult(tools=[tool.listed_for(has_apps=has_apps) for tool in by_name.values()])
        for has_apps in (False, True)
    }

    async def list_tools(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return listed[client_supports_apps(context)]

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = by_name.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        return await tool.call(params.arguments or {}, _SessionCaller(context))

    async def list_resources(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        try:
            found, next_cursor = await resources.page(params.cursor if params is not None else None)
        except JobsprintError as error:
            raise MCPError(types.INVALID_PARAMS, error.message) from error
        if (params is None or params.cursor is None) and client_supports_apps(context):
            found.insert(0, execution_app.listed())
        return types.ListResourcesResult(resources=found, next_cursor=next_cursor)

    async def list_resource_templates(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=resources.templates())

    async def read_resource(
        context: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        if str(params.uri) == execution_app.URI:
            return types.ReadResourceResult(contents=[execution_app.page()])
        try:
            contents = await resources.read(str(params.uri))
        except JobsprintError as error:
            raise MCPError(types.INVALID_PARAMS, error.message, {"uri": str(params.uri), "fix": error.fix}) from error
        return types.ReadResourceResult(contents=[contents])

    def input_schema(name: str) -> Mapping[str, Any] | None:
        """Spares the SDK a whole ``tools/list`` for every call with arguments."""
        tool = by_name.get(name)
        return tool.listed.input_schema if tool is not None else None

    server = IdentifiedServer(
        version=version,
        instructions=INSTRUCTIONS,
        get_tool_input_schema=input_schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_resource_templates,
        on_read_resource=read_resource,
    )
    server.extensions[execution_app.EXTENSION] = {}
    return server
