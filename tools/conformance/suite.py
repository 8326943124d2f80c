"""All fixtures of the official conformance suite together."""

from __future__ import annotations

from collections.abc import Mapping

import mcp_types as types
from mcp.server.lowlevel.server import Server

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.executions.intake import ExecutionRequests
from tools.conformance.content import ContentResources, content_prompts, content_tools
from tools.conformance.rounds import round_prompts, round_tools
from tools.conformance.session import SessionFixtures
from tools.conformance.tasks import ConformanceTasks, forms
from tools.executions.runs import Form, Runs
from tools.protocol.offering import Offer


class ConformanceSuite:
    """What it adds to what is offered, and to the server."""

    def __init__(self, *, authoring: Authoring, requests: ExecutionRequests, announcements: Announcements) -> None:
        self._authoring = authoring
        self._requests = requests
        self._session = SessionFixtures(announcements)

    def forms(self, answer: Form) -> Mapping[str, Form]:
        """The forms of its tools' answers, for :class:`~tools.executions.runs.Runs`; ``answer`` makes all others."""
        return forms(answer)

    def offer(self, runs: Runs) -> Offer:
        """Its tools, prompts and resources; a tool and a prompt among them come and go."""
        tasks = ConformanceTasks(authoring=self._authoring, requests=self._requests, runs=runs)
        return Offer(
            tools=[*tasks.tools(), *content_tools(), *self._session.tools(), *round_tools()],
            tool_sources=[self._session.passing_tools],
            prompts=[*content_prompts(), *round_prompts()],
            prompt_sources=[self._session.passing_prompts],
            resources=[ContentResources()],
        )

    def install(self, server: Server[object]) -> None:
        """Answer ``logging/setLevel``, which only the suite sends: we log nothing to clients."""
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._session.set_level)
