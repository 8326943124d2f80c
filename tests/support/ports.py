"""Ports for programs that take theirs as an argument, and whether somebody listens on one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket


def free_port() -> int:
    """A port that nobody listens on now, and that no outgoing connection is given: one that is made to such a port
    while nobody listens may come out of it, too, and keep it."""
    while True:
        port = random.randint(20_000, 30_000)  # noqa: S311
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


async def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a connection to the port is accepted."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
