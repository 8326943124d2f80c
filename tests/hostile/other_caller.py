"""Somebody else: asks a server for /healthz every 20 ms, in a process of its own, and prints how long each wait was.

A line holds three numbers of seconds: when it asked (``time.monotonic``), how long it waited, and how much of that
the machine let the server's main thread or this process queue for a processor, which no input can help.
"""

from __future__ import annotations

import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

PAUSE_SECONDS = 0.02
MOST_SECONDS = 120


def queued_seconds(process: str) -> float:
    """How long the process's main thread has queued for a processor so far; 0 where the system does not count it."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def ask(connection: HTTPConnection) -> None:
    """One answer, over another connection if this one broke: the wait counts from the first try."""
    until = time.monotonic() + MOST_SECONDS
    while True:
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except (OSError, HTTPException):
            connection.close()
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


def main(host: str, port: str, pid: str) -> None:
    """Ask until nobody reads what is printed."""
    connection = HTTPConnection(host, int(port), timeout=MOST_SECONDS)
    while True:
        queued = queued_seconds(pid) + queued_seconds("self")
        began = time.monotonic()
        ask(connection)
        took = time.monotonic() - began
        queued = queued_seconds(pid) + queued_seconds("self") - queued
        sys.stdout.write(f"{began:.6f} {took:.6f} {min(took, queued):.6f}\n")
        sys.stdout.flush()
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
