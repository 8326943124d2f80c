"""``python -m scripts.walks``: the modules that three requests pass, in the order in which each is entered first.

Counted are modules of ours with a function that runs in the event loop while the request is served and its execution
runs; what only defines values (``workflow/``) is listed apart, since a reader need not open it to follow the way.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import httpx2

from server.assembly.app import http_app
from server.assembly.composition import running_services
from server.settings.settings import Settings

ROOT = Path(__file__).parents[1]
NAMESPACE, PROTOCOL = "io.modelcontextprotocol/", "2026-07-28"
ROOMS = ("workflow", "engine", "prompts", "integrations", "storage", "tools", "server")

ANSWERED: dict[str, Any] = {
    "name": "answered",
    "nodes": {
        "in": {"type": "webhook", "parameters": {"path": "walk"}},
        "add": {"type": "set", "parameters": {"fields": {"seen": "={{ $json.body.n }}"}}},
        "out": {"type": "respond", "parameters": {"body": "={{ $json }}"}},
    },
    "connections": [["in", "add"], ["add", "out"]],
}
ASKING: dict[str, Any] = {
    "name": "asking",
    "nodes": {
        "start": {"type": "manual"},
        "ask": {"type": "ai_chat", "parameters": {"prompt": "={{ $json.text }}", "models": ["agent"]}},
    },
    "connections": [["start", "ask"]],
}
APPROVED: dict[str, Any] = {
    "name": "approved",
    "nodes": {"start": {"type": "manual"}, "ask": {"type": "approval", "parameters": {"question": "Go on?"}}},
    "connections": [["start", "ask"]],
}


@contextmanager
def entered() -> Iterator[list[str]]:
    """The modules entered until the context is left, each once."""
    found: dict[str, None] = {}
    prefix = f"{ROOT}/"

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(prefix) and path[len(prefix) :].split("/")[0] in ROOMS:
            found.setdefault(path[len(prefix) :])

    result: list[str] = []
    sys.setprofile(profile)
    try:
        yield result
    finally:
        sys.setprofile(None)
        result.extend(found)


Client = httpx2.AsyncClient


async def made(client: Client, definition: dict[str, Any]) -> str:
    """The id of a new workflow, published."""
    answer = await client.post("/api/workflows?publish=true", json=definition)
    answer.raise_for_status()
    return str(answer.json()["workflow_id"])


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """A tool's answer, over MCP without a session."""
    meta = {
        f"{NAMESPACE}protocolVersion": PROTOCOL,
        f"{NAMESPACE}clientInfo": {"name": "walks", "version": "1"},
        f"{NAMESPACE}clientCapabilities": {},
    }
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": meta},
    }
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": PROTOCOL,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    answer = await client.post("/mcp", json=message, headers=headers)
    answer.raise_for_status()
    return answer


async def webhook(client: Client) -> Callable[[], Awaitable[Any]]:
    """A webhook with an answer."""
    await made(client, ANSWERED)
    await client.post("/webhooks/walk", json={"n": 0})
    return lambda: client.post("/webhooks/walk", json={"n": 1})


async def ai(client: Client) -> Callable[[], Awaitable[Any]]:
    """``execute_workflow`` with an AI node."""
    workflow_id = await made(client, ASKING)
    return lambda: call(client, "execute_workflow", workflow_id=workflow_id, input={"text": "hi"}, wait_seconds=5)


async def approval(client: Client) -> Callable[[], Awaitable[Any]]:
    """An approval, from the answer to the end."""
    workflow_id = await made(client, APPROVED)
    started = await client.post(f"/api/workflows/{workflow_id}/execute", json={"wait_seconds": 5})
    execution_id = started.json()["execution_id"]

    async def answer() -> None:
        path = f"/api/executions/{execution_id}"
        await client.post(f"{path}/resume", json={"data": {"choice": "approve"}})
        while (await client.get(path)).json()["status"] != "succeeded":
            continue

    return answer


async def main() -> None:
    """Print the walks."""
    with TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), expression_workers=1)
        async with (
            running_services(settings, has_http=True) as services,
            http_app(settings, services) as app,
            Client(
                transport=httpx2.ASGITransport(app=app, client=("127.0.0.1", 5000)), base_url=settings.base_url
            ) as client,
        ):
            for walk in (webhook, ai, approval):
                go = await walk(client)
                with entered() as modules:
                    await go()
                way = [module for module in modules if not module.startswith("workflow/")]
                print(f"{(walk.__doc__ or '').strip()} {len(way)} modules, and {len(modules) - len(way)} of workflow/")
                print(*(f"  {module}" for module in way), sep="\n")


if __name__ == "__main__":
    asyncio.run(main())
