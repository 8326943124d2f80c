"""HTTP requests that leave the process: one connection pool, limits on time and size, failures in our words.

Every address is one that :mod:`integrations.addresses` lets pass. Proxies and passwords of this machine's own
environment (``HTTPS_PROXY``, ``.netrc``) are not used: a proxy would resolve names where nobody checks them.
Requests are sent by aiohttp, which costs a seventh of httpx2 (docs/decisions/outgoing-http.md); addresses are read by
httpx2, and handed on in parts, so that no two parsers can read one address in two ways.
"""

from __future__ import annotations

import asyncio
import base64
import io
import socket
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import unquote_to_bytes

import httpx2

from integrations.addresses import AddressRules, GuardedBackend, Resolve
from integrations.httpx_transport import GuardedTransport
from integrations.redirects import is_redirect, redirected
from workflow.errors import OutboundError
from workflow.http.codings import CodingError, DecodedTooLargeError, Decoding, supported
from workflow.http.headers import joined, transport_headers
from workflow.ports import HttpRequest, HttpResponse

if TYPE_CHECKING:
    import aiohttp

MAX_REDIRECTS = 10
"""Fetch standard: 20; most servers' loops show within 10."""
KEEPALIVE_SECONDS = 5.0
LONGEST_HEADER_BYTES = 64 << 10
"""Of an answer's header, name or value. Servers send policies and cookies of more than the usual 8 KB."""
MOST_HEADERS = 500
MOST_PASSED = 1_000
"""Addresses that were written as such and may be reached, remembered; what a name resolves to is asked each time."""
LARGE_BODY_BYTES = 256 << 10
"""A larger body is sent in pieces, so that the event loop is not held while it is."""
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Methods that may be sent again where a kept connection turns out to be closed (RFC 9110, 9.2.2)."""


class OutboundHttp:
    """Implements :class:`workflow.ports.HttpClient`; an async context manager that closes its connections.

    ``transport`` is for other clients that send by connections of the same kind, ``backend`` for those that make their
    own.
    """

    def __init__(
        self,
        *,
        rules: AddressRules,
        max_connections: int,
        max_response_bytes: int,
        user_agent: str,
        resolve: Resolve | None = None,
    ) -> None:
        self._max_response_bytes = max_response_bytes
        self._max_connections = max_connections
        self.backend = GuardedBackend(rules, resolve=resolve)
        self.transport = GuardedTransport(self.backend, max_connections=max_connections)
        self._headers = {"accept": "*/*", "accept-encoding": ", ".join(supported()), "user-agent": user_agent}
        self._session: aiohttp.ClientSession | None = None
        self._passed: set[tuple[str, int]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.transport.aclose()
        if self._session is not None:
            await self._session.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole answer; see the port.

        Raises:
            OutboundError: ``timeout``, ``connection_failed``, ``response_too_large``, ``too_many_redirects``,
                ``invalid_request``, ``address_not_allowed``, ``bad_response``.
        """
        if not request.method:
            raise _unsendable(request, "it has no method")
        own = transport_headers(request.headers)
        if own:
            raise OutboundError(
                f"The header {own[0]!r:.100} says how the request is sent or to which host, and is set by the sending "
                "client alone.",
                code="invalid_request",
                transient=False,
                fix="Leave the header out; the address says the host.",
            )
        try:
            async with asyncio.timeout(request.timeout_seconds):
                return await self._exchange(request)
        except TimeoutError:
            raise OutboundError(
                f"{_target(request)} did not answer within {request.timeout_seconds:g} s.",
                code="timeout",
                transient=True,
                fix="Raise timeout_seconds, or look into why the other side is slow.",
            ) from None

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
        """The answer at the end of the redirects, if they are to be followed."""
        first = request
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._answer(request, first)
            following = redirected(request, response) if request.follow_redirects else None
            if following is None and request.follow_redirects and is_redirect(response):
                raise _unsendable(replace(request, url=response.headers["location"]), "it is no address to redirect to")
            if following is None:
                return response
            request = following
        raise OutboundError(
            f"{_target(first)} redirected more than {MAX_REDIRECTS} times.",
            code="too_many_redirects",
            transient=False,
            fix="Request the address at which the redirects end.",
        )

    async def _answer(self, request: HttpRequest, first: HttpRequest) -> HttpResponse:
        """The answer to this one request; failures name the ``first`` one, which the caller knows."""
        import aiohttp  # it takes a quarter of a second to load, which only those who send need to wait for

        session = self._session or self._opened()
        try:
            address = _address(request.url, tuple(request.query))
            host = await self._host(address)
            if request.method.upper() not in REPEATABLE:
                # 1. The other side may have closed a kept connection, and the loop has not read that yet: then the
                #    request would be lost, and nobody could say whether it was read. Two rounds of the loop read it.
                # 2. It closes while the request is on its way: the failure says that it may have been sent.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            body = request.body
            async with session.request(
                request.method,
                address.url_to(host),
                headers=self._headers_of(request, address, host),
                data=io.BytesIO(body) if body and len(body) > LARGE_BODY_BYTES else body,
                allow_redirects=False,
            ) as response:
                return await self._read(request, response, address)
        except aiohttp.InvalidURL as error:
            raise _unsendable(request, error) from error
        except (aiohttp.ClientError, OSError) as error:  # failures of certificates are errors of values, too
            raise OutboundError(
                f"{_target(first)} could not be reached: {str(error) or type(error).__name__}.",
                code="connection_failed",
                transient=True,
                fix="Check the address, and that the other side is up.",
                was_sent=not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError),
            ) from error
        except (httpx2.InvalidURL, ValueError) as error:
            raise _unsendable(request, error) from error

    def _opened(self) -> aiohttp.ClientSession:
        """The session, made at the first request."""
        import aiohttp

        connector = aiohttp.TCPConnector(
            resolver=_resolver(self.backend),
            use_dns_cache=False,
            ssl=httpx2.create_ssl_context(),
            limit=self._max_connections,
            keepalive_timeout=KEEPALIVE_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            # One client serves everybody: what a server tells one workflow to remember is not for the next.
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # each request has its own, for all of it
            auto_decompress=False,
            trust_env=False,
            max_line_size=LONGEST_HEADER_BYTES,
            max_field_size=LONGEST_HEADER_BYTES,
            max_headers=MOST_HEADERS,
        )
        return self._session

    async def _host(self, address: _Address) -> str:
        """The host to connect to. aiohttp resolves a name by our resolver, which checks what it finds; what looks like
        an address to aiohttp it takes as it is, so that is resolved and checked here.

        Raises:
            OutboundError: ``address_not_allowed``, or ``connection_failed`` where there is no such host.
        """
        host = address.host
        if (":" not in host and not host.replace(".", "").isdigit()) or (host, address.port) in self._passed:
            return host
        try:
            checked = await self.backend.checked_address(host, address.port)
        except OSError as error:
            raise OutboundError(
                f"{host!r:.253} cannot be reached: {error}.",
                code="connection_failed",
                transient=True,
                fix="Check the address.",
                was_sent=False,
            ) from error
        if checked == host and len(self._passed) < MOST_PASSED:
            self._passed.add((host, address.port))
        return checked

    def _headers_of(self, request: HttpRequest, address: _Address, host: str) -> dict[str, str]:
        headers = {**self._headers, **{name.lower(): value for name, value in request.headers.items()}}
        if address.authorization is not None:
            headers["authorization"] = address.authorization
        if host != address.host:
            headers["host"] = address.host_header
        return headers

    async def _read(self, request: HttpRequest, response: Any, address: _Address) -> HttpResponse:
        """The whole answer. The body of a redirect that is followed is not read."""
        headers = joined((_text(name), _text(value)) for name, value in response.raw_headers)
        found = HttpResponse(status=response.status, headers=headers, body=b"", url=address.text)
        if request.follow_redirects and is_redirect(found):
            response.close()
            return found
        max_bytes = min(self._max_response_bytes, request.max_response_bytes or self._max_response_bytes)
        try:
            body = await _body(response.content, headers.get("content-encoding", ""), max_bytes=max_bytes)
        except DecodedTooLargeError as error:
            response.close()
            raise OutboundError(
                f"{_target(request)} answered more than {max_bytes} bytes.",
                code="response_too_large",
                transient=False,
                fix="Ask for less at once, or raise JOBSPRINT_HTTP_MAX_RESPONSE_BYTES.",
            ) from error
        except CodingError as error:
            response.close()
            raise OutboundError(
                f"The answer of {_target(request)} cannot be read: {error}.",
                code="bad_response",
                transient=False,
                fix="Send the header Accept-Encoding: identity, or have the other side mended.",
            ) from error
        return HttpResponse(status=response.status, headers=headers, body=body, url=address.text)


