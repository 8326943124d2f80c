"""Calls a tool of a connected MCP server."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.nodes.actions.action_node import CONNECTION, ActionNode, ActionParameters


class McpToolParameters(ActionParameters):
    """The tool and its arguments."""

    connection: str = Field(pattern=CONNECTION, description="Name of a connection of kind mcp or program.")
    tool: str = Field(min_length=1, max_length=200, description="As find_actions gives it.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="They must fit the tool's own schema.")


class McpTool(ActionNode[McpToolParameters]):
    """Calls a tool of a connected MCP server, once per item; gives {result, via}.

    The arguments are checked against the tool's schema when the workflow is checked and before each call. If the server
    has questions, the execution waits for a person's answers. fallback names alternatives for when the connection is
    down.
    """

    name = "mcp_tool"
    title = "MCP tool"
    keywords = ("mcp", "server", "tool", "connection", "integration", "call")
    example = {
        "connection": "time",
        "tool": "get_current_time",
        "arguments": {"timezone": "={{ $json.timezone }}"},
    }
    parameter_model = McpToolParameters
    action_name = "tool"
