"""Stages the ``.mcpb`` bundle in the folder that is given: ``make mcpb`` has it checked and packed from there."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from scripts.packaging import stage

JOBSPRINT = str(Path(sys.executable).with_name("jobsprint"))


async def listed_tools() -> dict[str, str]:
    """What a server of this version lists, by name, with the first sentence of each description."""
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as data_dir:
        server = StdioServerParameters(command=JOBSPRINT, args=["stdio"], env={"JOBSPRINT_DATA_DIR": data_dir})
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
    return {tool.name: f"{(tool.description or '').split('. ')[0].rstrip('.')}." for tool in tools}


if __name__ == "__main__":
    stage(Path(sys.argv[1]), asyncio.run(listed_tools()))
