"""MCP servers that nobody here wrote, as steps of one workflow: everything, filesystem, memory (npm), time (PyPI)."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from integrations.mcp.programs import McpProgram
from tests.support.here import Here, here
from tests.support.ports import is_listening
from tests.support.services import go_without, need_program
from tests.support.waiting import until
from workflow.actions import ActionCall, ActionError, ActionProgress
from workflow.identity import LOCAL_ID

HERE = Path(__file__).parent
MODULES = HERE / "node_modules" / "@modelcontextprotocol"
TIME = HERE.parents[1] / "build" / "mcp-servers" / "bin" / "mcp-server-time"


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, McpProgram]:
    """The servers as programs; one of them may see a folder."""
    node = need_program("node")
    if not MODULES.exists() or not TIME.exists():
        go_without("the servers were not installed; `make mcp-servers` does it")
    (tmp_path / "files").mkdir()

    def of_node(name: str, *args: str, **env: str) -> McpProgram:
        return McpProgram(command=node, args=(str(MODULES / name / "dist" / "index.js"), *args), env=env)

    return {
        "everything": of_node("server-everything"),
        "files": of_node("server-filesystem", str(tmp_path / "files")),
        "memory": of_node("server-memory", MEMORY_FILE_PATH=str(tmp_path / "memory.jsonl")),
        "time": McpProgram(command=str(TIME), args=("--local-timezone", "UTC")),
    }


@asynccontextmanager
async def connected(tmp_path: Path, programs: dict[str, McpProgram]) -> AsyncIterator[Here]:
    """A server with a connection to each."""
    async with here(tmp_path / "data", mcp_programs=programs) as server:
        for name in programs:
            document = {"name": name, "kind": "program", "settings": {"program": name}}
            made = await server.http.post("/api/integrations", json=document)
            assert made.status_code == 201, made.text
            assert made.json()["total"] > 0
        yield server


def tool(connection: str, name: str, **arguments: Any) -> dict[str, Any]:
    """A node."""
    return {"type": "mcp_tool", "parameters": {"connection": connection, "tool": name, "arguments": arguments}}


async def test_they_are_steps_of_one_workflow(tmp_path: Path, programs: dict[str, McpProgram]) -> None:
    path = str(tmp_path / "files" / "sum.txt")
    entity = {"name": "sum", "entityType": "number", "observations": ["={{ $now.toISO() }}"]}
    nodes = {
        "start": {"type": "manual"},
        "now": tool("time", "get_current_time", timezone="Europe/Paris"),
        "sum": tool("everything", "get-sum", a=2, b=40),
        "write": tool("files", "write_file", path=path, content="={{ JSON.stringify($('sum').item.json.result) }}"),
        "read": tool("files", "read_text_file", path=path),
        "keep": tool("memory", "create_entities", entities=[entity]),
        "recall": tool("memory", "read_graph"),
    }
    connections = [[first, then] for first, then in itertools.pairwise(nodes)]
    async with connected(tmp_path, programs) as server:
        seen = await server.execution({"name": "servers", "nodes": nodes, "connections": connections})
        assert seen["status"] == "succeeded", json.dumps(seen, indent=1)
        (item,) = seen["output"]["items"]["recall"]
        assert item["result"]["entities"][0]["name"] == "sum"
        assert "42" in await asyncio.to_thread(Path(path).read_text)


async def test_wrong_arguments_are_found_before_anything_runs(tmp_path: Path, programs: dict[str, McpProgram]) -> None:
    async with connected(tmp_path, programs) as server:
        nodes = {"start": {"type": "manual"}, "sum": tool("everything", "get-sum", a="two")}
        refused = await server.http.post(
            "/api/workflows", json={"name": "wrong", "nodes": nodes, "connections": [["start", "sum"]]}
        )
        assert refused.status_code == 400
        pointers = {each["pointer"] for each in refused.json()["findings"]}
        assert pointers == {"/nodes/sum/parameters/arguments/a", "/nodes/sum/parameters/arguments/b"}


async def test_progress_refusals_and_resources_come_through(tmp_path: Path, programs: dict[str, McpProgram]) -> None:
    async with connected(tmp_path, programs) as server:
        actions = server.services.integrations.actions
        progress: list[ActionProgress] = []
        names = [each.name for each in await actions.actions(LOCAL_ID, "everything")]
        slow = next(each for each in names if "long-running" in each)
        call = ActionCall(
            owner=LOCAL_ID,
            connection="everything",
            action=slow,
            arguments={"duration": 1, "steps": 3},
            on_progress=progress.append,
        )
        await actions.run(call)
        assert [each.progress for each in progress] == [1, 2, 3]
        outside = ActionCall(
            owner=LOCAL_ID, connection="files", action="read_text_file", arguments={"path": "/etc/passwd"}
        )
        with pytest.raises(ActionError) as raised:
            await actions.run(outside)
        assert raised.value.code == "action_refused"
        uri = "demo://resource/static/document/architecture.md"
        (content,) = await actions.read(LOCAL_ID, "everything", uri, timeout_seconds=10)
        assert content.data


async def test_one_over_http_is_killed_and_started_again(tmp_path: Path, programs: dict[str, McpProgram]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = programs["everything"]

    async def start() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            program.command,
            *program.args,
            "streamableHttp",
            env={**os.environ, "PORT": str(port)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await until(lambda: is_listening(port), seconds=20)
        return process

    process = await start()
    try:
        async with here(tmp_path / "data") as server:
            settings = {"url": f"http://127.0.0.1:{port}/mcp"}
            made = await server.http.post(
                "/api/integrations", json={"name": "everything", "kind": "mcp", "settings": settings}
            )
            assert made.status_code == 201, made.text
            assert await server.run("everything", message="hi") == "Echo: hi"
            process.send_signal(signal.SIGKILL)
            await process.wait()
            with pytest.raises(ActionError) as raised:
                await server.run("everything", message="hi")
            assert raised.value.is_unavailable or raised.value.may_have_happened
            process = await start()
            assert await server.run("everything", message="hi") == "Echo: hi"
    finally:
        process.kill()
        await process.wait()
