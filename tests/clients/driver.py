"""A client in a process of its own, driven by lines of JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

STOP_SECONDS = 30


@dataclass(slots=True)
class Driver:
    """Runs one of the programs in ``drivers/``; a context manager.

    The program gets the target as its argument: ``protocol`` to speak, and ``url`` or ``command``, ``args`` and
    ``env``. It writes ``{"protocol"}`` when it has connected, and then for each line ``{"method", "params"}`` that it
    reads one line ``{"result"}`` or ``{"error"}``. It ends with its input.
    """

    command: Sequence[str]
    target: Mapping[str, Any]
    log: Path
    protocol: str | None = None
    calls: int = 0
    _process: subprocess.Popen[str] | None = None
    _errors: IO[str] | None = None

    def __enter__(self) -> Self:
        self._errors = self.log.open("w")
        self._process = subprocess.Popen(
            [*self.command, json.dumps(self.target)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.protocol = self._answer().get("protocol")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        assert self._errors is not None
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        finally:
            self._errors.close()

    def call(self, method: str, params: Any) -> dict[str, Any]:
        """The result of a request that is one: JSON-RPC errors fail."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"method": method, "params": params}) + "\n")
        self._process.stdin.flush()
        self.calls += 1
        answer = self._answer()
        assert "result" in answer, f"{method} {params}: {answer}"
        result: dict[str, Any] = answer["result"]
        return result

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the client ended:\n{self.log.read_text()}"
        answer: dict[str, Any] = json.loads(line)
        return answer
