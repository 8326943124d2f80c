"""What a call of inspect_execution costs beside a bare route with the same answer, and beside other people's echoes.

``python -m benchmarks.mcp`` (Linux: it reads /proc). The aim: less than 2.5 times the bare route, and less than either
echo. All servers run at once and are measured in turns, several times each: the least of a case's figures is the one
that the rest of the machine disturbed least. Other people's servers are left out, and said to be, where they cannot be
installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2

from benchmarks.mcp_calls import ID, Cost, Request, legacy_call, measure, modern_call
from benchmarks.shapes import chain, fields
from tests.support.foreign import CannotInstallError, fastmcp_command, node_command
from tests.support.server_process import ServerProcess

ROUNDS = 3
SECONDS = 2
SERVERS = Path(__file__).with_name("mcp_servers")
ERAS = {"modern": modern_call, "legacy": legacy_call}
PEERS = {
    "fastmcp, echo": (fastmcp_command, SERVERS / "fastmcp_echo.py"),
    "TypeScript SDK, echo": (node_command, SERVERS / "typescript_echo.mjs"),
}


class Case(NamedTuple):
    """A request over and over to the server with this process id."""

    name: str
    era: str
    process_id: int
    request: Request


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


def own_cases(stack: ExitStack) -> Iterator[Case]:
    """The bare route, and our server in both eras; they must give the same answer."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobsprint-")))
    server = stack.enter_context(ServerProcess(folder, {"JOBSPRINT_LOG_LEVEL": "warning"}))
    execution_id = finished_execution(server)
    process_id, url = stack.enter_context(
        serving([sys.executable, "-m", "benchmarks.mcp_servers.bare_route", str(folder)])
    )
    bare = Request(f"{url}/", f'{{"id": {ID}, "execution_id": "{execution_id}"}}')
    yield Case("bare route, same answer", "", process_id, bare)
    expected = bare.send()
    for era, call in ERAS.items():
        request = call(f"{server.url}/mcp", "inspect_execution", {"execution_id": execution_id})
        answer = request.send()["result"]["structuredContent"]
        if answer != expected:
            raise SystemExit(f"the answers differ:\n{answer}\n{expected}")
        yield Case("Jobsprint, inspect_execution", era, server.process.pid, request)


def peer_cases(stack: ExitStack) -> Iterator[Case]:
    """Other people's servers in both eras."""
    for name, (command, program) in PEERS.items():
        try:
            line = command(program)
        except CannotInstallError as error:
            print(f"{name} was left out: {error}")
            continue
        process_id, url = stack.enter_context(serving(line))
        for era, call in ERAS.items():
            request = call(f"{url}/mcp", "echo", {"text": "hello"})
            if "hello" not in str(request.send()["result"]):
                raise SystemExit(f"{name} does not echo")
            yield Case(name, era, process_id, request)


def main() -> None:
    """Print a line per server and era."""
    with ExitStack() as stack:
        cases = [*own_cases(stack), *peer_cases(stack)]
        costs: dict[Case, list[Cost]] = {case: [] for case in cases}
        for _ in range(ROUNDS):
            for case in cases:
                costs[case].append(measure(case.request, process_id=case.process_id, seconds=SECONDS))
    least = {case: min(measured, key=lambda cost: cost.cpu_ms) for case, measured in costs.items()}
    bare, modern = (least[case].cpu_ms for case in cases[:2])
    print(f"{'':28}  era     requests/s  ms CPU each  × bare route  × ours, modern")
    for case, cost in least.items():
        print(
            f"{case.name:28}  {case.era:6}  {cost.rate:10.0f}  {cost.cpu_ms:11.3f}"
            f"  {cost.cpu_ms / bare:12.2f}  {cost.cpu_ms / modern:14.2f}"
        )


if __name__ == "__main__":
    main()
