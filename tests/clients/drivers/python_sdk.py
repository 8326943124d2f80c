"""Drives the Python SDK's client: calls as JSON lines on standard input, answers on standard output."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError


async def send(client: Client, method: str, params: dict[str, Any]) -> Any:
    """The result of one call."""
    match method:
        case "tools/list":
            return await client.list_tools()
        case "tools/call":
            return await client.call_tool(params["name"], params["arguments"])
        case "resources/list":
            return await client.list_resources()
        case "resources/templates/list":
            return await client.list_resource_templates()
        case "resources/read":
            return await client.read_resource(params["uri"])
    raise ValueError(method)


async def main(target: dict[str, Any]) -> None:
    """Connect, say which protocol was agreed on, and make the calls."""
    server = (
        target["url"]
        if "url" in target
        else StdioServerParameters(command=target["command"], args=target["args"], env=target["env"])
    )
    mode = "legacy" if target["protocol"] < "2026" else target["protocol"]
    async with Client(server, mode=mode) as client:
        answer({"protocol": client.protocol_version})
        while line := await asyncio.to_thread(sys.stdin.readline):
            call = json.loads(line)
            try:
                result = await send(client, call["method"], call["params"])
            except MCPError as error:
                answer({"error": error.error.message})
            else:
                answer({"result": result.model_dump(mode="json", by_alias=True, exclude_none=True)})


def answer(message: dict[str, Any]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
