"""Clients that nobody here wrote go through the whole session: both protocol eras, both transports."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Row
from tests.clients.driver import Driver
from tests.clients.session import play
from tests.support.foreign import FASTMCP_PACKAGES, NPM_PACKAGES, CannotInstallError, fastmcp_command, node_command
from tests.support.server_process import JOBSPRINT, ServerProcess, environment
from tests.support.services import go_without

DRIVERS = Path(__file__).with_name("drivers")
LEGACY, MODERN = "2025-11-25", "2026-07-28"


def own_command(script: Path) -> list[str]:
    """The command that runs ``script`` in the environment that the tests run in."""
    return [sys.executable, str(script)]


@dataclass(slots=True, frozen=True)
class Client:
    """A client: its driver's program, how that is run, and the protocols that the client speaks."""

    name: str
    version: str
    program: str
    command: Callable[[Path], list[str]]
    protocols: tuple[str, ...] = (MODERN, LEGACY)


CLIENTS = [
    Client("Inspector CLI", NPM_PACKAGES["@modelcontextprotocol/inspector"], "inspector.mjs", node_command),
    Client(
        "TypeScript SDK v1", NPM_PACKAGES["@modelcontextprotocol/sdk"], "typescript_v1.mjs", node_command, (LEGACY,)
    ),
    Client("TypeScript SDK v2", NPM_PACKAGES["@modelcontextprotocol/client"], "typescript_v2.mjs", node_command),
    Client("fastmcp", FASTMCP_PACKAGES["fastmcp"], "fastmcp_client.py", fastmcp_command),
    Client("Python SDK", version("mcp"), "python_sdk.py", own_command),
]
CASES = [
    pytest.param(client, transport, protocol, id=f"{client.name}, {transport}, {protocol}")
    for client in CLIENTS
    for transport in ("HTTP", "stdio")
    for protocol in client.protocols
]


@pytest.mark.parametrize(("client", "transport", "protocol"), CASES)
def test_a_client_builds_runs_approves_inspects_and_reruns(
    client: Client, transport: str, protocol: str, server: ServerProcess, tmp_path: Path, rows: list[Row]
) -> None:
    target: dict[str, Any] = {"protocol": protocol}
    if transport == "HTTP":
        target["url"] = f"{server.url}/mcp"
    else:
        settings = environment(tmp_path / "data", {"JOBSPRINT_LOG_LEVEL": "warning"})
        target |= {"command": JOBSPRINT, "args": ["stdio"], "env": settings}
    try:
        command = client.command(DRIVERS / client.program)
    except CannotInstallError as error:
        rows.append((client.name, client.version, transport, protocol, "0", "not tried"))
        go_without(f"{client.name} was not tried: {error}")
    passed, driver = "no", Driver(command, target, tmp_path / "client.log")
    try:
        with driver:
            assert driver.protocol == protocol
            play(driver.call)
        passed = "yes"
    finally:
        rows.append((client.name, client.version, transport, protocol, str(driver.calls), passed))
