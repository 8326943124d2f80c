"""The MCP endpoint: one low-level server over the tools and resources, for both protocol eras and transports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

from server.selection import wanted_tools
from tools.caller import LOCAL_USER
from tools.resources import Resources
from tools.toolbox import Toolbox
from workflow.errors import JobsprintError

INSTRUCTIONS = (
    "Jobsprint runs workflows: graphs of nodes that pass items (JSON objects) on. To build one: find_nodes for the "
    "types you need, create_workflow, execute_workflow, and inspect_execution where the result is not what you "
    "expected; publish_workflow puts it into use. Every error says what is wrong, where, and how to mend it; findings "
    'carry JSON Patches that update_workflow takes as {"op":"patch"}.'
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


def build_mcp_server(*, version: str, toolbox: Toolbox, resources: Resources) -> Server[Any]:
    """The server with all its handlers; it holds no state of its own."""

    async def list_tools(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        caller = _SessionCaller(context)
        return types.ListToolsResult(tools=await toolbox.listed(caller.user, wanted_tools(context.request)))

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        caller = _SessionCaller(context)
        tool = await toolbox.get(caller.user, params.name, wanted_tools(context.request))
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        return await tool.call(params.arguments or {}, caller)

    async def list_resources(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        try:
            found, next_cursor = await resources.page(params.cursor if params is not None else None)
        except JobsprintError as error:
            raise MCPError(types.INVALID_PARAMS, error.message) from error
        return types.ListResourcesResult(resources=found, next_cursor=next_cursor)

    async def list_resource_templates(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=resources.templates())

    async def read_resource(
        context: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        try:
            contents = await resources.read(str(params.uri))
        except JobsprintError as error:
            raise MCPError(types.INVALID_PARAMS, error.message, {"uri": str(params.uri), "fix": error.fix}) from error
        return types.ReadResourceResult(contents=[contents])

    return Server(
        "jobsprint",
        version=version,
        title="Jobsprint",
        instructions=INSTRUCTIONS,
        get_tool_input_schema=toolbox.input_schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_resource_templates,
        on_read_resource=read_resource,
    )
