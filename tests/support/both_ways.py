"""Calls that go two ways through one server's application: past the SDK where that is possible, and through it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.runs.submission import Submission
from server.assembly.app import http_app
from server.assembly.composition import Services, running_services
from server.http.access import ACTOR
from server.mcp.direct_calls import DirectCalls
from server.mcp.offers import Offers
from server.settings.settings import Settings
from server.walls.security_headers import ALWAYS, NO_PAGE
from workflow.identity import LOCAL_ACTOR, LOCAL_ID

VERSION = "2026-07-28"
NAMESPACE = "io.modelcontextprotocol/"
LEFT_OUT = frozenset(
    {b"content-length", b"mcp-session-id", b"ratelimit", b"ratelimit-policy", *(name for name, _ in (*ALWAYS, NO_PAGE))}
)
"""Headers of answers that differ each time, and those that the walls add, which stand in front of both ways."""
EXECUTION = "@execution@"
WORKFLOW = "@workflow@"
"""Stand in a body for the ids of what there is."""

DEFINITION = {
    "name": "two steps",
    "nodes": {
        "start": {"type": "manual"},
        "step": {
            "type": "set",
            "parameters": {"fields": {"text": "=é {{ $json.n }}", "none": None, "long": "x" * 5000}},
        },
    },
    "connections": [["start", "step"]],
}


def plain_body(tool: str = "inspect_execution", arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A call with nothing in it but what it needs."""
    meta = {
        NAMESPACE + "protocolVersion": VERSION,
        NAMESPACE + "clientInfo": {"name": "test", "version": "1"},
        NAMESPACE + "clientCapabilities": {},
    }
    given = {"execution_id": EXECUTION} if arguments is None else arguments
    return {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": tool, "arguments": given, "_meta": meta},
    }


def plain_headers(tool: str = "inspect_execution") -> dict[str, str]:
    """The headers that belong to it, but for Host and the length."""
    return {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }


@dataclass(slots=True, frozen=True)
class Answer:
    """Status, headers but for the length and the session's id, and the body: JSON, a stream's last event, or bytes."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: Any
    session_id: str | None = field(compare=False)


@dataclass(slots=True, frozen=True)
class BothWays:
    """The whole application, with an execution and its workflow."""

    services: Services
    app: ASGIApp
    execution_id: str
    workflow_id: str

    async def compared(
        self,
        body: str | bytes,
        headers: Sequence[tuple[str, str]],
        *,
        parts: int = 1,
        offers: Offers | None = None,
    ) -> tuple[Answer, bool]:
        """The answer, which is the same both ways, and whether it came without the SDK.

        The body comes in ``parts``; ``offers`` are in place of the server's own.
        """
        content = body.encode() if isinstance(body, str) else body
        content = content.replace(EXECUTION.encode(), self.execution_id.encode())
        content = content.replace(WORKFLOW.encode(), self.workflow_id.encode())
        passed_on: list[Scope] = []

        async def sdk(scope: Scope, receive: Receive, send: Send) -> None:
            passed_on.append(scope)
            # With a query, even one that nobody reads, a call is none of those that are answered directly.
            await self.app({**scope, "query_string": b"way=sdk"}, receive, send)

        direct = DirectCalls(sdk, offers=offers or self.services.offers, server=self.services.mcp)
        expected = await posted(sdk, content, headers, parts)
        passed_on.clear()
        answer = await posted(direct, content, headers, parts)
        assert answer == expected
        return answer, not passed_on


@asynccontextmanager
async def both_ways(data_dir: Path) -> AsyncIterator[BothWays]:
    """The application of a server in this process."""
    settings = Settings.load(data_dir=data_dir)
    async with running_services(settings, has_http=True) as services, http_app(settings, services) as app:
        made = await services.authoring.create(LOCAL_ACTOR, DEFINITION)
        plan = services.authoring.compiled(made.workflow)
        execution_id = await services.requests.execute(
            plan, Submission(trigger="manual", initiator=LOCAL_ACTOR.initiator, data={"n": 1})
        )
        await services.reader.wait(LOCAL_ID, execution_id, timeout_seconds=20)
        yield BothWays(services, app, execution_id, made.workflow.id)


async def posted(
    app: ASGIApp, content: bytes, headers: Sequence[tuple[str, str]], parts: int = 1, *, method: str = "POST"
) -> Answer:
    """What an application answers to a request to its MCP endpoint."""
    size = -(-len(content) // parts) or 1
    chunks = [content[start : start + size] for start in range(0, len(content), size)] or [b""]
    coming: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    coming[-1]["more_body"] = False
    sent: list[Message] = []

    async def receive() -> Message:
        if not coming:
            await asyncio.Event().wait()  # the client stays until it has its answer
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(dict(message))

    lines = [("host", "localhost"), ("content-length", str(len(content))), *headers]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in lines],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        ACTOR: LOCAL_ACTOR,
    }
    await app(scope, receive, send)
    headers_sent = dict(sent[0]["headers"])
    kept = sorted(line for line in sent[0]["headers"] if line[0] not in LEFT_OUT)
    body: Any = b"".join(message.get("body", b"") for message in sent[1:])
    if body and headers_sent.get(b"content-type") == b"application/json":
        body = json.loads(body)
    elif b"data: " in body:
        body = json.loads(body.rpartition(b"data: ")[2])
    session_id = headers_sent.get(b"mcp-session-id")
    return Answer(sent[0]["status"], kept, body, session_id.decode() if session_id is not None else None)
