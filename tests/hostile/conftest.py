"""The table of how long others wait: the longest at the end of the run, and all in ``build/hostile-waits.txt``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.hostile.waits import SHOWN_ROWS, Others, Row, table, written
from tests.support.hostile_client import HostileClient
from tests.support.server_process import ServerProcess

ALL_ROWS = Path(__file__).parents[2] / "build" / "hostile-waits.txt"
ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """Those of the whole run."""
    return request.config.stash.setdefault(ROWS, [])


@pytest.fixture(scope="module")
def others(hostile_server: ServerProcess, rows: list[Row]) -> Iterator[Others]:
    """Somebody else, who asks the server for something plain all the time."""
    with Others(hostile_server.url, hostile_server.pid, rows) as others:
        yield others


@pytest.fixture
async def client(
    request: pytest.FixtureRequest, hostile_server: ServerProcess, others: Others
) -> AsyncIterator[HostileClient]:
    async with httpx2.AsyncClient(base_url=hostile_server.url, timeout=60) as http:
        yield HostileClient(http, hostile_server.pid, others, *family_and_way(request.node))


def family_and_way(test: pytest.Function) -> tuple[str, str]:
    """The family is the test's name; the way is what it is parametrised by."""
    callspec = getattr(test, "callspec", None)
    return test.originalname.removeprefix("test_"), callspec.id if callspec else "rest"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the longest waits."""
    found = config.stash.get(ROWS, [])
    if not found:
        return
    written(found, ALL_ROWS)
    terminalreporter.section(f"waits of others, {SHOWN_ROWS} longest of {len(found)} inputs")
    for line in table(found)[: SHOWN_ROWS + 1]:
        terminalreporter.write_line(line)
