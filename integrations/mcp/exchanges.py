"""What became of the HTTP request behind a call: the SDK's client tells neither its status nor its headers.

The SDK sends a call's request in the caller's context, so a context variable brings the note there and back.
What breaks on the way becomes an answer, too: an exception in there would end the session, and all other calls on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx2

from workflow.errors import JobsprintError
from workflow.http.headers import retry_after_seconds

BROKEN = 599
"""The status of an answer that stands for none: the connection could not be made, or broke."""


@dataclass(slots=True)
class HttpExchange:
    """The last request of a call. ``was_sent`` is true from where the other side may have it.

    ``broke`` says what broke, ``failure`` why it was not sent at all; ``retry_after_seconds`` and ``challenge`` are
    from the headers of the answer.
    """

    status: int | None = None
    was_sent: bool = False
    broke: str | None = None
    retry_after_seconds: float | None = None
    challenge: str | None = None
    failure: JobsprintError | None = None


exchange: ContextVar[HttpExchange | None] = ContextVar("exchange", default=None)
"""The note of the call that is made here."""


class NotingTransport(httpx2.AsyncBaseTransport):
    """Sends by ``inner``, and notes what became of it. Answers of more than ``max_bytes`` are cut off."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, *, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        note = exchange.get() or HttpExchange()
        note.status, note.was_sent, note.broke = None, False, None
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            # Where it could not connect, nothing was sent; anything else may have come after the request.
            note.was_sent = not isinstance(error, httpx2.ConnectError | httpx2.UnsupportedProtocol)
            note.broke = str(error) or type(error).__name__
            return httpx2.Response(BROKEN, request=request)
        note.was_sent, note.status = True, response.status_code
        note.retry_after_seconds = retry_after_seconds(response.headers, now=datetime.now(UTC))
        note.challenge = response.headers.get("www-authenticate")
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Stream(response, note, self._max_bytes),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close the inner one."""
        await self._inner.aclose()


class _Stream(httpx2.AsyncByteStream):
    """The answer as it comes; one that breaks ends early."""

    def __init__(self, response: httpx2.Response, note: HttpExchange, max_bytes: int) -> None:
        self._response = response
        self._note = note
        self._left = max_bytes
        self._is_stream = response.headers.get("content-type", "").startswith("text/event-stream")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = self._response.stream
        if not isinstance(stream, httpx2.AsyncByteStream):
            raise TypeError(type(stream).__name__)
        try:
            async for part in stream:
                # Streams go on for as long as a session does; the SDK bounds each of their events.
                self._left -= 0 if self._is_stream else len(part)
                if self._left < 0:
                    self._note.broke = "the answer is too large"
                    return
                yield part
        except httpx2.TransportError as error:
            self._note.broke = str(error) or type(error).__name__

    async def aclose(self) -> None:
        await self._response.aclose()
