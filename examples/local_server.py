"""A Jobsprint server of one's own, for as long as an example runs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

JOBSPRINT = str(Path(sys.executable).with_name("jobsprint"))


def environment(data_dir: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server that keeps its data in ``data_dir``, whatever else is set here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBSPRINT_")}
    return {**kept, "JOBSPRINT_DATA_DIR": data_dir, "JOBSPRINT_LOG_LEVEL": "warning", **settings}


@asynccontextmanager
async def local_server(settings: Mapping[str, str]) -> AsyncIterator[str]:
    """The address of a server on a free port; it stops, and its data goes, when the context is left."""
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as data_dir:
        process = await asyncio.create_subprocess_exec(
            JOBSPRINT,
            "serve",
            "--port",
            "0",
            env=environment(data_dir, settings),
            cwd=data_dir,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield await _address(process)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    """What the server says when it is ready."""
    log = ""
    while process.stderr is not None and (line := (await process.stderr.readline()).decode()):
        log += line
        found = re.search(r"MCP endpoint +(\S+)/mcp", line)
        if found is not None:
            return found[1]
    raise RuntimeError(f"the server did not start:\n{log}")
