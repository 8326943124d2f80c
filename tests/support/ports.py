"""Ports for programs that have to be told theirs."""

from __future__ import annotations

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
