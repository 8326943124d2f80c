"""A real n8n and Jobsprint side by side: the same shapes, the same load, one sitting, and the ratios.

``python -m benchmarks.peers PEER_SCRIPT [cases]``: ``PEER_SCRIPT`` starts, loads and stops an n8n that it has
installed before (verbs install, start, load, stop). Needs wrk.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import httpx2

from benchmarks.shapes import PEER_CASES
from tests.support.server_process import ServerProcess

SECONDS = "8"
ENGINES = {"default": [], "legacy": ["N8N_EXPRESSION_ENGINE=legacy"]}


class Figures(NamedTuple):
    """One line of the load: requests per second, latencies as wrk writes them, CPU milliseconds per request."""

    rate: float
    p50: str
    p99: str
    cpu_ms: float


Measured = dict[tuple[str, str], Figures]


def load(script: str, cases: str, *options: str) -> Measured:
    """The figures by case and connections."""
    command = [sys.executable, script, "load", "--cases", cases, "--conns", "1,20", "--seconds", SECONDS, *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(printed)
    found: Measured = {}
    for line in printed.splitlines()[1:]:
        case, connections, rate, p50, p99, _, cpu, _ = line.split()
        if rate != "-":
            found[case, connections] = Figures(float(rate), p50, p99, float(cpu))
    return found


def measure_own(script: str, cases: str) -> Measured:
    """Jobsprint's figures."""
    settings = {"JOBSPRINT_LOG_LEVEL": "warning"}
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder, ServerProcess(Path(folder), settings) as server:
        for case in PEER_CASES:
            httpx2.post(f"{server.url}/api/workflows", params={"publish": True}, json=case()).raise_for_status()
        base = f"{server.url}/webhooks/"
        return load(script, cases, "--base", base, "--pid", str(server.process.pid))


def measure_peer(script: str, cases: str, engine: str) -> Measured:
    """n8n's figures with one of its expression engines."""
    subprocess.run([sys.executable, script, "start", *ENGINES[engine]], check=True)
    try:
        return load(script, cases)
    finally:
        subprocess.run([sys.executable, script, "stop"], check=True)


def main() -> None:
    """Measure all three and print how many times faster and cheaper Jobsprint is."""
    script, cases = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "b,e"
    peers = {engine: measure_peer(script, cases, engine) for engine in ENGINES}
    own = measure_own(script, cases)
    print("case conns  engine    executions/s   CPU per execution   p50 → p99 of ours")
    for key, ours in own.items():
        for engine, figures in peers.items():
            theirs = figures.get(key)
            if theirs is not None:
                print(
                    f"{key[0]:4} {key[1]:5}  {engine:8}  {ours.rate / theirs.rate:7.0f} ×      "
                    f"{theirs.cpu_ms / ours.cpu_ms:7.0f} ×            {theirs.p50} → {ours.p99}"
                )


if __name__ == "__main__":
    main()
