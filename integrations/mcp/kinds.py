"""The two kinds of connections that are MCP servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.mcp.http import http_settings
from integrations.mcp.programs import OverStdio
from integrations.mcp.sessions import McpSessions
from integrations.mcp.source import McpSource
from workflow.items import JsonObject


class HttpServers(McpSource):
    """Kind ``mcp``: servers at an address."""

    def settings(self, owner: str, document: Mapping[str, Any]) -> JsonObject:
        """The settings as they are kept; see the port."""
        return http_settings(document)


class Programs(McpSource):
    """Kind ``program``: servers that are programs of this machine."""

    def __init__(self, sessions: McpSessions, over_stdio: OverStdio) -> None:
        super().__init__(sessions, notes_sending=False)
        self._over_stdio = over_stdio

    def settings(self, owner: str, document: Mapping[str, Any]) -> JsonObject:
        """The settings as they are kept; see the port."""
        return self._over_stdio.settings(owner, document)
