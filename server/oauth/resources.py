"""The resources that tokens may be asked for (RFC 8707): this server only."""

from __future__ import annotations

from collections.abc import Sequence

from server.oauth.errors import OAuthError


class ResourceIndicators:
    """The names of this server as a resource: the MCP endpoint's, and the server's as a whole."""

    def __init__(self, base_url: str) -> None:
        self.mcp = f"{base_url}/mcp"
        self._names = frozenset({self.mcp, f"{self.mcp}/", base_url, f"{base_url}/"})

    def check(self, named: Sequence[str]) -> None:
        """Check that every name is one of ours.

        Raises:
            OAuthError: ``invalid_target``.
        """
        if not self._names.issuperset(named):
            raise OAuthError("invalid_target", f"Tokens from here are for the resource {self.mcp} only.")
