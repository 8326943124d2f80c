"""Which addresses requests may go to: checked when a connection is made, on the very address that it is made to.

A name is resolved here and nowhere else, so what was checked cannot become something else in between (DNS rebinding),
and however an address is spelled, what counts is what it resolves to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import httpcore2

from workflow.errors import InvalidArgumentsError, OutboundError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

ATTEMPT_SECONDS = 3.0
"""How long one address of several may take before the name's next one is tried."""

_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            # IANA's registry of special-purpose addresses (RFC 6890 and after), but for single anycast services.
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is Alibaba Cloud's metadata
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local; 169.254.169.254 is most clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",  # 192.0.0.192 is Oracle Cloud's metadata
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
            "168.63.129.16/32",  # public by number, but Azure's own service on every machine there
        ),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
"""All of IPv6 that is given out for the internet (RFC 4291, 2.4)."""
_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocols: Teredo, ORCHID, benchmarking
            "2001:db8::/32",
            "3fff::/20",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: Address) -> bool:
    """Whether it is an address of the internet at large, and does not lead to another that is none."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


def is_loopback(address: Address) -> bool:
    """Whether it is this machine, also written as an IPv4 address inside an IPv6 one."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to an IPv6 one end at."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


@dataclass(slots=True, frozen=True)
class Allowed:
    """One entry of the list of what may be reached though it is not public: a name, ``*.suffix`` or a network."""

    host: str | None
    network: Network | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """An entry as it is written in the settings: ``api.internal``, ``*.internal:8080``, ``10.1.0.0/16``,
        ``[fd00::/8]:443``.

        Raises:
            InvalidArgumentsError: it is none of these.
        """
        host, port = _split_port(text.strip())
        try:
            return cls(None, ipaddress.ip_network(host), port)
        except ValueError as error:
            name = _plain_name(host)
            suffix = name.removeprefix("*.")
            # Digits and dots that are no network are a slip of the pen, not a name.
            if not suffix or set(suffix) & set("*/:@ ") or suffix.replace(".", "").isdecimal():
                raise InvalidArgumentsError(
                    f"{text!r:.100} is neither a host, *.suffix nor a network: {error}.",
                    fix="Write api.internal, *.internal, 10.1.0.0/16 or [fd00::/8], each with :port where wanted.",
                ) from None
        return cls(name, None, port)

    def covers(self, name: str, address: Address, port: int) -> bool:
        """Whether it is this entry that lets a request pass."""
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
            return (mapped or address) in self.network or address in self.network
        host = self.host or ""
        return name.endswith(host[1:]) if host.startswith("*.") else name == host


class AddressRules:
    """What may be reached: the internet, what is allowed beyond it, and this machine where that is said."""

    def __init__(self, *, allowed: Iterable[str], is_loopback_allowed: bool) -> None:
        """Raises:
        InvalidArgumentsError: an entry of ``allowed`` is none.
        """
        self._allowed = tuple(Allowed.parse(each) for each in allowed)
        self._is_loopback_allowed = is_loopback_allowed

    def may_reach(self, host: str, address: Address, port: int) -> bool:
        """Whether a connection may be made to ``address``, which ``host`` resolved to."""
        if is_public(address) or (self._is_loopback_allowed and is_loopback(address)):
            return True
        name = _plain_name(host)
        return any(each.covers(name, address, port) for each in self._allowed)


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Makes the connections of a pool, and only to addresses that the rules let pass.

    TLS is not its business: the pool goes on to use the name for SNI and for the certificate.
    """

    def __init__(self, rules: AddressRules, *, resolve: Resolve | None = None) -> None:
        self._rules = rules
        self._resolve = resolve or _resolve
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the pool's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first of the name's addresses that answers.

        Raises:
            OutboundError: ``address_not_allowed``; one address of a name that must not be reached is enough.
            httpcore2.ConnectError: there is no such name, or nothing answers.
        """
        addresses = await self._checked(host, port)
        for text in addresses[:-1]:
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    return await self._inner.connect_tcp(text, port, timeout, local_address, socket_options)
            except (TimeoutError, httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def checked_address(self, host: str, port: int) -> str:
        """An address of the name, for those who connect by themselves.

        Raises:
            OutboundError: ``address_not_allowed``.
            OSError: there is no such name.
        """
        return (await self.checked_addresses(host, port))[0]

    async def checked_addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of the name, all of which may be reached.

        Raises:
            OutboundError: ``address_not_allowed``.
            OSError: there is no such name.
        """
        try:
            return await self._checked(host, port)
        except httpcore2.ConnectError as error:
            raise OSError(str(error)) from error

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        """The name's addresses, all of which may be reached."""
        found = await self._addresses(host, port)
        for text in found:
            if not self._rules.may_reach(host, ipaddress.ip_address(text), port):
                raise not_allowed(host, port)
        return found

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the pool's interface
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Nothing: no request goes to a file of this machine."""
        raise not_allowed(path, 0)

    async def sleep(self, seconds: float) -> None:
        """Wait, for the pool."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        if _is_address(host):
            return [host]
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host!r:.253} cannot be resolved: {error}") from error
        if not found:
            raise httpcore2.ConnectError(f"{host!r:.253} has no address")
        return found


def not_allowed(host: str, port: int) -> OutboundError:
    """The refusal. It does not say which address it was: that would tell strangers of the network inside."""
    entry = f"[{host}]:{port}" if ":" in host else f"{host[:253]}:{port}"
    return OutboundError(
        f"Requests may not go to {host[:253]}: its address is not one of the public internet.",
        code="address_not_allowed",
        transient=False,
        fix=f"If it is meant, have {entry} added to JOBSPRINT_OUTBOUND_ALLOW.",
    )


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _is_address(host: str) -> bool:
    """Whether it is one in the usual spelling; the others (``0x7f.1``, ``2130706433``) are the resolver's to read."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _plain_name(host: str) -> str:
    return host.removesuffix(".").lower()


def _split_port(text: str) -> tuple[str, int | None]:
    """Host and port; an IPv6 network has brackets where a port follows."""
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    return (host, int(port)) if port.isdecimal() and int(port) <= 65_535 else (host if not port else text, None)
