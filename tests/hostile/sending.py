"""What tests of hostile inputs send to a server, and what must hold of it meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.hostile_client import ERAS, Answer, Era, HostileClient, busyness

MOST_SECONDS = 1.5
"""For a plain request in the worst moment; what holds the server up for longer is a way to stop it."""
USUAL_TIMES = 6.0
USUAL_SECONDS = 0.03
GROWTH_TIMES = 1.5
GROWTH_BYTES = 96 << 20

PLAIN = {
    "name": "plain",
    "nodes": {
        "start": {"type": "manual"},
        "step": {"type": "set", "parameters": {"fields": {"got": "={{ $json.value }}"}, "keep_input": True}},
    },
    "connections": [["start", "step"]],
}


@asynccontextmanager
async def level(client: HostileClient) -> AsyncIterator[list[str]]:
    """Assert that nothing was complained of, and that memory and latency stay what they were."""
    usual, resident, slowness = await client.usual_latency(), client.resident_bytes(), 2 * busyness()
    complaints: list[str] = []
    async with client.watched() as latencies:
        yield complaints
    complaints += await client.others.judged(client)
    assert not complaints, "\n" + "\n".join(complaints)
    slowness = max(slowness, 2 * busyness())
    assert max(latencies) < MOST_SECONDS * slowness
    assert await client.usual_latency() < usual * USUAL_TIMES + USUAL_SECONDS * slowness
    assert client.resident_bytes() < resident * GROWTH_TIMES + GROWTH_BYTES


async def workflow(client: HostileClient) -> str:
    """The id of a plain workflow."""
    made = await client.json("POST", "/api/workflows", PLAIN)
    return str(made.content["workflow_id"])


def must_refuse(answer: Answer) -> str | None:
    """What is wrong with the answer to something that cannot be right."""
    complaint = answer.complaint()
    if complaint is None and answer.error is None:
        return f"{answer.status}: it was taken: {answer.content!r:.200}"
    return complaint


async def created(client: HostileClient, way: str, definition: Any) -> Answer:
    """The definition, sent over REST or over MCP in an era."""
    if way == "rest":
        return await client.json("POST", "/api/workflows", definition)
    return await client.call("modern" if way == "modern" else "legacy", "create_workflow", {"definition": definition})


async def executed(client: HostileClient, way: str, workflow_id: str, data: Any) -> Answer:
    """A run of the workflow, to its end."""
    if way == "rest":
        return await client.json("POST", f"/api/workflows/{workflow_id}/execute", {"input": data, "wait_seconds": 30})
    era: Era = "modern" if way == "modern" else "legacy"
    return await client.call(era, "execute_workflow", {"workflow_id": workflow_id, "input": data, "wait_seconds": 30})


WAYS = ["rest", *ERAS]
