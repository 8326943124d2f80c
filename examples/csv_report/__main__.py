"""Connects over stdio, as desktop assistants do, and turns sales.csv into a report."""

from __future__ import annotations

import asyncio
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from rich.console import Console
from rich.table import Table

from examples.local_server import JOBSPRINT, environment

HERE = Path(__file__).parent


async def report(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The report's rows, made by a workflow."""
    definition = json.loads((HERE / "workflow.json").read_text())
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as data_dir:
        server = StdioServerParameters(command=JOBSPRINT, args=["stdio"], env=environment(data_dir, {}))
        async with Client(server) as client:
            made = await client.call_tool("create_workflow", {"definition": definition})
            workflow_id = (made.structured_content or {})["workflow_id"]
            ran = await client.call_tool("execute_workflow", {"workflow_id": workflow_id, "input": rows})
    content = ran.structured_content or {}
    if content.get("status") != "succeeded":
        raise SystemExit(f"the report failed: {ran.content}")
    found: list[dict[str, Any]] = content["output"]["items"]["report"]
    return found


def main() -> None:
    """Print the report."""
    with (HERE / "sales.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = Table(title=f"{len(rows)} rows of sales, by revenue", title_justify="left")
    columns = ("country", "product", "orders", "units", "revenue", "share")
    for column in columns:
        table.add_column(column, justify="left" if column in ("country", "product") else "right")
    for row in asyncio.run(report(rows)):
        table.add_row(*(f"{row[column]}{' %' if column == 'share' else ''}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
