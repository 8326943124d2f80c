"""HTTP requests that leave the process: one connection pool, limits on time and size, failures in our words.

Every address is one that :mod:`integrations.addresses` lets pass. Proxies and passwords of this machine's own
environment (``HTTPS_PROXY``, ``.netrc``) are not used: a proxy would resolve names where nobody checks them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self

import httpcore2
import httpx2

from integrations.addresses import AddressRules, GuardedBackend, Resolve
from workflow.errors import OutboundError
from workflow.http.codings import CodingError, DecodedTooLargeError, Decoding, supported
from workflow.http.headers import describes_body, joined, transport_headers
from workflow.ports import HttpRequest, HttpResponse

MAX_REDIRECTS = 10
"""Fetch standard: 20; most servers' loops show within 10."""
KEEPALIVE_SECONDS = 5.0
KEPT_ELSEWHERE = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)
"""Headers that a redirect to another origin takes along. Any other may be a secret that was meant for the first."""


class OutboundHttp:
    """Implements :class:`workflow.ports.HttpClient`; an async context manager that closes its connections.

    ``transport`` is for other clients that send by the same connections, ``backend`` for those that make their own.
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
        self.backend = GuardedBackend(rules, resolve=resolve)
        self.transport = GuardedTransport(self.backend, max_connections=max_connections)
        self._client = httpx2.AsyncClient(
            transport=self.transport,
            headers={"user-agent": user_agent, "accept-encoding": ", ".join(supported())},
            # One client serves everybody: what a server tells one workflow to remember is not for the next.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            trust_env=False,
            timeout=None,  # each request brings its own, for the whole exchange
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.aclose()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole answer; see the port.

        Raises:
            OutboundError: ``timeout``, ``connection_failed``, ``response_too_large``, ``too_many_redirects``,
                ``invalid_request``, ``address_not_allowed``, ``bad_response``.
        """
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
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, ValueError) as error:
            raise OutboundError(
                f"The request to {request.url!r:.200} cannot be sent: {error}.",
                code="invalid_request",
                transient=False,
                fix="Give a full http:// or https:// address, and header values without line breaks.",
            ) from error
        except httpx2.HTTPError as error:
            raise OutboundError(
                f"{_target(request)} could not be reached: {error or type(error).__name__}.",
                code="connection_failed",
                transient=True,
                fix="Check the address, and that the other side is up.",
                was_sent=not isinstance(error, httpx2.ConnectError),
            ) from error

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
        url = httpx2.URL(request.url)
        if request.query:  # added to what the address brings; httpx2's own params would replace it
            url = url.copy_with(params=[*url.params.multi_items(), *request.query])
        built = self._client.build_request(request.method, url, headers=dict(request.headers), content=request.body)
        max_bytes = min(self._max_response_bytes, request.max_response_bytes or self._max_response_bytes)
        response = await self._answer(built, request)
        try:
            body = await _read(response, max_bytes=max_bytes)
        except DecodedTooLargeError as error:
            raise OutboundError(
                f"{_target(request)} answered more than {max_bytes} bytes.",
                code="response_too_large",
                transient=False,
                fix="Ask for less at once, or raise JOBSPRINT_HTTP_MAX_RESPONSE_BYTES.",
            ) from error
        except CodingError as error:
            raise OutboundError(
                f"The answer of {_target(request)} cannot be read: {error}.",
                code="bad_response",
                transient=False,
                fix="Send the header Accept-Encoding: identity, or have the other side mended.",
            ) from error
        finally:
            await response.aclose()
        return HttpResponse(
            status=response.status_code,
            headers=joined(response.headers.multi_items()),
            body=body,
            url=str(response.url),
        )

    async def _answer(self, built: httpx2.Request, request: HttpRequest) -> httpx2.Response:
        """The answer at the end of the redirects, if they are to be followed; its body is yet to be read."""
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._client.send(built, stream=True)
            if not request.follow_redirects or response.next_request is None:
                return response
            await response.aclose()
            built = _redirected(built, response.next_request)
        raise OutboundError(
            f"{_target(request)} redirected more than {MAX_REDIRECTS} times.",
            code="too_many_redirects",
            transient=False,
            fix="Request the address at which the redirects end.",
        )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """A pool of connections that the backend makes."""

    def __init__(self, backend: GuardedBackend, *, max_connections: int) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(),
            max_connections=max_connections,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; redirects are somebody else's."""
        url = httpcore2.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        sent = httpcore2.Request(
            request.method,
            url,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _errors_of_httpx():
            answer = await self._pool.handle_async_request(sent)
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_Stream(answer), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """The pool's errors as those of the client."""
    try:
        yield
    except (httpcore2.UnsupportedProtocol, httpcore2.LocalProtocolError) as error:
        raise httpx2.LocalProtocolError(str(error)) from error
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
        raise httpx2.ConnectError(str(error)) from error
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise httpx2.NetworkError(str(error)) from error


async def _read(response: httpx2.Response, *, max_bytes: int) -> bytes:
    """The whole body, decoded. An answer without a body may name any coding.

    Raises:
        CodingError: it cannot be decoded, or is too large.
    """
    decoding: Decoding | None = None
    body = bytearray()
    async for part in response.aiter_raw():
        if decoding is None:
            decoding = Decoding(response.headers.get("content-encoding", ""), max_bytes=max_bytes)
        for piece in decoding.feed(part):
            body += piece
    if decoding is not None:
        decoding.finish()
    return bytes(body)


def _redirected(first: httpx2.Request, then: httpx2.Request) -> httpx2.Request:
    """The next request, without a body's headers where that is left out, and without what is none of another origin's
    business."""
    if then.method != first.method:
        for name in [name for name in then.headers if describes_body(name)]:
            del then.headers[name]
    if (then.url.scheme, then.url.host, then.url.port) != (first.url.scheme, first.url.host, first.url.port):
        for name in set(then.headers) - KEPT_ELSEWHERE:
            del then.headers[name]
    return then


def _target(request: HttpRequest) -> str:
    """Method and address without the query, which may hold secrets."""
    return f"{request.method} {request.url.partition('?')[0]}"
