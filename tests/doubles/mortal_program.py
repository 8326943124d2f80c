"""A double of an MCP server that is a program and dies when it is told to.

Run as ``python -m tests.doubles.mortal_program FOLDER``. In its folder it keeps what it did (``ledger``), what it was
asked (``attempts``) and its process id (``pid``), and reads when it is to die (``dies``): at its start, or in the next
call, before or after it has done it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server import Server
from mcp.server.stdio import stdio_server

from tests.doubles.mcp_server import READ_ONLY, text_result, tool

FOLDER = Path(sys.argv[1])
TOOLS = [tool("write", text={"type": "string"}), tool("read", annotations=READ_ONLY, text={"type": "string"})]


def die_at(moment: str) -> None:
    """End at once, where this is the moment to do so; once."""
    order = FOLDER / "dies"
    if order.exists() and order.read_text() == moment:
        order.unlink()
        os._exit(3)


def note(name: str, text: str) -> None:
    """A line that is on the disk before anything else happens."""
    with (FOLDER / name).open("a") as file:
        file.write(f"{text}\n")


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    """Both."""
    return types.ListToolsResult(tools=TOOLS)


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Note it, unless it dies before."""
    note("attempts", params.name)
    die_at("before")
    note("ledger", params.name)
    die_at("after")
    return text_result("done")


async def main() -> None:
    """Serve on stdin and stdout."""
    die_at("start")
    (FOLDER / "pid").write_text(str(os.getpid()))
    server: Server[Any] = Server("mortal", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(main())
