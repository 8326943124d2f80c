"""An assistant that examples play: it calls tools, and answers in place of a model where it is asked to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mcp.client.client import Client

Think = Callable[[dict[str, Any]], Any]
"""From a question, as ``inspect_execution`` shows it, the answer."""


class Assistant:
    """Calls tools over MCP; ``think`` stands for its mind."""

    def __init__(self, client: Client, *, think: Think) -> None:
        self._client = client
        self._think = think

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The tool's structured answer; a failure ends the example with the server's own words."""
        result = await self._client.call_tool(tool, arguments)
        if result.is_error or result.structured_content is None:
            raise SystemExit(f"{tool} failed: {result.content}")
        return result.structured_content

    async def run(self, definition: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
        """Build a workflow, run it, and answer what it asks until it has ended; the end."""
        made = await self.call("create_workflow", definition=definition)
        ran = await self.call("execute_workflow", workflow_id=made["workflow_id"], input=items)
        execution_id = ran["execution_id"]
        while True:
            seen = await self.call("inspect_execution", execution_id=execution_id, wait_seconds=20, max_tokens=50_000)
            if seen["status"] != "waiting":
                return seen
            for each in seen["waiting"]:
                print(f"  {each['node']}[{each['item_index']}] asks: {asked_in(each)[:70]}")
                await self.call(
                    "control_execution",
                    execution_id=execution_id,
                    action="resume",
                    node=each["node"],
                    item=each["item_index"],
                    data=self._answer(each),
                )
                break  # what waits may be another thing now

    def _answer(self, waiting: dict[str, Any]) -> Any:
        answer = self._think(waiting)
        print(f"  the assistant answers: {json.dumps(answer, ensure_ascii=False)[:70]}")
        return answer


def asked_in(waiting: dict[str, Any]) -> str:
    """What is asked, in one line."""
    text = waiting["question"] if "question" in waiting else waiting["messages"][-1]["content"]
    return " ".join(str(text).split())
