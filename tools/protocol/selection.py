"""Which tools a client sees: everything, or what its settings and its URL leave of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import mcp_types as types

from tools.protocol.tool import Toolset
from workflow.identity import Actor, Scopes

ToolsetChoice = Literal["authoring", "running", "all"]


class SelectableTool(Protocol):
    """What a selection asks of a tool."""

    @property
    def listed(self) -> types.Tool:
        """What ``tools/list`` says of it."""
        ...

    @property
    def toolsets(self) -> frozenset[Toolset]:
        """The sets that it belongs to."""
        ...

    @property
    def scopes(self) -> Scopes:
        """What its caller must have."""
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

    def includes(self, tool: SelectableTool) -> bool:
        """Whether the selection has the tool."""
        hints = tool.listed.annotations
        only_reads = hints is not None and hints.read_only_hint is True
        return self.toolsets <= tool.toolsets and (only_reads or not self.read_only)

    def shows(self, tool: SelectableTool, actor: Actor) -> bool:
        """Whether to list the tool to the actor. What they could be granted is listed too: a client can ask for it
        when it is refused."""
        return self.includes(tool) and tool.scopes <= actor.attainable


EVERYTHING = Selection()
