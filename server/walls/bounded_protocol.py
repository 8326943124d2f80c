"""uvicorn's HTTP protocol with bounds that it lacks: on the time of requests, and on the number of sockets.

A timer runs only while a request is incomplete: requests that come in one piece cost nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD_BYTES = 64 << 10
"""Request line and headers. nginx allows 32 KiB, Node 16 KiB."""


def bounded_protocol(*, request_seconds: float, max_connections: int) -> type[HttpToolsProtocol]:
    """The protocol class with its bounds: uvicorn makes the objects, and has no place for our settings."""

    class BoundedProtocol(_BoundedProtocol):
        pass

    BoundedProtocol.request_seconds = request_seconds
    BoundedProtocol.max_connections = max_connections
    return BoundedProtocol


class _BoundedProtocol(HttpToolsProtocol):
    request_seconds = 30.0
    max_connections = 1_000

    _timer: asyncio.TimerHandle | None = None
    _is_in_head = True
    _is_whole = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(
                503,
                code="too_many_connections",
                title=f"The server has {self.max_connections} connections already.",
                fix="Try again later, or raise JOBSPRINT_MAX_CONNECTIONS.",
            )
            return
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_whole or self.transport.is_closing():
            return
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(
                431,
                code="head_too_large",
                title=f"The request's line and headers are larger than {MAX_HEAD_BYTES} bytes.",
                fix="Send less in the address and the headers.",
            )
        elif self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        self._is_whole = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_head = self._is_whole = True
        self._head_bytes = 0
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer input that is not HTTP with a problem document."""
        self._refuse(400, code="bad_http", title="This is no valid HTTP request.", fix="Correct the request.")

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.request_seconds, self._on_slow_request)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_slow_request(self) -> None:
        fix = "Send it faster, or raise JOBSPRINT_REQUEST_TIMEOUT_SECONDS."
        if self._is_in_head:
            title = f"The request's headers were not there within {self.request_seconds:g} s."
            self._refuse(408, code="head_too_slow", title=title, fix=fix)
        else:
            title = f"The request's body was not there within {self.request_seconds:g} s."
            self._refuse(408, code="body_too_slow", title=title, fix=fix)

    def _refuse(self, status: int, **members: Any) -> None:
        """Answer with a problem document, and close."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not (self._is_in_head or self.cycle.response_started):
            body = orjson.dumps({"type": "about:blank", "status": status, **members})
            head = b"content-type: application/problem+json\r\nx-content-type-options: nosniff\r\nconnection: close\r\n"
            self.transport.write(STATUS_LINE[status] + head + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()
