"""Sends anything at all to a server, over REST and over MCP in both eras, and reads what it makes of it."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx2

from scripts.error_page import catalogue
from tests.support.both_ways import plain_body, plain_headers

Era = Literal["modern", "legacy"]
ERAS: Sequence[Era] = ("modern", "legacy")
LEGACY = "2025-11-25"
PROTOCOL_ERRORS = range(-32_768, -31_999)
"""Errors that JSON-RPC and MCP reserve for misuse of the protocol."""


@dataclass(slots=True, frozen=True)
class Answer:
    """Status and content: JSON, or ``None`` where there is none."""

    status: int
    content: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> dict[str, Any] | None:
        """What was refused and why, however it was sent."""
        if not isinstance(self.content, dict):
            return None
        if "jsonrpc" not in self.content:
            return self.content if self.status >= 400 else None
        if "error" in self.content:
            given = self.content["error"]
            data = given.get("data")
            return {"code": given["code"], **(data if isinstance(data, dict) else {}), "message": given["message"]}
        result = self.content.get("result", {})
        if not result.get("isError"):
            return None
        error: dict[str, Any] = json.loads(result["content"][0]["text"])["error"]
        return error

    @property
    def result(self) -> Any:
        """What came back where it went well."""
        if isinstance(self.content, dict) and "jsonrpc" in self.content:
            return self.content["result"]["structuredContent"]
        return self.content

    def complaint(self) -> str | None:
        """What is wrong with the answer as such, whatever was sent."""
        if self.status >= 500:
            return f"{self.status}: {self.content!r:.300}"
        error = self.error
        if error is None:
            return None if self.status < 400 else f"{self.status} without a reason: {self.content!r:.300}"
        code = error.get("code")
        if isinstance(code, int):
            return None if code in PROTOCOL_ERRORS else f"no code of the protocol: {error!r:.300}"
        if code not in CODES or code in ("internal_error", "node_bug"):
            return f"no documented code: {error!r:.300}"
        if not (error.get("fix") or error.get("findings") or error.get("patch") or error.get("next")):
            return f"nothing about what to do: {error!r:.300}"
        if len(json.dumps(error)) > 50_000:
            return f"an error of {len(json.dumps(error))} characters: {code}"
        return None


CODES = frozenset(catalogue())


def busyness() -> float:
    """How much longer work takes now than on a machine that does nothing else, at least 1."""
    wall, processor = time.perf_counter(), time.process_time()
    sum(number * number for number in range(1_000_000))
    return max(1.0, (time.perf_counter() - wall) / (time.process_time() - processor))


@dataclass(slots=True, frozen=True)
class Tried:
    """An input that was sent and answered, between two moments of ``time.monotonic``; ``send`` sends it again."""

    name: str
    send: Callable[[], Awaitable[Answer]]
    began: float
    ended: float


class Bystanders(Protocol):
    """Who else asks the server for something, and says how long that took."""

    async def judged(self, client: HostileClient) -> list[str]:
        """What they waited too long for since the last time."""


class Nobody:
    """Nobody else asks: for tests that send a few inputs and measure no wait."""

    async def judged(self, client: HostileClient) -> list[str]:
        """Nothing."""
        return []


@dataclass(slots=True)
class HostileClient:
    """A client that sends anything that a test gives it; ``family`` and ``way`` say which test, ``tries`` what."""

    http: httpx2.AsyncClient
    pid: int
    others: Bystanders = field(default_factory=Nobody)
    family: str = ""
    way: str = "rest"
    tries: list[Tried] = field(default_factory=list)
    sessions: dict[str, str] = field(default_factory=dict)

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str | bytes] | None = None, content: bytes | None = None
    ) -> Answer:
        """One HTTP request."""
        raw = [
            (name.encode(), value if isinstance(value, bytes) else value.encode())
            for name, value in (headers or {}).items()
        ]
        answer = await self.http.request(method, path, headers=raw, content=content)
        return Answer(answer.status_code, _content(answer), dict(answer.headers))

    async def tried(self, name: str, send: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to an input; it is kept when the input was there, and how to send it again."""
        began = time.monotonic()
        answer = await send()
        self.tries.append(Tried(name, send, began, time.monotonic()))
        return answer

    async def json(self, method: str, path: str, value: Any) -> Answer:
        """One request with a JSON body."""
        return await self.send(
            method, path, headers={"content-type": "application/json"}, content=json.dumps(value).encode()
        )

    async def mcp(self, era: Era, body: bytes, tool: str = "list_workflows") -> Answer:
        """One message to the MCP endpoint."""
        headers = plain_headers(tool)
        if era == "legacy":
            headers = {
                "content-type": headers["content-type"],
                "accept": headers["accept"],
                "mcp-protocol-version": LEGACY,
                "mcp-session-id": await self._session(),
            }
        return await self.send("POST", "/mcp", headers=headers, content=body)

    async def call(self, era: Era, tool: str, arguments: Mapping[str, Any]) -> Answer:
        """One call of a tool."""
        body = plain_body(tool, arguments)
        if era == "legacy":
            del body["params"]["_meta"]
        return await self.mcp(era, json.dumps(body).encode(), tool)

    async def _session(self) -> str:
        if "legacy" not in self.sessions:
            hello = {
                "jsonrpc": "2.0",
                "id": 0,
                "method": "initialize",
                "params": {
                    "protocolVersion": LEGACY,
                    "capabilities": {},
                    "clientInfo": {"name": "hostile", "version": "1"},
                },
            }
            headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
            answer = await self.send("POST", "/mcp", headers=headers, content=json.dumps(hello).encode())
            self.sessions["legacy"] = answer.headers["mcp-session-id"]
            ready = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
            await self.mcp("legacy", ready)
        return self.sessions["legacy"]

    async def latency(self) -> float:
        """Seconds of a plain request."""
        started = time.perf_counter()
        answer = await self.http.get("/api/workflows?limit=1")
        assert answer.status_code == 200
        return time.perf_counter() - started

    async def usual_latency(self) -> float:
        """The median of some."""
        return statistics.median([await self.latency() for _ in range(20)])

    def resident_bytes(self) -> int:
        """Memory of the server's own process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * 4_096

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[list[float]]:
        """Ask for something plain again and again meanwhile; the latencies in seconds."""
        found: list[float] = []
        is_over = asyncio.Event()

        async def probe() -> None:
            while not is_over.is_set():
                found.append(await self.latency())
                await asyncio.wait([asyncio.ensure_future(is_over.wait())], timeout=0.02)

        task = asyncio.create_task(probe())
        try:
            yield found
        finally:
            is_over.set()
            await task


def _content(answer: httpx2.Response) -> Any:
    kind = answer.headers.get("content-type", "")
    if "json" in kind:
        return answer.json() if answer.content else None
    if "event-stream" in kind:
        # Only these end a line there; JSON writes others as they are.
        lines = answer.text.replace("\r\n", "\n").split("\n")
        events = [line[6:] for line in lines if line.startswith("data: ") and line[6:].strip()]
        return json.loads(events[-1]) if events else None
    return answer.text or None