class _Address(NamedTuple):
    """An address in parts: ``target`` is path and query, as they are sent; ``host_header`` has the port where it is not
    the scheme's own; ``text`` is all of it without a password."""

    scheme: str
    host: str
    port: int
    path: str
    query: str
    host_header: str
    authorization: str | None
    text: str

    def url_to(self, host: str) -> Any:
        """The address with the host to connect to, for aiohttp."""
        from yarl import URL

        return URL.build(
            scheme=self.scheme,
            host=host,
            port=self.port,
            path=self.path,
            query_string=self.query,
            encoded=True,
        )


@lru_cache(maxsize=1_000)
def _address(text: str, query: tuple[tuple[str, str], ...]) -> _Address:
    """The parts of an address, with more query parameters behind those that it brings.

    Raises:
        httpx2.InvalidURL: it is none.
        ValueError: it is none of HTTP's.
    """
    url = httpx2.URL(text)
    if query:  # added to what the address brings; httpx2's own params would replace it
        url = url.copy_with(params=[*url.params.multi_items(), *query])
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("it is no full http:// or https:// address")
    authorization = None
    if url.userinfo:
        user, _, password = url.userinfo.partition(b":")
        both = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
        authorization = f"Basic {base64.b64encode(both).decode()}"
    path, _, sent_query = url.raw_path.decode("ascii").partition("?")
    return _Address(
        scheme=url.scheme,
        host=url.raw_host.decode("ascii"),
        port=url.port or (443 if url.scheme == "https" else 80),
        path=path or "/",
        query=sent_query,
        host_header=url.netloc.decode("ascii"),
        authorization=authorization,
        text=str(url),
    )


