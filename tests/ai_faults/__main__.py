"""Print the matrix; the exit code says whether every cell is what the contract names."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from storage.database.database import Database
from storage.migrations.runner import migrate
from tests.ai_faults.cases import FAULTS, SETUPS, expected_outcome, is_right, run
from tests.doubles.models import serving


async def main() -> int:
    """The number of wrong cells."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        async with Database(f"sqlite:///{Path(folder) / 'faults.db'}") as database, serving() as double:
            await migrate(database)
            print("".join(f"{head:<40}" for head in ("fault of the primary model", *SETUPS)).rstrip())
            for fault in FAULTS:
                row = [fault.name]
                for setup in SETUPS:
                    cell = await run(fault, setup, double, database)
                    if is_right(fault, setup, cell):
                        row.append(cell.outcome)
                        continue
                    wrong += 1
                    row.append(f"WRONG: {cell}, not {expected_outcome(fault, setup)}; asked {fault.asked} times")
                print("".join(f"{each:<40}" for each in row).rstrip())
    print(f"\n{len(FAULTS) * len(SETUPS)} cells, {wrong} not as the contract names it")
    return wrong


if __name__ == "__main__":
    # What breaks on purpose would fill the screen with the server's complaints.
    logging.disable(logging.CRITICAL)
    sys.exit(1 if asyncio.run(main()) else 0)
