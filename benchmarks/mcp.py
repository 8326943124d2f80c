"""What a call of inspect_execution costs beside a bare route with the same answer, and beside other people's echoes.

``python -m benchmarks.mcp`` (Linux: it reads /proc). It has targets: less than 2.5 times the bare route, and less
than either echo. Other people's servers are left out, and said to be, where they cannot be installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from benchmarks.mcp_calls import ID, Cost, Request, legacy_call, measure, modern_call
from benchmarks.shapes import chain, fields
from tests.support.foreign import CannotInstallError, fastmcp_command, node_command
from tests.support.server_process import ServerProcess

SECONDS = 4
SERVERS = Path(__file__).with_name("mcp_servers")
OURS, BARE = "Jobsprint, inspect_execution", "bare route, the same answer"
PEERS = {
    "fastmcp, echo": (fastmcp_command, SERVERS / "fastmcp_echo.py"),
    "TypeScript SDK, echo": (node_command, SERVERS / "typescript_echo.mjs"),
}
ECHOED = {"text": "hello"}

Measured = dict[tuple[str, str], Cost]


def finished_execution(server: ServerProcess) -> str:
    """The id of an execution of five nodes."""
    steps = {f"step {place}": fields(**{f"n{place}": f"={{{{ $json.n + {place} }}}}"}) for place in range(1, 5)}
    definition = chain("bench mcp", {"start": {"type": "manual"}, **steps})
    with httpx2.Client(base_url=server.url) as http:
        made = http.post("/api/workflows", json=definition).raise_for_status().json()
        asked = {"input": {"n": 42, "name": "bob"}, "wait_seconds": 20}
        ran = http.post(f"/api/workflows/{made['workflow_id']}/execute", json=asked).raise_for_status().json()
    if ran["status"] != "succeeded":
        raise SystemExit(f"the execution did not succeed: {ran}")
    return str(ran["execution_id"])


@contextmanager
def serving(command: Sequence[str]) -> Iterator[tuple[int, str]]:
    """A server that prints its port: its process id and its address."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout is not None else ""
            if not port:
                raise SystemExit(f"{command} did not start")
            yield process.pid, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def measure_own() -> Measured:
    """Our server in both eras, and the bare route over the same database."""
    found: Measured = {}
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
        with ServerProcess(Path(folder), {"JOBSPRINT_LOG_LEVEL": "warning"}) as server:
            execution_id = finished_execution(server)
            answers = []
            for era, call in (("modern", modern_call), ("legacy", legacy_call)):
                request = call(f"{server.url}/mcp", "inspect_execution", {"execution_id": execution_id})
                answers.append(request.send()["result"]["structuredContent"])
                found[OURS, era] = measure(request, process_id=server.process.pid, seconds=SECONDS)
        with serving([sys.executable, "-m", "benchmarks.mcp_servers.bare_route", folder]) as (process_id, url):
            request = Request(f"{url}/", f'{{"id": {ID}, "execution_id": "{execution_id}"}}')
            answers.append(request.send())
            found[BARE, "–"] = measure(request, process_id=process_id, seconds=SECONDS)
    if any(answer != answers[0] for answer in answers):
        raise SystemExit(f"the answers differ: {answers}")
    return found


def measure_peers() -> Measured:
    """Other people's servers in both eras."""
    found: Measured = {}
    for name, (command, program) in PEERS.items():
        try:
            line = command(program)
        except CannotInstallError as error:
            print(f"{name} was left out: {error}")
            continue
        with serving(line) as (process_id, url):
            for era, call in (("modern", modern_call), ("legacy", legacy_call)):
                request = call(f"{url}/mcp", "echo", ECHOED)
                if "hello" not in str(request.send()["result"]):
                    raise SystemExit(f"{name} does not echo")
                found[name, era] = measure(request, process_id=process_id, seconds=SECONDS)
    return found


def main() -> None:
    """Print a line per server and era."""
    found = measure_own() | measure_peers()
    bare, modern = found[BARE, "–"], found[OURS, "modern"]
    print(f"{'':30} era       requests/s   ms CPU each   × bare route   × ours, modern")
    for (name, era), cost in found.items():
        ratios = f"{cost.cpu_ms / bare.cpu_ms:12.2f}   {cost.cpu_ms / modern.cpu_ms:14.2f}"
        print(f"{name:30} {era:8} {cost.rate:11.0f}   {cost.cpu_ms:11.3f}   {ratios}")


if __name__ == "__main__":
    main()
