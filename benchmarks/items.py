"""Items through set → if → set with JavaScript that is not on the fast path: is the cost linear in their number?

``python -m benchmarks.items``
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from examples.local_server import JOBSPRINT, environment

COUNTS = (250, 500, 1_000, 2_000, 4_000, 8_000)
ROUNDS = 5
DEFINITION = {
    "name": "items",
    "nodes": {
        "start": {"type": "manual"},
        "first": {"type": "set", "parameters": {"fields": {"twice": "={{ [$json.n].map(n => n * 2)[0] }}"}}},
        "check": {"type": "if", "parameters": {"condition": "={{ $json.tags.some(tag => tag === 'even') }}"}},
        "last": {"type": "set", "parameters": {"fields": {"text": "=#{{ $json.twice.toString(16).toUpperCase() }}"}}},
    },
    "connections": [["start", "first"], ["first", "check"], ["check.true", "last"]],
}


async def measure() -> dict[int, float]:
    """The median duration of an execution in milliseconds, by number of items."""
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as data_dir:
        server = StdioServerParameters(command=JOBSPRINT, args=["stdio"], env=environment(data_dir, {}))
        async with Client(server) as client:
            made = await client.call_tool("create_workflow", {"definition": DEFINITION})
            workflow_id = (made.structured_content or {})["workflow_id"]
            found: dict[int, list[float]] = {count: [] for count in COUNTS}
            for _ in range(ROUNDS):
                for count in COUNTS:
                    items = [{"n": n, "tags": ["even" if n % 2 == 0 else "odd"]} for n in range(count)]
                    ran = await client.call_tool("execute_workflow", {"workflow_id": workflow_id, "input": items})
                    content = ran.structured_content or {}
                    if content.get("status") != "succeeded":
                        raise SystemExit(f"{count} items: {ran.content}")
                    found[count].append(content["duration_ms"])
    return {count: statistics.median(times) for count, times in found.items()}


def main() -> None:
    """Print a line per number of items."""
    started = time.perf_counter()
    times = asyncio.run(measure())
    print("items   ms (median)   µs per item   ms per item against the line before")
    before: float | None = None
    for count, milliseconds in times.items():
        each = milliseconds / count
        ratio = f"{each / before:.2f}" if before else "–"
        print(f"{count:5}   {milliseconds:11.1f}   {each * 1000:11.1f}   {ratio}")
        before = each
    print(f"{time.perf_counter() - started:.1f} s in all")


if __name__ == "__main__":
    main()
