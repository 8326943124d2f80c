"""Requests that call a tool in either era, and the CPU time that a server spends on one."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from benchmarks.load import cpu_seconds

CONNECTIONS = 8
LEGACY, MODERN = "2025-11-25", "2026-07-28"
CLIENT = {"name": "bench", "version": "1"}
BOTH_TYPES = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
ID = "@id@"
"""Placeholder in a body for the request's own id: a session distinguishes requests by it."""

WRK_SCRIPT = """
local before, after, number = [==[{before}]==], [==[{after}]==], 1000
wrk.method = "POST"
{headers}
request = function()
  number = number + 1
  return wrk.format(nil, nil, nil, before .. number .. after)
end
"""


class Cost(NamedTuple):
    """Requests per second, and CPU milliseconds of the server's process tree per request."""

    rate: float
    cpu_ms: float


@dataclass(slots=True, frozen=True, eq=False)
class Request:
    """A POST that can be sent over and over."""

    url: str
    body: str
    headers: Mapping[str, str] = field(default_factory=lambda: BOTH_TYPES)

    def numbered(self, number: int) -> str:
        """The body with its number."""
        return self.body.replace(ID, str(number))

    def send(self) -> Any:
        """The JSON that comes back, once, from a JSON body or from the last event of a stream."""
        answer = httpx2.post(self.url, content=self.numbered(7), headers=dict(self.headers))
        answer.raise_for_status()
        return json.loads(answer.text.rpartition("data: ")[2])


def modern_call(url: str, tool: str, arguments: Mapping[str, Any]) -> Request:
    """A call that stands by itself."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": CLIENT,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = {**BOTH_TYPES, "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
    return Request(url, _message("tools/call", {"name": tool, "arguments": arguments, "_meta": meta}), headers)


def legacy_call(url: str, tool: str, arguments: Mapping[str, Any]) -> Request:
    """A call in a session, which is opened here; servers that keep none get calls without one."""
    opening = _message("initialize", {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT})
    opened = httpx2.post(url, content=opening.replace(ID, "1"), headers=BOTH_TYPES)
    opened.raise_for_status()
    headers = {**BOTH_TYPES, "mcp-protocol-version": LEGACY}
    if "mcp-session-id" in opened.headers:
        headers["mcp-session-id"] = opened.headers["mcp-session-id"]
    noted = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    httpx2.post(url, json=noted, headers=headers).raise_for_status()
    return Request(url, _message("tools/call", {"name": tool, "arguments": arguments}), headers)


def _message(method: str, params: Mapping[str, Any]) -> str:
    text = json.dumps({"jsonrpc": "2.0", "id": ID, "method": method, "params": params})
    return text.replace(f'"{ID}"', ID)


def measure(request: Request, *, process_id: int, seconds: float) -> Cost:
    """What the request costs the server; any answer but 2xx ends the measurement."""
    run = _run_wrk if shutil.which("wrk") else _run_python
    run(request, 1)
    before, started = cpu_seconds(process_id), time.perf_counter()
    count = run(request, seconds)
    took = time.perf_counter() - started
    return Cost(count / took, (cpu_seconds(process_id) - before) * 1000 / count)


def _run_wrk(request: Request, seconds: float) -> int:
    before, _, after = request.body.partition(ID)
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in request.headers.items())
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
        script = Path(folder) / "request.lua"
        script.write_text(WRK_SCRIPT.format(before=before, after=after, headers=headers))
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", "-s", str(script), request.url]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", printed)
    if found is None or "Non-2xx" in printed or "Socket errors" in printed:
        raise SystemExit(f"{request.url}: {printed}")
    return int(found[1])


def _run_python(request: Request, seconds: float) -> int:
    return asyncio.run(_send_for(request, seconds))


async def _send_for(request: Request, seconds: float) -> int:
    count, ends = 0, time.perf_counter() + seconds

    async def client() -> None:
        nonlocal count
        async with httpx2.AsyncClient(timeout=30) as http:
            while time.perf_counter() < ends:
                count += 1
                body = request.numbered(1000 + count)
                (await http.post(request.url, content=body, headers=dict(request.headers))).raise_for_status()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return count
