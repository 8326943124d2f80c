"""The client's address behind reverse proxies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address


class TrustedProxies:
    """Trusted proxies, as addresses and networks. The ``X-Forwarded-For`` of anybody else is ignored."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises:
        ValueError: one is not a network.
        """
        self._networks = tuple(ip_network(each) for each in networks)

    def see_through(self, scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Put the address of the client into the scope, in place of the proxy's."""
        if not self._networks or scope.get("client") is None or not self._is_trusted(scope["client"][0]):
            return
        hops = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1").split(",")
        # Each proxy appends the address of its peer; what stands before the last address that is not ours is not
        # verified.
        for hop in reversed([each.strip() for each in hops]):
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
