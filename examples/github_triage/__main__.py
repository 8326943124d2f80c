"""Starts a server and a tracker, then does what an assistant does over MCP: build, mend, run, look inside."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import httpx2
from mcp.client.client import Client
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.github_triage.tracker import Tracker, serving
from examples.local_server import local_server

HERE = Path(__file__).parent
SECRET = "demo secret"  # noqa: S105 - the demo signs and verifies with it
PAYLOADS = ["issues.opened", "issue_comment.created", "pull_request.opened", "issues.transferred", "push"]

console = Console()


class Assistant:
    """Calls tools over MCP."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, tool: str, *, progress: Any = None, **arguments: Any) -> dict[str, Any]:
        """The tool's structured answer; a failure ends the demo with the server's own words."""
        result = await self._client.call_tool(tool, arguments, progress_callback=progress)
        if result.is_error or result.structured_content is None:
            raise SystemExit(f"{tool} failed: {result.content}")
        return result.structured_content


async def build(assistant: Assistant, tracker: Tracker) -> dict[str, Any]:
    """Check the definition with a slip in it, take the patch that the check offers, and publish it."""
    definition = json.loads((HERE / "workflow.json").read_text())
    definition["nodes"]["tracker"]["parameters"]["url"] = f"{tracker.url}/cards"
    slipped = json.loads(json.dumps(definition))
    slipped["nodes"]["news"]["type"] = "fliter"
    report = await assistant.call("validate_workflow", definition=slipped)
    for finding in report["findings"]:
        console.print(f"  [yellow]{finding['code']}[/] at [cyan]{finding['pointer']}[/]: {finding['message']}")
        console.print(f"  patch offered: [green]{json.dumps(finding['patch'])}[/]")
    return await assistant.call("create_workflow", definition=definition, publish=True)


async def deliver(base_url: str, payload: str) -> str:
    """Send a payload as GitHub does, signed; the id of the execution that it started."""
    body = (HERE / "payloads" / f"{payload}.json").read_bytes()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/json",
        "x-github-event": payload.partition(".")[0],
        "x-hub-signature-256": f"sha256={signature}",
    }
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{base_url}/webhooks/github-triage", content=body, headers=headers)
    answer.raise_for_status()
    return str(answer.json()["execution_id"])


async def forge(base_url: str) -> httpx2.Response:
    """Send a payload that is not signed."""
    async with httpx2.AsyncClient() as client:
        return await client.post(f"{base_url}/webhooks/github-triage", json={"action": "opened"})


async def watch(assistant: Assistant, execution_id: str, label: str) -> dict[str, Any]:
    """Follow one execution to its end, with its progress drawn as it comes."""
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), TimeElapsedColumn(), console=console
    )
    task = bar.add_task(label, total=None)

    async def show(done: float, total: float | None, message: str | None) -> None:
        bar.update(task, completed=done, total=total, description=f"{label}: {message}")

    with Live(bar, console=console, transient=True):
        await assistant.call("inspect_execution", progress=show, execution_id=execution_id, wait_seconds=30)
    return await assistant.call("inspect_execution", execution_id=execution_id)


def run_table(label: str, seen: dict[str, Any]) -> Table:
    """An execution, node by node."""
    table = Table(title=f"{label}: {seen['status']} in {seen['duration_ms']:.0f} ms", title_justify="left")
    for heading, justify in (("node", "left"), ("status", "left"), ("in", "right"), ("out", "left"), ("ms", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for node in seen["nodes"]:
        out = ", ".join(f"{output} {count}" for output, count in node["items_out"].items())
        table.add_row(node["node"], node["status"], str(node["items_in"]), out, f"{node['duration_ms']:.2f}")
    return table


async def demo() -> None:
    """The whole of it."""
    secrets = json.dumps({"github": SECRET})
    tracker = Tracker()
    async with (
        local_server({"JOBSPRINT_WEBHOOK_SECRETS": secrets}) as base_url,
        serving(tracker),
        Client(f"{base_url}/mcp") as client,
    ):
        assistant = Assistant(client)
        tools = (await client.list_tools()).tools
        console.print(Panel(f"Jobsprint at {base_url}, an assistant connected over MCP: {len(tools)} tools"))

        console.rule("1. Build: a slip is found, with the patch that mends it", align="left")
        workflow = await build(assistant, tracker)
        console.print(f"  published as [bold]{workflow['name']}[/], version {workflow['version']}")

        console.rule("2. Run: webhooks as GitHub published them, signed", align="left")
        runs = {}
        for payload in PAYLOADS:
            execution_id = await deliver(base_url, payload)
            runs[payload] = await watch(assistant, execution_id, payload)
            console.print(run_table(payload, runs[payload]))
        refused = await forge(base_url)
        console.print(f"  without a signature: {refused.status_code}, {refused.json()['title']}")

        console.rule("3. Look inside: what the tracker was sent and answered", align="left")
        first = runs[PAYLOADS[0]]["execution_id"]
        inside = await assistant.call("inspect_execution", execution_id=first, node="tracker")
        console.print_json(data=inside["runs"][0]["outputs"]["main"][0]["body"])

    board = Table(title="The tracker's board", title_justify="left")
    for heading in ("card", "lane", "priority", "title", "labels", "opened"):
        board.add_column(heading)
    for card in tracker.cards.values():
        labels = ", ".join(card["labels"])
        board.add_row(card["id"], card["lane"], str(card["priority"]), card["title"], labels, card["opened"])
    console.print(board)
    lanes = [card["lane"] for card in tracker.cards.values()]
    if lanes != ["bugs", "bugs", "doing", "to answer"] or refused.status_code != 403:
        raise SystemExit(f"the demo did not end as it should: {lanes}, {refused.status_code}")


if __name__ == "__main__":
    asyncio.run(demo())
