"""HTTP requests that leave the process: one connection pool, limits on time and size, failures in our words."""

from __future__ import annotations

import asyncio
from typing import Self

import httpx2

from workflow.errors import OutboundError
from workflow.ports import HttpRequest, HttpResponse

MAX_REDIRECTS = 10
"""Fetch standard: 20; most servers' loops show within 10."""


class OutboundHttp:
    """Implements :class:`workflow.ports.HttpClient`; an async context manager that closes its connections."""

    def __init__(self, *, max_connections: int, max_response_bytes: int, user_agent: str) -> None:
        self._max_response_bytes = max_response_bytes
        self._client = httpx2.AsyncClient(
            limits=httpx2.Limits(max_connections=max_connections),
            headers={"user-agent": user_agent},
            max_redirects=MAX_REDIRECTS,
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
                ``invalid_request``.
        """
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
        except httpx2.TooManyRedirects:
            raise OutboundError(
                f"{_target(request)} redirected more than {MAX_REDIRECTS} times.",
                code="too_many_redirects",
                transient=False,
                fix="Request the address at which the redirects end.",
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
            ) from error

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
        url = httpx2.URL(request.url)
        if request.query:  # added to what the address brings; httpx2's own params would replace it
            url = url.copy_with(params=[*url.params.multi_items(), *request.query])
        built = self._client.build_request(request.method, url, headers=dict(request.headers), content=request.body)
        response = await self._client.send(built, stream=True, follow_redirects=request.follow_redirects)
        max_bytes = min(self._max_response_bytes, request.max_response_bytes or self._max_response_bytes)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > max_bytes:
                    raise OutboundError(
                        f"{_target(request)} answered more than {max_bytes} bytes.",
                        code="response_too_large",
                        transient=False,
                        fix="Ask for less at once, or raise JOBSPRINT_HTTP_MAX_RESPONSE_BYTES.",
                    )
        finally:
            await response.aclose()
        return HttpResponse(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=bytes(body),
            url=str(response.url),
        )


def _target(request: HttpRequest) -> str:
    """Method and address without the query, which may hold secrets."""
    return f"{request.method} {request.url.partition('?')[0]}"
