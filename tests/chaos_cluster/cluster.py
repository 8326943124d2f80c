"""Servers and workers as operators run them: processes with settings in their environment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.support.ports import free_port

START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class JobsprintProcess:
    """One of ours. ``port`` is there where it serves."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    port: int | None = None
    is_meant_to_run: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The id of the process; it has been launched."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Start it, and do not wait."""
        self.is_meant_to_run = True
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.commands.cli", *self.arguments],
                env={**os.environ, **self.environment, "JOBSPRINT_DATA_DIR": str(self.folder / self.name)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        """Return when it works."""
        async with asyncio.timeout(START_SECONDS):
            while not await self._is_ready():
                if self.has_ended and not self.is_meant_to_run:
                    raise AssertionError(f"{self.name} ended:\n{self.log()[-3000:]}")
                await asyncio.sleep(0.1)

    async def _is_ready(self) -> bool:
        if self.port is None:
            return "worker is ready" in self.log()
        with contextlib.suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient() as http:
                return (await http.get(f"{self.url}/readyz", timeout=2)).status_code == 200
        return False

    def log(self) -> str:
        """What it has said."""
        return (self.folder / f"{self.name}.log").read_text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, where it is there."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process is not None and self._process.poll() is not None

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """Send it a signal, and wait until it is gone; its exit status."""
        self.is_meant_to_run = False
        if self._process is None:
            return None
        self.send(number)
        return await asyncio.to_thread(self._process.wait, STOP_SECONDS)


@dataclass(slots=True, kw_only=True)
class Cluster:
    """Servers and workers with the same settings."""

    servers: Sequence[JobsprintProcess]
    workers: Sequence[JobsprintProcess]

    @classmethod
    def of(
        cls, environment: Mapping[str, str], folder: Path, *, servers: int, workers: int, concurrency: int
    ) -> Cluster:
        """So many of each."""

        def server(number: int) -> JobsprintProcess:
            port = free_port()
            arguments = ["serve", "--port", str(port)]
            return JobsprintProcess(
                name=f"server-{number}", arguments=arguments, environment=environment, folder=folder, port=port
            )

        def worker(number: int) -> JobsprintProcess:
            arguments = ["worker", "--concurrency", str(concurrency)]
            return JobsprintProcess(
                name=f"worker-{number}", arguments=arguments, environment=environment, folder=folder
            )

        return cls(servers=[server(n) for n in range(servers)], workers=[worker(n) for n in range(workers)])

    @property
    def processes(self) -> Sequence[JobsprintProcess]:
        """All of them."""
        return [*self.servers, *self.workers]

    async def start(self) -> None:
        """Start all at once, on a database that may be empty."""
        for process in self.processes:
            process.launch()
        for process in self.processes:
            await process.ready()

    async def keep_up(self) -> None:
        """Start again what ends by itself, as a service manager does."""
        while True:
            await asyncio.sleep(0.5)
            for process in self.processes:
                if process.is_meant_to_run and process.has_ended:
                    process.launch()

    async def stop(self) -> None:
        """End all of them, whatever state they are in."""
        for process in self.processes:
            process.send(signal.SIGCONT)
        await asyncio.gather(*(process.end(signal.SIGKILL) for process in self.processes))
