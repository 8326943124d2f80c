"""Calls tools as an assistant's client does, and reads the answers as a model does."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
from jsonschema import Draft202012Validator
from mcp.client.client import Client

Progress = Callable[[float, float | None, str | None], Awaitable[None]]


@dataclass(slots=True, frozen=True)
class McpCaller:
    """A connected client."""

    client: Client
    schemas: dict[str, Draft202012Validator] = field(default_factory=dict)

    async def call(self, tool: str, /, *, progress: Progress | None = None, **arguments: Any) -> dict[str, Any]:
        """The structured content of a call that goes well; the text says the same."""
        result = await self.client.call_tool(tool, arguments, progress_callback=progress)
        assert not result.is_error, result.content
        return await self.checked(tool, result)

    async def checked(self, tool: str, result: types.CallToolResult) -> dict[str, Any]:
        """The structured content of a result: the text says the same, and the tool's output schema holds."""
        content: dict[str, Any] | None = result.structured_content
        assert content is not None
        assert json.loads(text_of(result)) == content
        if tool not in self.schemas:
            listed = await self.client.list_tools()
            self.schemas.update({each.name: Draft202012Validator(each.output_schema or {}) for each in listed.tools})
        problems = [error.message for error in self.schemas[tool].iter_errors(content)]
        assert problems == []
        return content

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
