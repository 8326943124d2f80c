"""The table of clients at the end of the run."""

from __future__ import annotations

import pytest

Row = tuple[str, ...]
ROWS = pytest.StashKey[list[Row]]()
HEAD: Row = ("client", "version", "transport", "protocol", "calls", "passed")


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """Lines of the table, to add to."""
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print it."""
    table = [HEAD, *config.stash.get(ROWS, [])]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    terminalreporter.section("clients")
    for row in table:
        terminalreporter.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
