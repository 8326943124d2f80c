"""A client of the legacy era whose stream breaks gets what it missed, and nothing of anybody else's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
from mcp_types.jsonrpc import JSONRPCNotification

from server.mcp.replay import KEPT_BYTES, Replay
from tests.support.http_target import HttpTarget

VERSION = "2025-11-25"
ACCEPT = "application/json, text/event-stream"


async def begin_session(http: httpx2.AsyncClient) -> dict[str, str]:
    """The headers of a new session."""
    headers = {"accept": ACCEPT, "mcp-protocol-version": VERSION}
    info = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": info}
    answer = await http.post("/mcp", json=body, headers=headers)
    headers["mcp-session-id"] = answer.headers["mcp-session-id"]
    await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
    return headers


def call(number: int, tool: str, **arguments: Any) -> dict[str, Any]:
    """The body of a call."""
    params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": number}}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


async def events(response: httpx2.Response) -> Any:
    """The stream's events as they come: id and message."""
    event_id = ""
    async for line in response.aiter_lines():
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data:"):
            text = line.removeprefix("data:").strip()
            yield event_id, json.loads(text) if text else None


async def test_a_stream_that_breaks_is_taken_up_where_it_broke(http: httpx2.AsyncClient, target: HttpTarget) -> None:
    headers, others = await begin_session(http), await begin_session(http)
    nodes = {
        "start": {"type": "manual"},
        "ask": {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}},
    }
    definition = {"name": "slow", "nodes": nodes, "connections": [["start", "ask"]]}
    made = await http.post("/api/workflows", json=definition)
    body = call(7, "execute_workflow", workflow_id=made.json()["workflow_id"])
    async with asyncio.timeout(20):
        async with http.stream("POST", "/mcp", json=body, headers=headers) as response:
            stream = events(response)
            first_id, marker = await anext(stream)
            _, progress = await anext(stream)
            await target.arrived.wait()
        assert marker is None
        assert progress["params"]["message"] == "start (1 of 2)"
        target.release.set()
        resumed = {**headers, "last-event-id": first_id}
        async with http.stream("GET", "/mcp", headers=resumed) as response:
            came = [message async for _, message in events_until_result(response)]
        assert [each["params"]["message"] for each in came[:-1]] == ["start (1 of 2)", "ask (2 of 2)"]
        assert came[-1]["result"]["structuredContent"]["status"] == "succeeded"
        other = await http.post("/mcp", json=call(7, "list_workflows", limit=1), headers=others)
        assert "ask (2 of 2)" not in other.text


async def events_until_result(response: httpx2.Response) -> Any:
    """The messages of a stream up to the result."""
    async for event_id, message in events(response):
        if message is None:
            continue
        yield event_id, message
        if "result" in message:
            return


async def test_the_oldest_messages_make_room_and_what_is_gone_is_not_replayed() -> None:
    replay = Replay()
    long = JSONRPCNotification(jsonrpc="2.0", method="m", params={"text": "x" * (KEPT_BYTES // 4)})
    ids = [await replay.store_event("s", long) for _ in range(6)]
    sent: list[str | None] = []

    async def note(event: Any) -> None:
        sent.append(event.event_id)

    assert await replay.replay_events_after(ids[0], note) is None
    assert await replay.replay_events_after(ids[-2], note) == "s"
    assert sent == [ids[-1]]
