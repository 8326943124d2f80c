"""Services that a machine may have: tests that need one skip without it, or fail where all are required."""

from __future__ import annotations

import os
import shutil
import socket
from typing import NoReturn

import pytest

POSTGRESQL_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
REDIS_URL = "redis://127.0.0.1:6379/0"
RABBITMQ_URL = "amqp://guest:guest@127.0.0.1:5672/"
PORTS = {"PostgreSQL": 5432, "Redis": 6379, "RabbitMQ": 5672}


def need(service: str) -> None:
    """Skip the test where ``service`` is not reachable, or fail it where JOBSPRINT_REQUIRE_SERVICES is set."""
    try:
        socket.create_connection(("127.0.0.1", PORTS[service]), timeout=2).close()
    except OSError:
        go_without(f"{service} does not answer on 127.0.0.1:{PORTS[service]}; what needs it was not tried")


def need_program(*names: str) -> str:
    """The path of the first of these programs that there is; where there is none, as :func:`need`."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or go_without(f"none of {', '.join(names)} is on the PATH; what needs it was not tried")


def go_without(message: str) -> NoReturn:
    """Skip the test, or fail it where JOBSPRINT_REQUIRE_SERVICES is set."""
    if os.environ.get("JOBSPRINT_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)
