"""The connections to providers of models: one pool, with a bound on what an answer may bring.

Base URLs come from the operator's settings, so any address will do, this machine's too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2


class TooLargeError(httpx2.RemoteProtocolError):
    """An answer is larger than is read."""


class _Bounded(httpx2.AsyncByteStream):
    """A body that breaks off behind so many bytes."""

    def __init__(self, inner: httpx2.AsyncByteStream, most_bytes: int) -> None:
        self._inner = inner
        self._most_bytes = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most_bytes
        async for chunk in self._inner:
            left -= len(chunk)
            if left < 0:
                raise TooLargeError(f"the answer is larger than {self._most_bytes} bytes")
            yield chunk

    async def aclose(self) -> None:
        """Release the connection."""
        await self._inner.aclose()


def model_client(*, max_connections: int, max_response_bytes: int, user_agent: str) -> httpx2.AsyncClient:
    """A client for the providers' own clients to use. Redirects are not followed: the key would go along.

    Each request brings its own timeout.
    """

    async def bound(response: httpx2.Response) -> None:
        stream = response.stream
        if isinstance(stream, httpx2.AsyncByteStream):
            response.stream = _Bounded(stream, max_response_bytes)

    return httpx2.AsyncClient(
        limits=httpx2.Limits(max_connections=max_connections),
        # What is packed is larger than it looks.
        headers={"user-agent": user_agent, "accept-encoding": "identity"},
        event_hooks={"response": [bound]},
        follow_redirects=False,
        timeout=None,
    )
