"""Fixtures for the official conformance suite: what ``jobsprint serve --conformance-fixtures`` offers besides ours.

Names, texts and schemas are the suite's. The server lists and calls fixtures as it does every
:class:`~tools.protocol.offering.OfferedTool` and :class:`~tools.protocol.offering.OfferedPrompt`. A fixture answers
from the SDK's context of the request, because what it shows is the protocol itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import mcp_types as types
from mcp.server.context import ServerRequestContext

from tools.protocol.caller import Caller
from tools.protocol.completions import Completer
from tools.protocol.tool import BOTH, Toolset
from workflow.identity import NO_SCOPES, Scopes

Context = ServerRequestContext[Any]
ToolResult = types.CallToolResult | types.InputRequiredResult
PromptResult = types.GetPromptResult | types.InputRequiredResult

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@runtime_checkable
class RequestCaller(Protocol):
    """A :class:`~tools.protocol.caller.Caller` that shows the request itself."""

    @property
    def context(self) -> Context:
        """The SDK's context of the request."""
        ...

    @property
    def params(self) -> Any:
        """What was sent: ``CallToolRequestParams`` or ``GetPromptRequestParams``."""
        ...


def _request(caller: Caller) -> RequestCaller:
    if not isinstance(caller, RequestCaller):
        raise TypeError("fixtures answer callers that show their request")
    return caller


@dataclass(slots=True, frozen=True)
class FixtureTool:
    """A tool of the suite, an :class:`~tools.protocol.offering.OfferedTool`."""

    name: str
    description: str
    handler: Callable[[Context, types.CallToolRequestParams], Awaitable[ToolResult]]
    input_schema: dict[str, Any] = field(default_factory=lambda: NO_ARGUMENTS)
    toolsets: frozenset[Toolset] = BOTH
    scopes: Scopes = NO_SCOPES

    def listed_for(self, *, has_apps: bool) -> types.Tool:
        """How it is listed: it has no app."""
        return self.listed

    async def call(self, arguments: dict[str, Any], caller: Caller) -> ToolResult:
        """What the handler makes of the request."""
        request = _request(caller)
        return await self.handler(request.context, request.params)

    @property
    def listed(self) -> types.Tool:
        """How it is listed."""
        return types.Tool(name=self.name, description=self.description, input_schema=self.input_schema)


@dataclass(slots=True, frozen=True)
class FixturePrompt:
    """A prompt of the suite, an :class:`~tools.protocol.offering.OfferedPrompt`; all its arguments are required."""

    name: str
    description: str
    handler: Callable[[Context, types.GetPromptRequestParams], Awaitable[PromptResult]]
    arguments: tuple[str, ...] = ()
    completers: Mapping[str, Completer] = field(default_factory=dict)

    @property
    def listed(self) -> types.Prompt:
        """How it is listed."""
        arguments = [
            types.PromptArgument(name=name, description=f"Argument {name}.", required=True) for name in self.arguments
        ]
        return types.Prompt(name=self.name, description=self.description, arguments=arguments)

    async def get(self, arguments: Mapping[str, str], caller: Caller) -> PromptResult:
        """What the handler makes of the request."""
        request = _request(caller)
        return await self.handler(request.context, request.params)

    def completer(self, argument: str) -> Completer | None:
        """What completes the argument."""
        return self.completers.get(argument)


def text_result(text: str, *, is_error: bool = False) -> types.CallToolResult:
    """A tool's answer that is one text."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=is_error)


def object_with(required: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object with these members, all of them required."""
    return {"type": "object", "properties": required, "required": list(required)}