def _resolver(backend: GuardedBackend) -> Any:
    """A resolver for aiohttp's connections: it resolves and checks, and gives addresses alone."""
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Guarded(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            del family
            return [
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
                for address in await backend.checked_addresses(host, port)
            ]

        async def close(self) -> None:
            """Nothing to close."""

    return Guarded()


async def _body(content: Any, coding: str, *, max_bytes: int) -> bytes:
    """The whole body, decoded. An answer without a body may name any coding.

    Raises:
        CodingError: it cannot be decoded, or is too large.
    """
    decoding: Decoding | None = None
    body = bytearray()
    async for part in content.iter_any():
        if decoding is None:
            decoding = Decoding(coding, max_bytes=max_bytes)
        for piece in decoding.feed(part):
            body += piece
    if decoding is not None:
        decoding.finish()
    return bytes(body)


def _text(raw: bytes) -> str:
    """A header's name or value. Most are ASCII; where one is not, it is UTF-8, or whatever it is."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _unsendable(request: HttpRequest, why: object) -> OutboundError:
    return OutboundError(
        f"The request to {request.url!r:.200} cannot be sent: {why}.",
        code="invalid_request",
        transient=False,
        fix="Give a full http:// or https:// address, and header values without line breaks.",
    )


def _target(request: HttpRequest) -> str:
    """Method and address without the query, which may hold secrets."""
    return f"{request.method} {request.url.partition('?')[0]}"
