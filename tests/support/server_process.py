"""A real ``jobsprint serve`` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.preloaded import forked_pid

JOBSPRINT = str(Path(sys.executable).with_name("jobsprint"))
"""The command; in pytest's workers a script that does the same and starts sooner (:mod:`tests.support.preloaded`)."""
ROOT = Path(__file__).parents[2]
STOP_SECONDS = 30


def environment(data_dir: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings, but for the data folder and those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBSPRINT_")}
    return {**kept, "JOBSPRINT_DATA_DIR": str(data_dir), **(extra or {})}


@dataclass(slots=True)
class ServerProcess:
    """A server on a free port; a context manager that stops it and asserts that it ended well."""

    data_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    url: str = ""
    log: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process; there is one while it runs."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """The id of the process that serves."""
        return forked_pid(JOBSPRINT, self.process.pid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            assert self.stop() == 0, "".join(self.log)
            assert "Traceback" not in "".join(self.log), "".join(self.log)

    def start(self) -> None:
        """Start it; return when it listens."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [JOBSPRINT, "serve", "--port", "0", *self.arguments],
            env=environment(self.data_dir, self.settings),
            cwd=self.data_dir,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"MCP endpoint +(\S+)/mcp", line)
            if found is not None:
                self.url = found[1]
            # What is read ahead of here is lost to communicate.
            if line.startswith("  Accounts"):
                return
        raise AssertionError("the server did not start:\n" + "".join(self.log))

    def stop(self) -> int:
        """End it in order; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=STOP_SECONDS)
        self.log.append(rest)
        return self.process.returncode

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.communicate(timeout=STOP_SECONDS)
