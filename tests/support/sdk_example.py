"""The example authorization server of the MCP SDK and the server that it guards, in processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port, is_listening
from tests.support.waiting import until

START_SECONDS = 30.0
STOP_SECONDS = 10.0


@dataclass(slots=True)
class SdkExample:
    """What ``source``, the example's folder, serves; a context manager that ends what it started. Whom the
    authorization server has let in it forgets when it is restarted."""

    source: Path
    authorization_port: int = field(default_factory=free_port)
    port: int = field(default_factory=free_port)
    _authorization: asyncio.subprocess.Process | None = None
    _server: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """The MCP server's address."""
        return f"http://localhost:{self.port}/mcp"

    async def __aenter__(self) -> Self:
        self._authorization = await self._started("auth_server", self.authorization_port)
        guard = f"http://localhost:{self.authorization_port}"
        self._server = await self._started("server", self.port, "--auth-server", guard, "--oauth-strict")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _end(self._server)
        await _end(self._authorization)

    async def restart_authorization(self) -> None:
        """End the authorization server, and start it anew."""
        await _end(self._authorization)
        self._authorization = await self._started("auth_server", self.authorization_port)

    async def _started(self, module: str, port: int, *arguments: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"mcp_simple_auth.{module}",
            "--port",
            str(port),
            *arguments,
            env={**os.environ, "PYTHONPATH": str(self.source)},
            cwd=self.source,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

        async def answers() -> bool:
            assert process.returncode is None, f"{module} ended with {process.returncode}"
            return await is_listening(port, "localhost")

        await until(answers, seconds=START_SECONDS)
        return process


async def _end(process: asyncio.subprocess.Process | None) -> None:
    if process is not None:
        process.terminate()
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
