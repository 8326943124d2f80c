"""What the workflows of cases g and h call: a server that answers ``{"ok": true}`` at once, in a process of its own.

``python -m benchmarks.target`` serves on 127.0.0.1:9801 until it is ended.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import uvloop

from benchmarks.shapes import TARGET_URL

HOST, PORT = "127.0.0.1", 9801
ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}'
STARTING_SECONDS = 10


class Target(asyncio.Protocol):
    """One connection: each whole request gets the answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody calls."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        self._seen += data
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head = self._seen[:end].lower().split(b"\r\n")
            lengths = [int(line.partition(b":")[2]) for line in head if line.startswith(b"content-length:")]
            size = end + 4 + sum(lengths)
            if len(self._seen) < size:
                return
            self._seen = self._seen[size:]
            self._transport.write(ANSWER)


async def serve() -> None:
    """Serve until the process ends."""
    server = await asyncio.get_running_loop().create_server(Target, HOST, PORT)
    await server.serve_forever()


@contextmanager
def target() -> Iterator[None]:
    """The server in a process of its own, until the context is left."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.target"])
    try:
        deadline = time.monotonic() + STARTING_SECONDS
        while True:
            try:
                httpx2.post(TARGET_URL, content=b"{}").raise_for_status()
            except httpx2.ConnectError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                break
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    uvloop.run(serve())
