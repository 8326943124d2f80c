"""Sums a document up while the first provider is down, and again while both are.

Two small servers stand for the providers, so it needs no key; see docs/models.md for real ones.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client.client import Client

from examples.assistant import Assistant
from examples.local_server import local_server

HERE = Path(__file__).parent
DOCUMENT = {"text": (HERE / "document.txt").read_text()}
SENTENCE = "The bridge is safe, and should be painted before winter."


@asynccontextmanager
async def provider(*, is_up: bool) -> AsyncIterator[str]:
    """The base URL of a server that answers like OpenAI's, or 503."""
    message = {"role": "assistant", "content": SENTENCE}
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 12, "total_tokens": 102},
    }
    body = json.dumps(answer if is_up else {"error": {"message": "down for maintenance"}}).encode()
    status = "200 OK" if is_up else "503 Service Unavailable"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
        await reader.readexactly(length)
        fields = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close"
        writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def summary(*, spare_is_up: bool) -> dict[str, Any]:
    """The item with the summary, of a server whose first provider is down."""
    definition = json.loads((HERE / "workflow.json").read_text())
    async with provider(is_up=False) as main_url, provider(is_up=spare_is_up) as spare_url:
        urls = {"main": main_url, "spare": spare_url}
        providers = {name: {"kind": "openai", "base_url": url, "api_key": "none"} for name, url in urls.items()}
        async with (
            local_server({"JOBSPRINT_MODEL_PROVIDERS": json.dumps(providers)}) as url,
            Client(f"{url}/mcp") as client,
        ):
            assistant = Assistant(client, think=lambda waiting: f"By hand: {SENTENCE}")
            ended = await assistant.run(definition, [DOCUMENT])
    (item,) = ended["output"]["items"]["summary"]
    return dict(item)


async def both() -> None:
    """Once with the spare provider, once without any."""
    for spare_is_up in (True, False):
        print(f"The first provider is down, the second {'answers' if spare_is_up else 'too'}:")
        item = await summary(spare_is_up=spare_is_up)
        print(f"  {item['ai']['model']}: {item['summary']}")
        assert item["ai"]["model"] == ("spare/small" if spare_is_up else "agent")
        assert SENTENCE in item["summary"]


if __name__ == "__main__":
    asyncio.run(both())
