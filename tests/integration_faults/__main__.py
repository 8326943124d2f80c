"""Print the matrix; the exit code says whether every cell is what the contract names."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from tests.doubles.zapier import running_zapier
from tests.integration_faults import programs
from tests.integration_faults.cases import FAULTS, SETUPS, is_right, run
from tests.integration_faults.programs import DEATHS
from tests.support.here import here


async def main() -> int:
    """The number of wrong cells."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        async with here(Path(folder)) as server, running_zapier() as double, running_zapier() as other:
            print("".join(f"{head:<34}" for head in ("fault at Zapier", *SETUPS)).rstrip())
            for fault in FAULTS:
                row = [fault.name]
                for setup in SETUPS:
                    cell = await run(fault, setup, server, double, other)
                    is_wrong = not is_right(fault, setup, cell)
                    wrong += is_wrong
                    row.append(f"WRONG: {cell}, not {fault.expected[setup]}" if is_wrong else cell.outcome)
                print("".join(f"{each:<34}" for each in row).rstrip())
    wrong += await deaths()
    cells = (len(FAULTS) + len(DEATHS)) * len(SETUPS)
    print(f"\n{cells} cells, {wrong} not as the contract names it; nothing done twice without a mark")
    return wrong


async def deaths() -> int:
    """The number of wrong cells where a program dies."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        async with here(Path(folder) / "data", mcp_programs=programs.programs(Path(folder))) as server:
            print("".join(f"{head:<36}" for head in ("\nan MCP program", *SETUPS)).rstrip())
            for death in DEATHS:
                row = [death.name]
                for setup in SETUPS:
                    cell = await programs.run(death, setup, server, Path(folder))
                    is_wrong = not programs.is_right(death, setup, cell)
                    wrong += is_wrong
                    row.append(f"WRONG: {cell}, not {death.expected[setup]}" if is_wrong else cell.outcome)
                print("".join(f"{each:<36}" for each in row).rstrip())
    return wrong


if __name__ == "__main__":
    # What breaks on purpose would fill the screen with the server's complaints.
    logging.disable(logging.CRITICAL)
    sys.exit(1 if asyncio.run(main()) else 0)
