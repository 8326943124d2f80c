"""How long others wait for the server while it has an input: measured from another process, a row for each input."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx2

from tests.support.hostile_client import HostileClient, Tried, busyness

MOST_WAIT_SECONDS = 0.25
SENDS = 3
"""An input that others wait too long for is sent again, and the least of their waits counts: the machine is shared."""
AFTERWARDS_SECONDS = 0.1
"""What an input leaves behind may hold the server up after its answer."""
CAUGHT_UP_SECONDS = 120
COUNTS_QUEUE = Path("/proc/self/schedstat").exists()
"""Where the system counts how long a process queues for a processor, a busy machine is no excuse."""
SHOWN_ROWS = 30


@dataclass(slots=True, frozen=True)
class Row:
    """The longest wait of others during one input, in seconds; ``raw_seconds`` has the queue for a processor in it."""

    family: str
    way: str
    name: str
    wait_seconds: float
    raw_seconds: float
    sends: int

    def line(self) -> str:
        """As the table shows it."""
        wait, raw = self.wait_seconds * 1000, self.raw_seconds * 1000
        return f"{wait:8.0f} {raw:8.0f} {self.sends:5}  {self.family} [{self.way}] {self.name!a:.100}"


HEAD = f"{'wait ms':>8} {'raw ms':>8} {'sends':>5}  family [way] input"


def table(rows: Iterable[Row]) -> list[str]:
    """The longest waits first."""
    return [HEAD, *(row.line() for row in sorted(rows, key=lambda row: -row.wait_seconds))]


@dataclass(slots=True)
class Others:
    """A process that asks a server for something plain all the time; a context manager that ends it."""

    url: str
    pid: int
    rows: list[Row] = field(default_factory=list)
    _probes: list[tuple[float, float, float]] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        place = urlsplit(self.url)
        script = Path(__file__).with_name("other_caller.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(place.hostname), str(place.port), str(self.pid)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                began, took, queued = map(float, line.split())
                self._probes.append((began, took, queued))

    async def caught_up(self) -> None:
        """Return when somebody has asked and got an answer since now."""
        now = time.monotonic()
        while not self._probes or self._probes[-1][0] <= now:
            assert time.monotonic() < now + CAUGHT_UP_SECONDS, "nobody else gets an answer any more"
            await asyncio.sleep(0.01)

    def worst(self, began: float, ended: float) -> tuple[float, float]:
        """The longest wait of those that fall into the time: without the queue for a processor, and with it."""
        waits = [
            (took - queued, took) for start, took, queued in self._probes if start <= ended and start + took >= began
        ]
        return max(waits, default=(0.0, 0.0))

    async def judged(self, client: HostileClient) -> list[str]:
        """What others waited too long for since the last time; each input gets its row."""
        tries, client.tries = client.tries, []
        await self.caught_up()
        complaints = []
        for each in tries:
            row = await self._row(client, each)
            self.rows.append(row)
            if row.wait_seconds > MOST_WAIT_SECONDS * (1 if COUNTS_QUEUE else busyness()):
                complaints.append(f"others waited {row.wait_seconds * 1000:.0f} ms for {row.name!a:.100}")
        return complaints

    async def _row(self, client: HostileClient, tried: Tried) -> Row:
        waits = [self.worst(tried.began, tried.ended)]
        while min(waits)[0] > MOST_WAIT_SECONDS and len(waits) < SENDS:
            await self.caught_up()
            began = time.monotonic()
            with suppress(httpx2.HTTPError):  # the first answer was judged; here only the wait counts
                await tried.send()
            await asyncio.sleep(AFTERWARDS_SECONDS)
            ended = time.monotonic()
            await self.caught_up()
            waits.append(self.worst(began, ended))
        wait, raw = min(waits)
        return Row(client.family, client.way, tried.name, wait, raw, len(waits))


def written(rows: Sequence[Row], path: Path) -> None:
    """The whole table, in a file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(table(rows)) + "\n")
