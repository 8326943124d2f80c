"""All fixtures of the official conformance suite together."""

from __future__ import annotations

import mcp_types as types
from mcp.server.lowlevel.server import Server

from engine.announcements import Announcements
from tools.conformance.content import ContentResources, content_prompts, content_tools
from tools.conformance.fixtures import FixturePrompt, FixtureTool
from tools.conformance.rounds import round_prompts, round_tools
from tools.conformance.session import SessionFixtures
from tools.protocol.offering import OfferSource


class ConformanceSuite:
    """What it adds to what is offered."""

    def __init__(self, announcements: Announcements) -> None:
        self._session = SessionFixtures(announcements)
        self.resources = ContentResources()

    def tools(self) -> list[FixtureTool]:
        """Tools that are always there."""
        return [*content_tools(), *self._session.tools(), *round_tools()]

    def prompts(self) -> list[FixturePrompt]:
        """Prompts that are always there."""
        return [*content_prompts(), *round_prompts()]

    @property
    def passing_tools(self) -> OfferSource[FixtureTool]:
        """A tool that comes and goes."""
        return self._session.passing_tools

    @property
    def passing_prompts(self) -> OfferSource[FixturePrompt]:
        """A prompt that comes and goes."""
        return self._session.passing_prompts

    def install(self, server: Server[object]) -> None:
        """Add what only the suite asks for: we log nothing to clients."""
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._session.set_level)
