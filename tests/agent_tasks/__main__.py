"""Print what each task takes: ``python -m tests.agent_tasks``."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.agent_tasks.measuring import measured, medians


def main() -> None:
    """The table, then the medians."""
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(measured(Path(folder)))
    for row in rows:
        print(f"{row.calls:3} calls {row.tokens:6} tokens  {row.words}")
    calls, tokens = medians(rows)
    print(f"median of {len(rows)}: {calls:g} calls, {tokens:g} tokens of results")


if __name__ == "__main__":
    main()
