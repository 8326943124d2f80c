"""How long a server takes until it answers that it is ready, and how much memory it holds then.

``python -m benchmarks.startup`` (Linux: it reads /proc)
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import httpx2

from tests.support.server_process import ServerProcess

ROUNDS = 5


def resident_kib(process_id: int | str) -> int:
    """Resident memory of a process in KiB."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def main() -> None:
    """Print medians over some starts, each with data of its own."""
    seconds, server_kib, worker_kib = [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
            started = time.perf_counter()
            with ServerProcess(Path(folder)) as server:
                httpx2.get(f"{server.url}/readyz").raise_for_status()
                seconds.append(time.perf_counter() - started)
                process = server.process.pid
                children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
                server_kib.append(resident_kib(process))
                worker_kib.append(resident_kib(children[0]))
    print(f"ready after      {statistics.median(seconds):.2f} s")
    print(f"server           {statistics.median(server_kib) / 1024:.0f} MiB resident")
    print(f"one JS worker    {statistics.median(worker_kib) / 1024:.0f} MiB resident")


if __name__ == "__main__":
    main()
