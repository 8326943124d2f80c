"""Every example runs to its end."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from examples import local_server
from tests.support import server_process

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/__main__.py"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_to_its_end(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local_server, "JOBSPRINT", server_process.JOBSPRINT)
    runpy.run_module(f"examples.{name}", run_name="__main__", alter_sys=True)
    printed = capfd.readouterr()
    assert printed.out
    assert "Traceback" not in printed.err
