"""The resources that tokens may be asked for (RFC 8707): this server only."""

from __future__ import annotations

from collections.abc import Sequence

from server.oauth.errors import OAuthError
from server.settings.addresses import MCP_PATH, Addresses


class ResourceIndicators:
    """The names of this server as a resource: the MCP endpoint's, and the server's as a whole, under each of its
    hosts."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    def check(self, named: Sequence[str]) -> None:
        """Check that every name is one of ours.

        Raises:
            OAuthError: ``invalid_target``.
        """
        if not all(map(self._addresses.has_resource, named)):
            mine = f"{self._addresses.base_url}{MCP_PATH}"
            raise OAuthError("invalid_target", f"Tokens from here are for the resource {mine} only.")
