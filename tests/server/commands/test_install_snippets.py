"""What README.md tells people to paste into their clients, tried: each snippet starts or reaches a server."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from server.settings.settings import Settings
from tests.support.server_process import JOBSPRINT, ROOT, ServerProcess, environment

README = (ROOT / "README.md").read_text()
SECTION = README.split("## Connect your assistant")[1].split("\n## ")[0]
WRITTEN_COMMAND = "/path/to/jobsprint/.venv/bin/jobsprint"


@dataclass(slots=True, frozen=True)
class Snippet:
    """How one client configures the server: a ``url``, or a ``command`` with ``args``."""

    client: str
    url: str | None = None
    command: str | None = None
    args: list[str] = field(default_factory=list)


def from_json(label: str, document: dict[str, Any]) -> Snippet:
    """A configuration file; its outer name is the client's own."""
    ((outer, servers),) = document.items()
    assert outer == ("servers" if "VS Code" in label else "mcpServers")
    ((name, entry),) = servers.items()
    assert name == "jobsprint"
    transport = entry.pop("type", None)
    if "VS Code" in label:
        assert transport == ("http" if "url" in entry else "stdio")
    return Snippet(label, **entry)


def from_shell(label: str, line: str) -> Snippet:
    """A call of Claude Code's command line: options, the server's name, and a URL, or ``--`` and a command."""
    words = shlex.split(line)
    assert words[:3] == ["claude", "mcp", "add"]
    if "--" in words:
        split = words.index("--")
        assert words[3:split] == ["jobsprint"]
        return Snippet(label, command=words[split + 1], args=words[split + 2 :])
    transport, kind, name, url = words[3:]
    assert (transport, kind, name) == ("--transport", "http", "jobsprint")
    return Snippet(label, url=url)


def snippets() -> list[Snippet]:
    """Every fenced block of the section, with the line above it as its label."""
    blocks = re.findall(r"([^\n]+)\n\n```(\w+)\n(.+?)\n```", SECTION, re.DOTALL)
    assert len(blocks) == SECTION.count("```") / 2
    return [
        from_json(label, json.loads(text)) if kind == "json" else from_shell(label, text)
        for label, kind, text in blocks
    ]


SNIPPETS = snippets()
STDIO = [each for each in SNIPPETS if each.command is not None]
HTTP = [each for each in SNIPPETS if each.url is not None]


async def greet(target: Any) -> None:
    """A session that any client would have."""
    async with Client(target) as client:
        assert client.server_info is not None
        assert client.server_info.name == "jobsprint"
        assert "execute_workflow" in {tool.name for tool in (await client.list_tools()).tools}


def test_both_ways_are_told_for_every_client() -> None:
    for name in ("Claude Code", "VS Code", "Cursor"):
        assert any(name in each.client for each in HTTP)
        assert any(name in each.client for each in STDIO)
    assert any("Claude Desktop" in each.client for each in STDIO)


@pytest.mark.parametrize("snippet", HTTP, ids=lambda each: each.client)
async def test_a_server_answers_where_the_snippet_says(snippet: Snippet, server: ServerProcess) -> None:
    assert snippet.url is not None
    default = f"http://{Settings.model_fields['host'].default}:{Settings.model_fields['port'].default}"
    assert snippet.url.startswith(default)
    await greet(snippet.url.replace(default, server.url))


@pytest.mark.parametrize("args", sorted({tuple(each.args) for each in STDIO}))
async def test_a_server_starts_as_the_snippets_say(args: tuple[str, ...], tmp_path: Path) -> None:
    assert {each.command for each in STDIO} == {WRITTEN_COMMAND}
    env = environment(tmp_path / "data", {"JOBSPRINT_LOG_LEVEL": "error"})
    await greet(StdioServerParameters(command=JOBSPRINT, args=list(args), env=env))
