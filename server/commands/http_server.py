"""uvicorn with Jobsprint's settings, start and shutdown."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from server.settings.settings import Settings
from server.version import VERSION
from server.walls.bounded_protocol import bounded_protocol


class HttpServer(uvicorn.Server):
    """Serves until SIGINT or SIGTERM, then calls ``on_stop``, finishes the open requests and returns.

    ``is_first_run``: there is no account yet, so the server does not ask for logins.
    """

    def __init__(self, settings: Settings, app: ASGIApp, *, on_stop: Callable[[], None], is_first_run: bool) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                http=bounded_protocol(
                    request_seconds=settings.request_timeout_seconds, max_connections=settings.max_connections
                ),
                timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_seconds)),
            )
        )
        self._settings = settings
        self._on_stop = on_stop
        self._is_first_run = is_first_run
        # At its end uvicorn raises the signals that it caught again, for the handlers that were set before its own.
        # Those are ours, and they would cut off the services behind it, which have yet to stop.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say where."""
        await super().startup(sockets)
        if self.started:
            sys.stderr.write(_welcome(self._settings, is_first_run=self._is_first_run))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the endless streams, then wait for the other requests."""
        self._on_stop()
        await super().shutdown(sockets)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            raise SystemExit(128 + number)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop where that is installed (it is not on Windows), else of asyncio."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _welcome(settings: Settings, *, is_first_run: bool) -> str:
    base = settings.base_url
    lines = [
        f"Jobsprint {VERSION} is ready.",
        f"  MCP endpoint   {base}/mcp",
        f"  REST API       {base}/api   (described at {base}/openapi.json)",
        f"  Data           {settings.data_dir}",
    ]
    if is_first_run:
        lines += [
            "  Accounts       none yet: everybody on this machine is let in, without a login, as its local user.",
            f"                 {base}/auth/register or `jobsprint users add EMAIL` makes the first and ends that.",
        ]
    else:
        lines.append(f"  Accounts       {base}/auth/login")
    return "\n".join(lines) + "\n"
