"""The server's ``serverInfo``: with its icon in the first answers to a client, without it in all others."""

from __future__ import annotations

from base64 import b64encode
from importlib.resources import files
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server

NAME = "jobsprint"
TITLE = "Jobsprint"
DESCRIPTION = "Durable workflow automation that AI agents drive themselves."


class IdentifiedServer(Server[Any]):
    """A server that sends its icon on ``initialize`` and ``server/discover`` only.

    The SDK puts the whole of ``serverInfo`` on every result of protocol 2026-07-28, icons included: half a kilobyte on
    answers of a few hundred bytes. The specification asks for name and version there.
    """

    def __init__(self, *, version: str, **members: Any) -> None:
        super().__init__(NAME, version=version, title=TITLE, description=DESCRIPTION, icons=[server_icon()], **members)
        self.add_request_handler("server/discover", types.RequestParams, self._discover)

    @property
    def server_info_stamp(self) -> dict[str, Any]:
        """The ``serverInfo`` of every result."""
        return {"name": self.name, "version": self.version}

    async def _discover(
        self, context: ServerRequestContext[Any], params: types.RequestParams | None
    ) -> types.DiscoverResult:
        found = await self._handle_discover(context, params)
        info = self.server_info.model_dump(by_alias=True, mode="json", exclude_none=True)
        return found.model_copy(update={"meta": {types.SERVER_INFO_META_KEY: info}})


def server_icon() -> types.Icon:
    """The icon as a data URI, so that no client has to fetch it."""
    drawing = files("tools").joinpath("icons/jobsprint.svg").read_bytes()
    return types.Icon(
        src=f"data:image/svg+xml;base64,{b64encode(drawing.strip()).decode()}", mime_type="image/svg+xml", sizes=["any"]
    )
