"""Whose request it is that a reverse proxy passes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address


class TrustedProxies:
    """Proxies whose word counts, as addresses and networks. Anybody else's ``X-Forwarded-For`` is not looked at."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises:
        ValueError: one is no network.
        """
        self._networks = tuple(ip_network(each) for each in networks)

    def see_through(self, scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Put the address of the client into the scope, in place of the proxy's."""
        if not self._networks or scope.get("client") is None or not self._is_trusted(scope["client"][0]):
            return
        told = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1").split(",")
        # Each proxy adds at the end whom it heard from; what stands before the last one that is not ours is hearsay.
        for hop in reversed([each.strip() for each in told]):
            address = _address(hop)
            if address is None:
                return
            scope["client"] = (str(address), 0)
            if not self._is_trusted(str(address)):
                return

    def _is_trusted(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
