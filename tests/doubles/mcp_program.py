"""A double of an MCP server that is a program: it echoes, tells of its environment, makes noise, hangs and dies.

Run as ``python -m tests.doubles.mcp_program``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import mcp_types as types
from mcp.server import Server
from mcp.server.stdio import stdio_server

from tests.doubles.mcp_server import READ_ONLY, text_result, tool

TOOLS = [
    tool("echo", annotations=READ_ONLY, text={"type": "string"}),
    tool("environment", annotations=READ_ONLY),
    tool("process", annotations=READ_ONLY),
    tool("noise", annotations=READ_ONLY),
    tool("die"),
    tool("hang"),
]


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    """All of them."""
    return types.ListToolsResult(tools=TOOLS)


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Do what the tool does."""
    match params.name:
        case "environment":
            return types.CallToolResult(content=[], structured_content=dict(os.environ))
        case "process":
            return types.CallToolResult(content=[], structured_content={"id": os.getpid(), "group": os.getpgid(0)})
        case "noise":
            sys.stderr.write("x" * 200_000 + "\nnoise\n")
            os.write(1, b"this is no message\n")
            return text_result("made")
        case "die":
            os._exit(3)
        case "hang":
            await asyncio.Event().wait()
    return text_result(str((params.arguments or {})["text"]))


async def main() -> None:
    """Serve on stdin and stdout."""
    server: Server[Any] = Server("program", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(main())
