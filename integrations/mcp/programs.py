"""MCP servers that are programs of this machine, over stdio. Operators say which there are; users name one."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TextIO

import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from pydantic import BaseModel, ConfigDict, Field

from integrations.mcp.sessions import McpSession, client_of
from integrations.settings import ConnectionSettings, settings_of
from workflow.actions import ActionError
from workflow.connections import Connection
from workflow.errors import InvalidArgumentsError
from workflow.findings import listed
from workflow.items import JsonObject

MOST_LINE = 2_000
"""Characters of a line that a program writes to its stderr which go to our log."""

logger = logging.getLogger(__name__)


class McpProgram(BaseModel):
    """A program that may be run. It gets this environment, and of ours only what every program needs (PATH, HOME …).

    ``workspaces`` are those that may use it; all of them where it is not given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    pass_env: tuple[str, ...] = Field(default=(), description="Variables of the server's own environment it gets, too.")
    cwd: str | None = None
    workspaces: tuple[str, ...] | None = None


class ProgramSettings(ConnectionSettings):
    """Settings of kind ``program``."""

    program: str = Field(min_length=1, max_length=100, description="Its name in the server's JOBSPRINT_MCP_PROGRAMS.")


class OverStdio:
    """Starts programs and opens clients of them. An :data:`~integrations.mcp.sessions.Open`.

    The SDK gives each a process group of its own, and ends it: stdin closed, SIGTERM, SIGKILL. When this process is
    killed, its programs find their stdin closed.
    """

    def __init__(self, programs: Mapping[str, McpProgram], *, info: types.Implementation) -> None:
        self._programs = programs
        self._info = info

    def settings(self, owner: str, document: Mapping[str, Any]) -> JsonObject:
        """The settings of kind ``program`` as they are kept.

        Raises:
            InvalidArgumentsError: they do not fit, or the workspace may run no such program.
        """
        kept = settings_of(ProgramSettings, document)
        if self._program(owner, kept["program"]) is None:
            there = [name for name in self._programs if self._program(owner, name) is not None]
            raise InvalidArgumentsError(
                f"There is no program {kept['program']!r} to run.",
                pointer="/settings/program",
                fix=f"Name one of {listed(there)}."
                if there
                else "The operator of the server lists programs in JOBSPRINT_MCP_PROGRAMS.",
            )
        return kept

    @asynccontextmanager
    async def __call__(self, connection: Connection, session: McpSession) -> AsyncIterator[Client]:
        program = self._program(connection.owner, connection.settings["program"])
        if program is None:
            raise ActionError(
                f"The program {connection.settings['program']!r} of the connection {connection.name} is not there.",
                code="connection_failed",
                is_unavailable=True,
                fix="The operator of the server lists programs in JOBSPRINT_MCP_PROGRAMS.",
            )
        passed = {name: os.environ[name] for name in program.pass_env if name in os.environ}
        parameters = StdioServerParameters(
            command=program.command,
            args=list(program.args),
            env={**passed, **program.env},
            cwd=program.cwd,
            encoding_error_handler="replace",
        )
        async with (
            _logged(connection, on_end=session.expire) as stderr,
            client_of(stdio_client(parameters, errlog=stderr), session, self._info) as client,
        ):
            stderr.close()  # the program has its own copy, whose end tells of the program's
            yield client

    def _program(self, owner: str, name: str) -> McpProgram | None:
        program = self._programs.get(name)
        is_ours = program is not None and (program.workspaces is None or owner in program.workspaces)
        return program if is_ours else None


@asynccontextmanager
async def _logged(connection: Connection, *, on_end: Callable[[], None]) -> AsyncIterator[TextIO]:
    """A file for a program's stderr whose lines go to our log, each cut to a bound. Its end is the program's: nothing
    else tells of a program that ends while it is not asked anything."""
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    reader = asyncio.StreamReader(limit=2**16)
    with os.fdopen(writing, "w") as file:
        pipe = os.fdopen(reading, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        task = asyncio.create_task(_log(reader, connection, on_end))
        try:
            yield file
        finally:
            transport.close()
            task.cancel()
            await asyncio.wait([task])


async def _log(reader: asyncio.StreamReader, connection: Connection, on_end: Callable[[], None]) -> None:
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            continue  # a line beyond every bound; the reader has thrown it away
        if not line:
            on_end()
            return
        logger.debug("%s: %s", connection.name, line[:MOST_LINE].decode(errors="replace").rstrip())
