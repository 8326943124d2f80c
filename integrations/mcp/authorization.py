"""The credential of a connection, added to each request as it leaves, and taken out of what comes back. What goes wrong
with it becomes an answer: an exception in there would end the session."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from integrations.credential_headers import CredentialHeaders, require_way
from integrations.mcp.exchanges import BROKEN, HttpExchange, exchange
from integrations.scrubbing import Scrubber
from workflow.credentials import CredentialRef, Vault
from workflow.errors import JobsprintError

UNAUTHORIZED = 401
TOKEN_SECONDS = 30.0


class AuthorizingTransport(httpx2.AsyncBaseTransport):
    """Sends by ``inner``, with the credential ``ref``; once more with another token where the first is refused."""

    def __init__(
        self, inner: httpx2.AsyncBaseTransport, *, ref: CredentialRef, vault: Vault, headers: CredentialHeaders
    ) -> None:
        self._inner = inner
        self._ref = ref
        self._vault = vault
        self._headers = headers

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        try:
            opened = await self._vault.open(self._ref)
            require_way(opened, str(request.url))
            made = await self._headers.made(opened, timeout_seconds=TOKEN_SECONDS)
            request.headers.update(made.headers)
            response = await self._inner.handle_async_request(request)
            if response.status_code == UNAUTHORIZED and made.token is not None:
                await response.aclose()
                made = await self._headers.made(opened, timeout_seconds=TOKEN_SECONDS, refused=made.token)
                request.headers.update(made.headers)
                response = await self._inner.handle_async_request(request)
        except JobsprintError as error:
            note = exchange.get() or HttpExchange()
            note.failure = error
            return httpx2.Response(BROKEN, request=request)
        return scrubbed(response, made.scrubber)


class _Stream(httpx2.AsyncByteStream):
    """An answer as it comes, decompressed."""

    def __init__(self, response: httpx2.Response, scrubber: Scrubber) -> None:
        self._response = response
        self._parts = scrubber.in_stream(response.aiter_bytes())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part

    async def aclose(self) -> None:
        await self._parts.aclose()
        await self._response.aclose()


def scrubbed(response: httpx2.Response, scrubber: Scrubber) -> httpx2.Response:
    """The answer without the secrets: some servers repeat what they were sent."""
    headers = [
        (name, scrubber.in_text(value))
        for name, value in response.headers.multi_items()
        if name not in ("content-encoding", "content-length")
    ]
    stream = _Stream(response, scrubber)
    return httpx2.Response(response.status_code, headers=headers, stream=stream, extensions=response.extensions)
