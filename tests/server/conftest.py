"""MCP clients that we did not write, over every transport and protocol era."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.support.mcp_caller import McpCaller
from tests.support.server_process import JOBSPRINT, ServerProcess, environment


@asynccontextmanager
async def connected(
    transport: str, era: str, server: ServerProcess, data_dir: Path, **options: Any
) -> AsyncIterator[McpCaller]:
    """A client in a session; ``options`` are the SDK client's own."""
    target: Any = f"{server.url}/mcp"
    if transport == "stdio":
        settings = {"JOBSPRINT_LOG_LEVEL": "error"}
        target = StdioServerParameters(command=JOBSPRINT, args=["stdio"], env=environment(data_dir, settings))
    mode: Literal["legacy", "auto"] = "legacy" if era == "legacy" else "auto"
    async with Client(target, mode=mode, **options) as client:
        yield McpCaller(client)


@pytest.fixture(params=["http-modern", "http-legacy", "stdio-modern", "stdio-legacy"])
async def mcp(request: pytest.FixtureRequest, server: ServerProcess, data_dir: Path) -> AsyncIterator[McpCaller]:
    """A client of each kind."""
    transport, era = request.param.split("-")
    async with connected(transport, era, server, data_dir) as caller:
        yield caller


@pytest.fixture
async def mcp_http(server: ServerProcess, data_dir: Path) -> AsyncIterator[McpCaller]:
    """A modern client over HTTP, for what does not depend on the transport."""
    async with connected("http", "modern", server, data_dir) as caller:
        yield caller


@pytest.fixture
async def http(server: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the REST API."""
    async with httpx2.AsyncClient(base_url=server.url) as client:
        yield client
