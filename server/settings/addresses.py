"""The names under which clients reach the server: the configured one, and those that the allowed hosts add.

A client compares what the server says of itself with the address that it was given, so it gets that one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import Scope

MCP_PATH = "/mcp"
ASKED_PATH = "jobsprint.asked_path"
"""The key of the ASGI scope that says how the client has written :data:`MCP_PATH`, where it has a slash at its end."""


class Addresses:
    """The server's base URL, and the values of the Host header that are ours; ``:*`` stands for any port."""

    def __init__(self, base_url: str, hosts: Iterable[str] = ()) -> None:
        self.base_url = base_url
        self._hosts = frozenset(hosts)

    def asked(self, scope: Scope) -> str:
        """The base URL under which this request has reached the server; :mod:`server.walls.guards` lets no other Host
        through than those that are allowed."""
        return asked_base_url(self.base_url, scope)

    def has_resource(self, name: str) -> bool:
        """Whether a resource indicator (RFC 8707) names this server, or its MCP endpoint, under one of its hosts."""
        try:
            parts = urlsplit(name)
        except ValueError:
            return False
        prefix = urlsplit(self.base_url)
        bases = {(prefix.scheme, prefix.netloc, prefix.path)}
        if matches(parts.netloc, self._hosts):
            bases.add((_scheme(self.base_url, parts.netloc), parts.netloc, ""))
        ours = {f"{scheme}://{netloc}{path}{end}" for scheme, netloc, path in bases for end in _ENDS}
        return name in ours


_ENDS = ("", "/", MCP_PATH, f"{MCP_PATH}/")


def asked_base_url(base_url: str, scope: Scope) -> str:
    """The base URL with the host that the request asked for.

    A loopback host in front of a server with a public URL is a proxy's that does not pass the Host on: there the
    public URL stays.
    """
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    known = urlsplit(base_url)
    if not host or host == known.netloc or (_is_near(host) and not _is_near(known.netloc)):
        return base_url
    return f"{_scheme(base_url, host)}://{host}"


def metadata_url(base_url: str, scope: Scope) -> str:
    """Where the metadata of the resource is that this request asked for (RFC 9728, 3.1)."""
    path = scope.get(ASKED_PATH, MCP_PATH)
    return f"{asked_base_url(base_url, scope)}/.well-known/oauth-protected-resource{path}"


def matches(host: str, allowed: Collection[str]) -> bool:
    """Whether a value of the Host header is allowed."""
    if host in allowed:
        return True
    without_port, colon, port = host.rpartition(":")
    return bool(colon) and port.isdecimal() and f"{without_port}:*" in allowed


def _scheme(base_url: str, host: str) -> str:
    """TLS ends at a proxy, which is not on loopback under that name."""
    return "http" if _is_near(host) else urlsplit(base_url).scheme


def _is_near(host: str) -> bool:
    """Whether a host names this machine from itself: loopback, or every address."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
