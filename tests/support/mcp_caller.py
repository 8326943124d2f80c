"""Calls tools as an assistant's client does, and reads the answers as a model does."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from mcp.client.client import Client

Progress = Callable[[float, float | None, str | None], Awaitable[None]]


@dataclass(slots=True, frozen=True)
class McpCaller:
    """A connected client."""

    client: Client

    async def call(self, tool: str, /, *, progress: Progress | None = None, **arguments: Any) -> dict[str, Any]:
        """The structured content of a call that goes well; the text says the same."""
        result = await self.client.call_tool(tool, arguments, progress_callback=progress)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        assert json.loads(text_of(result)) == result.structured_content
        return result.structured_content

    async def fail(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The error of a call that does not go well."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, result.structured_content
        error: dict[str, Any] = json.loads(text_of(result))["error"]
        assert error["code"]
        assert error["message"]
        return error

    async def create(
        self, nodes: dict[str, Any], *connections: tuple[str, str], name: str = "test", publish: bool = False
    ) -> str:
        """The id of a new workflow, a draft or published."""
        definition = {"name": name, "nodes": nodes, "connections": [list(each) for each in connections]}
        made = await self.call("create_workflow", definition=definition, publish=publish)
        return str(made["workflow_id"])


def text_of(result: types.CallToolResult) -> str:
    """The text twin of a result."""
    first = result.content[0]
    assert isinstance(first, types.TextContent)
    return first.text
