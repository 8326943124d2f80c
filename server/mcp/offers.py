"""Everything that MCP clients are offered, put together once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.conformance.fixtures import FixturePrompt, FixtureTool
from tools.conformance.suite import ConformanceSuite
from tools.pinned import PinnedTool
from tools.protocol.offering import Offering, OfferSource
from tools.protocol.prompts import Prompt
from tools.protocol.resources import Resources, ResourceSource
from tools.protocol.selection import Selection
from tools.protocol.tool import Tool
from tools.published import PublishedTool

OfferedTool = Tool[Any] | PublishedTool | PinnedTool | FixtureTool
OfferedPrompt = Prompt | FixturePrompt


@dataclass(slots=True, frozen=True, kw_only=True)
class Offers:
    """Tools, prompts and resources by workspace; ``selection`` is what the settings leave of the tools."""

    tools: Offering[OfferedTool]
    selection: Selection
    prompts: Offering[OfferedPrompt]
    resources: Resources

    def quick_tool(self, name: str) -> Tool[Any] | None:
        """The quick tool of this name, where the settings leave it; everybody has the same ones."""
        tool = self.tools.fixed(name)
        return tool if isinstance(tool, Tool) and tool.is_quick and self.selection.includes(tool) else None

    def forget(self, owner: str) -> None:
        """Ask the sources of the workspace's tools and prompts again: something has come or gone."""
        self.tools.forget(owner)
        self.prompts.forget(owner)


def put_together(
    *,
    tools: Sequence[Tool[Any]],
    selection: Selection,
    prompts: Sequence[Prompt],
    resources: Sequence[ResourceSource],
    tool_sources: Sequence[OfferSource[PublishedTool] | OfferSource[PinnedTool]] = (),
    prompt_sources: Sequence[OfferSource[Prompt]] = (),
    suite: ConformanceSuite | None = None,
) -> Offers:
    """The offers: what everybody has, and the sources of what is each workspace's own."""
    if suite is None:
        return Offers(
            tools=Offering("tools", tools, tool_sources),
            selection=selection,
            prompts=Offering("prompts", prompts, prompt_sources),
            resources=Resources(resources),
        )
    return Offers(
        tools=Offering("tools", [*tools, *suite.tools()], [*tool_sources, suite.passing_tools]),
        selection=selection,
        prompts=Offering("prompts", [*prompts, *suite.prompts()], [*prompt_sources, suite.passing_prompts]),
        resources=Resources([*resources, suite.resources]),
    )
