"""What ``jobsprint serve``, ``stdio`` and ``worker`` run. :mod:`server.commands.cli` imports it when one of them is
called: it brings all that serving needs, which other commands have no time for."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Coroutine
from typing import Any

from mcp.server.stdio import stdio_server

from server.assembly.app import http_app
from server.assembly.composition import running_services
from server.commands.garbage import calm_garbage_collection
from server.commands.http_server import HttpServer, new_event_loop
from server.commands.workers import work, worker_processes
from server.mcp.stdio_lines import AnsweredLines
from server.settings.settings import BadSettingsError, Settings


def serve_http(settings: Settings, *, workers: int) -> None:
    """Serve until SIGINT or SIGTERM, with so many worker processes beside this one.

    Raises:
        JobsprintError: the settings are wrong, or what they name cannot be used.
    """

    if workers and settings.broker_url is None:
        raise BadSettingsError(
            "Worker processes take executions from a broker, and none is set.",
            fix="Set JOBSPRINT_BROKER_URL, or leave --workers out: the server then runs executions itself.",
        )
    listener = _listen(settings)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})

    async def run() -> None:
        async with (
            running_services(settings, has_http=True) as services,
            http_app(settings, services) as app,
            worker_processes(workers, grace=services.grace),
            calm_garbage_collection(),
        ):

            def stop() -> None:
                services.grace.begin()
                services.leaving.begin()

            server = HttpServer(
                settings,
                app,
                on_stop=stop,
                is_first_run=services.identity is not None and await services.identity.first_run.is_on(),
            )
            await server.serve(sockets=[listener])

    _run(run())


def serve_stdio(settings: Settings) -> None:
    """Serve one client on standard input and output, until it closes them.

    Raises:
        JobsprintError: the settings are wrong, or what they name cannot be used.
    """

    async def run() -> None:
        async with (
            running_services(settings, has_http=False) as services,
            stdio_server() as (incoming, outgoing),
            calm_garbage_collection(),
        ):
            messages = AnsweredLines(incoming, outgoing)
            await services.mcp.run(messages, outgoing, services.mcp.create_initialization_options())

    _run(run())


def run_worker(settings: Settings, *, concurrency: int, with_parent: bool) -> None:
    """Run executions from a broker until SIGINT or SIGTERM, or until standard input ends ``with_parent``.

    Raises:
        JobsprintError: the settings are wrong, or what they name cannot be used.
    """

    async def run() -> None:
        async with calm_garbage_collection():
            await work(settings, concurrency=concurrency, parent=sys.stdin.buffer if with_parent else None)

    _run(run())


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        raise BadSettingsError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            fix="Set JOBSPRINT_PORT (or --port) to a free port.",
        ) from error
    return listener


def _run(main: Coroutine[Any, Any, None]) -> None:
    gc.enable()  # the command's entry turns it off
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)
