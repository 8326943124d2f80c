"""What an agent does, counted: calls, and tokens of what they answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx2

from tests.agent_tasks.world import World
from tests.support.mcp_caller import McpCaller, text_of
from tools.protocol.budget import tokens_of_bytes


@dataclass(slots=True)
class Agent:
    """One task's agent. ``http`` is the user's own program, which the agent's calls do not count."""

    mcp: McpCaller
    http: httpx2.AsyncClient
    calls: int = 0
    tokens: int = 0

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """What a call answers, a failure too: agents learn from those."""
        result = await self.mcp.client.call_tool(tool, arguments)
        text = text_of(result)
        self.calls += 1
        self.tokens += tokens_of_bytes(len(text.encode()))
        answered: dict[str, Any] = json.loads(text)
        return answered

    async def proposed(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Make the call that an answer's ``next`` names in words."""
        said = answer["next"]
        at = said.index("{")
        tool = said[:at].split()[-1]
        arguments, _ = json.JSONDecoder().raw_decode(said[at:])
        return await self.call(tool, **arguments)


def workflow(name: str, *edges: tuple[str, str], **nodes: dict[str, Any]) -> dict[str, Any]:
    """A definition; without edges its nodes stand in line behind a manual trigger."""
    has_trigger = any(node["type"] in ("manual", "webhook") for node in nodes.values())
    every = nodes if has_trigger else {"start": {"type": "manual"}, **nodes}
    pairs = edges or pairwise(every)
    return {"name": name, "nodes": every, "connections": [list(pair) for pair in pairs]}


def post(world: World, path: str, body: Any, **more: Any) -> dict[str, Any]:
    """A node that sends JSON to the world."""
    return {
        "type": "http_request",
        "parameters": {"method": "POST", "url": f"{world.url}{path}", "json_body": body},
        **more,
    }


def get(world: World, path: str) -> dict[str, Any]:
    """A node that asks the world."""
    return {"type": "http_request", "parameters": {"url": f"{world.url}{path}"}}


def fields(keep_input: bool = True, **values: Any) -> dict[str, Any]:
    """A node that sets fields."""
    return {"type": "set", "parameters": {"fields": values, "keep_input": keep_input}}
