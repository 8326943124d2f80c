"""The packed ``.mcpb`` bundle, unpacked again and started as its manifest says. ``make mcpb`` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from server.version import VERSION
from tests.support.server_process import ROOT, environment

BUNDLE = ROOT / "dist/jobsprint.mcpb"


async def test_a_client_that_unpacks_the_bundle_can_start_it(tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    ZipFile(BUNDLE).extractall(unpacked)
    manifest = json.loads((unpacked / "manifest.json").read_text())
    assert manifest["version"] == VERSION
    assert (unpacked / manifest["server"]["entry_point"]).is_file()
    assert (unpacked / manifest["icon"]).read_bytes().startswith(b"\x89PNG")
    start = manifest["server"]["mcp_config"]
    args = [argument.replace("${__dirname}", str(unpacked)) for argument in start["args"]]
    env = environment(tmp_path / "data", {"JOBSPRINT_LOG_LEVEL": "error"})
    async with Client(StdioServerParameters(command=start["command"], args=args, env=env)) as client:
        assert client.server_info is not None
        assert client.server_info.version == VERSION
        listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == [tool["name"] for tool in manifest["tools"]]
