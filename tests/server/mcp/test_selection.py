"""Narrower sets of tools: by command line, by setting, and by the endpoint's URL."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError

from tests.support.server_process import JOBSPRINT, ServerProcess, environment

AUTHORING = [
    "find_nodes",
    "validate_workflow",
    "create_workflow",
    "update_workflow",
    "get_workflow",
    "list_workflows",
    "publish_workflow",
    "delete_workflow",
    "save_prompt",
    "render_prompt",
    "find_actions",
    "connect_integration",
]
RUNNING = [
    "get_workflow",
    "list_workflows",
    "plan_execution",
    "execute_workflow",
    "control_execution",
    "find_actions",
    "run_action",
    "inspect_execution",
    "list_executions",
]
EVERY = [*AUTHORING[:10], *RUNNING[2:]]
READING = {"find_nodes", "validate_workflow", "get_workflow", "list_workflows", "plan_execution"} | {
    "inspect_execution",
    "list_executions",
    "render_prompt",
    "find_actions",
}


async def names(client: Client) -> list[str]:
    """The tools that the client is shown."""
    return [tool.name for tool in (await client.list_tools()).tools]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(
    ("query", "expected", "hidden"),
    [
        ("toolset=authoring", AUTHORING, "execute_workflow"),
        ("toolset=running", RUNNING, "create_workflow"),
        ("toolset=running&read_only=1", [name for name in RUNNING if name in READING], "execute_workflow"),
        (
            "read_only=true&other=1",
            [name for name in [*AUTHORING[:10], *RUNNING[2:]] if name in READING],
            "delete_workflow",
        ),
    ],
)
async def test_the_url_narrows_the_tools_and_what_is_hidden_is_unknown(
    server: ServerProcess, mode: str, query: str, expected: list[str], hidden: str
) -> None:
    async with Client(f"{server.url}/mcp?{query}", mode=mode) as client:
        assert await names(client) == expected
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool(hidden, {"workflow_id": "absent"})
        assert (await client.call_tool("list_workflows", {"limit": 1})).is_error is not True


async def test_a_wrong_query_is_an_error_and_does_not_widen(server: ServerProcess) -> None:
    async with Client(f"{server.url}/mcp?toolset=runing", mode="auto") as client:
        with pytest.raises(MCPError, match="toolset is authoring, running or all"):
            await client.list_tools()


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["--read-only", "--toolset", "running"], {}),
        ([], {"JOBSPRINT_READ_ONLY": "1", "JOBSPRINT_TOOLSET": "running"}),
    ],
)
async def test_the_command_line_and_the_settings_narrow_the_tools(
    data_dir: Path, arguments: list[str], settings: dict[str, str]
) -> None:
    env = environment(data_dir, {"JOBSPRINT_LOG_LEVEL": "error", **settings})
    target = StdioServerParameters(command=JOBSPRINT, args=["stdio", *arguments], env=env)
    async with Client(target, mode="auto") as client:
        assert await names(client) == [name for name in RUNNING if name in READING]
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("create_workflow", {})
