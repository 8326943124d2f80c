"""A way to a service that a test can cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class TcpProxy:
    """Passes bytes on to a port of this machine, until a test cuts it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._is_refusing = False
        self.port = 0

    def cut(self) -> None:
        """Break every connection there is; new ones are taken."""
        for pair in list(self._pairs):
            for writer in pair:
                writer.transport.abort()
        self._pairs.clear()

    def refuse(self) -> None:
        """Break every connection and take no more, until :meth:`accept`."""
        self._is_refusing = True
        self.cut()

    def accept(self) -> None:
        """Take connections again."""
        self._is_refusing = False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            writer.transport.abort()
            return
        try:
            there, to_there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, to_there)
        self._pairs.add(pair)
        try:
            await asyncio.gather(_pass_on(reader, to_there), _pass_on(there, writer))
        finally:
            self._pairs.discard(pair)
            for each in pair:
                each.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(port: int) -> AsyncIterator[TcpProxy]:
    """A proxy in front of a port."""
    proxy = TcpProxy(port)
    server = await asyncio.start_server(proxy._connected, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await asyncio.sleep(0)
