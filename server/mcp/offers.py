"""Everything that MCP clients are offered, put together once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.protocol.offering import Offer, OfferedPrompt, OfferedTool, Offering
from tools.protocol.resources import Resources
from tools.protocol.selection import Selection
from tools.protocol.tool import Tool


@dataclass(slots=True, frozen=True, kw_only=True)
class Offers:
    """Tools, prompts and resources by workspace; ``selection`` is the settings' selection of tools."""

    tools: Offering[OfferedTool]
    selection: Selection
    prompts: Offering[OfferedPrompt]
    resources: Resources

    def quick_tool(self, name: str) -> Tool[Any] | None:
        """The quick tool of this name, if the settings select it; every workspace has the same ones."""
        tool = self.tools.fixed(name)
        return tool if isinstance(tool, Tool) and tool.is_quick and self.selection.includes(tool) else None

    def forget(self, owner: str) -> None:
        """Drop the cached tools and prompts of the workspace: they have changed."""
        self.tools.forget(owner)
        self.prompts.forget(owner)


def put_together(offers: Sequence[Offer], *, selection: Selection) -> Offers:
    """All of the offers as one."""
    return Offers(
        tools=Offering(
            "tools",
            [tool for offer in offers for tool in offer.tools],
            [source for offer in offers for source in offer.tool_sources],
        ),
        selection=selection,
        prompts=Offering(
            "prompts",
            [prompt for offer in offers for prompt in offer.prompts],
            [source for offer in offers for source in offer.prompt_sources],
        ),
        resources=Resources([source for offer in offers for source in offer.resources]),
    )
