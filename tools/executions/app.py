"""The MCP App that shows an execution: one HTML page, which a host puts into a sandbox beside the conversation.

The extension is ``io.modelcontextprotocol/ui`` in its version 2026-01-26. The page speaks to its host only; what it
knows of a run it asks the tools for, through the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import mcp_types as types

from tools.protocol.resources import SETTLED_MS, Reading, ResourceForm, Variables
from workflow.identity import NO_SCOPES, Actor
from workflow.ports import Page

EXTENSION = "io.modelcontextprotocol/ui"
URI = "ui://jobsprint/execution"
MIME_TYPE = "text/html;profile=mcp-app"
DESCRIPTION = "A run's graph and timeline, live, with approve, cancel and retry."
TOOL_META: dict[str, Any] = {"ui": {"resourceUri": URI}}
"""The metadata from which a host knows that it can show a tool's results with the app."""
PAGE_META: dict[str, Any] = {
    "ui": {
        "csp": {"connectDomains": [], "resourceDomains": [], "frameDomains": [], "baseUriDomains": []},
        "prefersBorder": True,
    }
}
"""The page needs no origin at all, and looks best in a frame."""


def listed() -> types.Resource:
    """The app as ``resources/list`` shows it."""
    return types.Resource(
        uri=URI,
        name="execution",
        title="Execution",
        description=DESCRIPTION,
        mime_type=MIME_TYPE,
        _meta=PAGE_META,
    )


class ExecutionApp:
    """The app as a :class:`tools.protocol.resources.ResourceSource`: every client can read it.

    Only clients that can show it see it in lists; :func:`listed` makes the entry, since a source does not know its
    client.
    """

    def forms(self) -> Sequence[ResourceForm]:
        """The one URI."""
        return [
            ResourceForm(
                scopes=NO_SCOPES,
                template=URI,
                name="execution",
                title="Execution",
                description=DESCRIPTION,
                mime_type=MIME_TYPE,
                read=self._read,
            )
        ]

    async def page(self, actor: Actor, cursor: str | None) -> Page[types.Resource]:
        """Nothing to browse."""
        return Page([], None)

    async def _read(self, uri: str, variables: Variables, actor: Actor) -> Reading:
        page = types.TextResourceContents(uri=URI, mime_type=MIME_TYPE, text=html(), _meta=PAGE_META)
        return Reading(page, SETTLED_MS)


@cache
def html() -> str:
    """The page, read once."""
    return files("tools").joinpath("apps/execution.html").read_text(encoding="utf-8")
