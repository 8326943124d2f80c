"""Worker processes: the main function of one, and a pool of them kept alive beside a server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from server.assembly.core import running_core
from server.assembly.grace import Grace
from server.settings.settings import BadSettingsError, Settings

logger = logging.getLogger(__name__)

RESTART_SECONDS = (0.2, 1.0, 5.0)
"""Pauses before a worker that has ended is started again; the last one applies from then on."""
STEADY_SECONDS = 30.0
"""A worker that ran for so long counts as healthy: the next pause is the first one again."""
BEYOND_GRACE_SECONDS = 5.0
"""What a process may take to close what it has open, when its executions have ended or were released."""


async def work(settings: Settings, *, concurrency: int, parent: BinaryIO | None) -> None:
    """Run executions from a broker, until SIGTERM or SIGINT, or until ``parent`` ends.

    Raises:
        BadSettingsError: no broker is set.
        StorageError: the database or the broker cannot be used.
    """
    if settings.broker_url is None:
        raise BadSettingsError(
            "A worker takes executions from a broker, and none is set.",
            fix="Set JOBSPRINT_BROKER_URL to amqp://… and JOBSPRINT_DATABASE_URL to postgresql://…; "
            "without them `jobsprint serve` runs executions itself.",
        )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running_core(settings, has_http=True, concurrency=concurrency):
        sys.stderr.write(f"Jobsprint's worker is ready, for {concurrency} executions at once.\n")
        watching = asyncio.create_task(_ended(parent, stopped)) if parent is not None else None
        await stopped.wait()
        if watching is not None:
            watching.cancel()


async def _ended(parent: BinaryIO, stopped: asyncio.Event) -> None:
    """Stop when the other end of the pipe is closed: the process that started this one is gone."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), parent)
    await reader.read()
    stopped.set()


@asynccontextmanager
async def worker_processes(count: int, *, grace: Grace) -> AsyncIterator[None]:
    """So many worker processes, each started again when it ends, until ``grace`` begins or the context is left. They
    inherit the environment of this process, and end with it, however it ends. They end while this process answers its
    last requests, in the same grace time."""
    tasks = [asyncio.create_task(_keep_alive(grace), name=f"worker-process-{n}") for n in range(count)]
    try:
        yield
    finally:
        grace.begin()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_alive(grace: Grace) -> None:
    stopping = asyncio.create_task(grace.begun(), name="worker-process-stopping")
    try:
        await _started_again(grace, stopping)
    finally:
        stopping.cancel()


async def _started_again(grace: Grace, stopping: asyncio.Task[None]) -> None:
    failures = 0
    loop = asyncio.get_running_loop()
    while not stopping.done():
        began = loop.time()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server.commands.cli", "worker", "--with-parent", stdin=asyncio.subprocess.PIPE
        )
        ended = asyncio.create_task(process.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            await _end(process, grace)
            return
        code = ended.result()
        failures = 0 if loop.time() - began > STEADY_SECONDS else failures + 1
        logger.warning("worker process %d ended (%s) and is started again", process.pid, code)
        await asyncio.wait({stopping}, timeout=RESTART_SECONDS[min(max(failures, 1), len(RESTART_SECONDS)) - 1])


async def _end(process: asyncio.subprocess.Process, grace: Grace) -> None:
    """Let a process finish its executions, and kill it if it takes too long."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(grace.left() + BEYOND_GRACE_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
