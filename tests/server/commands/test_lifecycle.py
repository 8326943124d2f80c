"""Starting, stopping and dying: what was accepted is not lost, and nothing is left behind."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.assembly.grace import Grace
from server.commands import workers
from tests.support.http_target import HttpTarget
from tests.support.server_process import JOBSPRINT, ServerProcess, environment
from tests.support.waiting import until


async def start_waiting(client: httpx2.AsyncClient, target: HttpTarget) -> str:
    """The id of an execution that waits for an answer from the target."""
    definition: dict[str, Any] = {
        "name": "waits",
        "nodes": {
            "start": {"type": "manual"},
            "ask": {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}},
        },
        "connections": [["start", "ask"]],
    }
    workflow_id = (await client.post("/api/workflows", json=definition)).json()["workflow_id"]
    started = await client.post(f"/api/workflows/{workflow_id}/execute")
    async with asyncio.timeout(10):
        await target.arrived.wait()
    return str(started.json()["execution_id"])


async def look(client: httpx2.AsyncClient, execution_id: str) -> dict[str, Any]:
    """The execution as it is."""
    content: dict[str, Any] = (await client.get(f"/api/executions/{execution_id}")).json()
    return content


async def until_ended(client: httpx2.AsyncClient, execution_id: str) -> dict[str, Any]:
    """The execution when it is queued and running no more."""
    async with asyncio.timeout(20):
        while (seen := await look(client, execution_id))["status"] in ("queued", "running"):
            await asyncio.to_thread(lambda: None)
    return seen


async def test_sigterm_lets_executions_end_within_the_grace_time(data_dir: Path, target: HttpTarget) -> None:
    with ServerProcess(data_dir) as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            execution_id = await start_waiting(client, target)
        stopping = asyncio.get_running_loop().run_in_executor(None, server.stop)
        await asyncio.to_thread(wait_until_refused, server.url)
        target.release.set()
        assert await stopping == 0
        server.start()
        async with httpx2.AsyncClient(base_url=server.url) as client:
            assert (await look(client, execution_id))["status"] == "succeeded"


def wait_until_refused(url: str) -> None:
    """Return when the server takes no more connections; the test's time limit bounds it."""
    while True:
        try:
            httpx2.get(f"{url}/healthz", timeout=2)
        except httpx2.HTTPError:
            return


async def test_executions_that_do_not_end_in_time_are_queued_again(data_dir: Path, target: HttpTarget) -> None:
    with ServerProcess(data_dir, {"JOBSPRINT_SHUTDOWN_GRACE_SECONDS": "0"}) as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            execution_id = await start_waiting(client, target)
        assert await asyncio.to_thread(server.stop) == 0
        target.release.set()
        server.start()
        async with httpx2.AsyncClient(base_url=server.url) as client:
            assert (await until_ended(client, execution_id))["status"] == "succeeded"


async def test_a_killed_server_goes_on_at_its_next_start_with_the_same_key(data_dir: Path, target: HttpTarget) -> None:
    server = ServerProcess(data_dir)
    server.start()
    async with httpx2.AsyncClient(base_url=server.url) as client:
        execution_id = await start_waiting(client, target)
    server.kill()
    target.release.set()
    with server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            ended = await until_ended(client, execution_id)
    assert (ended["status"], [node["node"] for node in ended["nodes"]]) == ("succeeded", ["start", "ask"])
    assert target.keys == [f"{execution_id}:ask:0:0"] * 2


async def test_a_full_server_says_when_to_try_again_and_stores_nothing(data_dir: Path, target: HttpTarget) -> None:
    with ServerProcess(data_dir, {"JOBSPRINT_QUEUE_CAPACITY": "1"}) as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            execution_id = await start_waiting(client, target)
            workflow_id = (await look(client, execution_id))["workflow_id"]
            refused = await client.post(f"/api/workflows/{workflow_id}/execute")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert refused.json()["code"] == "queue_full"
            assert len((await client.get("/api/executions")).json()["executions"]) == 1
            target.release.set()


async def test_a_second_process_on_the_same_data_is_refused(server: ServerProcess) -> None:
    second = await asyncio.create_subprocess_exec(
        JOBSPRINT, "serve", "--port", "0", env=environment(server.data_dir), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await second.communicate()
    assert second.returncode == 1
    assert b"JOBSPRINT_DATA_DIR" in errors


def test_workers_end_with_a_server_that_is_killed(data_dir: Path) -> None:
    server = ServerProcess(data_dir)
    server.start()
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) == 2
    server.kill()
    while any(is_running(child) for child in children):  # the test's time limit bounds it
        pass


def is_running(process_id: str) -> bool:
    """Whether the process is there and has not ended; one that waits to be reaped has no command line."""
    try:
        return bool(Path(f"/proc/{process_id}/cmdline").read_bytes())
    except OSError:
        return False


async def test_grace_is_one_time_for_all_and_begins_once() -> None:
    grace = Grace(30)
    waiting = asyncio.create_task(grace.begun())
    await asyncio.sleep(0)
    assert not waiting.done()
    grace.begin()
    await waiting
    first = grace.left()
    grace.begin()
    assert grace.left() <= first <= 30
    assert Grace(0).left() == 0


@pytest.mark.parametrize("is_ending", [True, False])
async def test_worker_processes_end_when_the_grace_begins(
    is_ending: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those that end in time do so by themselves; the others are killed when it is over, and are not started again."""
    ready = tmp_path / "ready"
    ignores = "" if is_ending else "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    code = f"import pathlib, signal, time; {ignores} pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    started: list[asyncio.subprocess.Process] = []
    execute = asyncio.create_subprocess_exec

    async def start(*_: str, **options: Any) -> asyncio.subprocess.Process:
        started.append(await execute(sys.executable, "-c", code, **options))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    monkeypatch.setattr(workers, "BEYOND_GRACE_SECONDS", 0.2)
    grace = Grace(0.3)
    async with asyncio.timeout(20), workers.worker_processes(1, grace=grace):
        await until(ready.exists)
        grace.begin()
        await started[0].wait()
    assert [each.returncode for each in started] == [-signal.SIGTERM if is_ending else -signal.SIGKILL]


async def test_a_worker_process_that_ends_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[asyncio.subprocess.Process] = []
    execute = asyncio.create_subprocess_exec

    async def start(*_: str, **options: Any) -> asyncio.subprocess.Process:
        started.append(await execute(sys.executable, "-c", "pass", **options))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    async with asyncio.timeout(20), workers.worker_processes(1, grace=Grace(0)):
        await until(lambda: len(started) >= 2)
    count = len(started)
    await asyncio.sleep(0)
    assert len(started) == count


async def test_http_and_the_worker_have_one_grace_time(data_dir: Path, target: HttpTarget) -> None:
    """A request waits for an execution that does not end: both are given up when the one time is over."""
    with ServerProcess(data_dir, {"JOBSPRINT_SHUTDOWN_GRACE_SECONDS": "3"}) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
            execution_id = await start_waiting(client, target)
            workflow_id = (await look(client, execution_id))["workflow_id"]
            body = {"wait_seconds": 25}
            held = asyncio.create_task(client.post(f"/api/workflows/{workflow_id}/execute", json=body))
            await until(lambda: len(target.keys) == 2)
            began = asyncio.get_running_loop().time()
            assert await asyncio.to_thread(server.stop) == 0
            assert asyncio.get_running_loop().time() - began < 5, "it was twice that"
            await asyncio.gather(held, return_exceptions=True)
