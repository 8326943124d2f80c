"""The tools that a client gets: ours and its user's published workflows, as far as it may see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import mcp_types as types

from tools.caller import Caller
from tools.published import PublishedTools
from tools.tool import Tool, Toolset

ToolsetChoice = Literal["authoring", "running", "all"]


class CallableTool(Protocol):
    """What both kinds of tools have in common."""

    @property
    def name(self) -> str:
        """What clients call it by."""
        ...

    @property
    def listed(self) -> types.Tool:
        """What ``tools/list`` says of it."""
        ...

    @property
    def toolsets(self) -> frozenset[Toolset]:
        """The sets that it belongs to."""
        ...

    async def call(self, arguments: dict[str, Any], caller: Caller) -> types.CallToolResult:
        """The answer, or the failure as a result."""
        ...


@dataclass(slots=True, frozen=True)
class Selection:
    """Which tools a client sees: those of every one of ``toolsets``, and with ``read_only`` only those that read."""

    toolsets: frozenset[Toolset] = frozenset()
    read_only: bool = False

    @classmethod
    def of(cls, toolset: ToolsetChoice, *, read_only: bool) -> Selection:
        """The selection that the settings, or a client, ask for."""
        return cls(frozenset() if toolset == "all" else frozenset({toolset}), read_only)

    def narrowed(self, other: Selection) -> Selection:
        """What both select."""
        return Selection(self.toolsets | other.toolsets, self.read_only or other.read_only)

    def includes(self, tool: CallableTool) -> bool:
        """Whether the client sees the tool."""
        hints = tool.listed.annotations
        only_reads = hints is not None and hints.read_only_hint is True
        return self.toolsets <= tool.toolsets and (only_reads or not self.read_only)


class Toolbox:
    """Every tool, by name. Ours come first and win over published ones of the same name."""

    def __init__(self, *, own: Iterable[Tool[Any]], published: PublishedTools, selection: Selection) -> None:
        self._own = {tool.name: tool for tool in own}
        self.published = published
        self._selection = selection

    async def listed(self, user: str, wanted: Selection) -> list[types.Tool]:
        """What ``tools/list`` answers, always in the same order."""
        selection = self._selection.narrowed(wanted)
        theirs = [tool for tool in await self.published.all(user) if tool.name not in self._own]
        every: list[CallableTool] = [*self._own.values(), *theirs]
        return [tool.listed for tool in every if selection.includes(tool)]

    async def get(self, user: str, name: str, wanted: Selection) -> CallableTool | None:
        """The tool of this name, unless there is none that the client may see. Ours cost no query."""
        tool: CallableTool | None = self._own.get(name) or await self.published.get(user, name)
        return tool if tool is not None and self._selection.narrowed(wanted).includes(tool) else None

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        """The input schema of a tool of ours: spares the SDK a whole ``tools/list`` for every call with arguments."""
        tool = self._own.get(name)
        return tool.listed.input_schema if tool is not None else None
