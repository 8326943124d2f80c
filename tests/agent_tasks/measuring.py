"""Every task done once at one server, and what it took."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx2

from tests.agent_tasks.agent import Agent
from tests.agent_tasks.tasks import TASKS
from tests.agent_tasks.world import running_world
from tests.server.conftest import connected
from tests.support.server_process import ServerProcess


class Taken(NamedTuple):
    """What a task took: calls, and tokens of what they answered."""

    words: str
    calls: int
    tokens: int


async def measured(data_dir: Path) -> list[Taken]:
    """What each task took; a path that does not come to its end raises."""
    rows = []
    with ServerProcess(data_dir) as server:
        async with (
            connected("http", "modern", server, data_dir) as mcp,
            httpx2.AsyncClient(base_url=server.url) as http,
        ):
            for task in TASKS:
                async with running_world() as world:
                    agent = Agent(mcp, http)
                    await task.path(agent, world)
                rows.append(Taken(task.words, agent.calls, agent.tokens))
    return rows


def medians(rows: list[Taken]) -> tuple[float, float]:
    """Of calls and of tokens."""
    return median(row.calls for row in rows), median(row.tokens for row in rows)
