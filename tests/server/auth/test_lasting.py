"""Requests that last end when their caller's session, key, grant or membership does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from server.auth.sessions import lasting
from server.auth.sessions.lasting import AccessEndedError, while_allowed
from server.auth.sessions.sessions import KNOWN_FOR
from tests.support.server_process import ServerProcess
from tests.support.tenants import Tenant, member, registered

AT_MOST_SECONDS = 5.0
MCP = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that anybody may register on."""
    with ServerProcess(tmp_path_factory.mktemp("shared"), {"JOBSPRINT_REGISTRATION": "open"}) as server:
        yield server


class Sent:
    """What an application sends, kept."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)


async def _receive() -> Message:
    raise AssertionError("nothing is read")


async def _run(app: Callable[[Scope, Receive, Send], Awaitable[None]], *answers: bool) -> list[Message]:
    """What is sent while the caller may still send, as the answers say in turn; the last one stays so."""
    left = list(answers)

    async def still_allowed() -> bool:
        return left.pop(0) if len(left) > 1 else left[0]

    sent = Sent()
    await while_allowed(app, {"type": "http"}, _receive, sent, still_allowed)
    return sent.messages


START: Message = {"type": "http.response.start", "status": 200, "headers": []}


class TestWhileAllowed:
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lasting, "CHECK_SECONDS", 0.02)

    async def test_a_quick_answer_is_not_looked_at_again(self) -> None:
        async def quick(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send({"type": "http.response.body", "body": b"x"})

        assert [each["type"] for each in await _run(quick, False)] == ["http.response.start", "http.response.body"]

    async def test_a_stream_ends_in_order(self) -> None:
        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                await asyncio.sleep(0.01)

        messages = await _run(stream, True, True, False)
        assert messages[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
        assert len(messages) > 3

    async def test_a_task_that_went_on_after_a_cancellation_serves_as_before(self) -> None:
        async def wait(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.Event().wait()

        async def serve() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                with pytest.raises(AccessEndedError):
                    await _run(wait, False)

        task = asyncio.create_task(serve())
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def test_a_wait_is_refused(self) -> None:
        async def wait(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.Event().wait()

        with pytest.raises(AccessEndedError):
            await _run(wait, False)

    async def test_a_late_answer_is_checked_before_it_leaves(self) -> None:
        async def late(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0.05)
            await send(START)
            await send({"type": "http.response.body", "body": b"secret"})

        with pytest.raises(AccessEndedError):
            await _run(late, True, False)
        assert (await _run(late, True))[-1]["body"] == b"secret"

    async def test_a_cancellation_from_outside_goes_on(self) -> None:
        async def wait(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.Event().wait()

        task = asyncio.create_task(_run(wait, True))
        await asyncio.sleep(0.03)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_what_verifiers_cache_leaves_time_to_look() -> None:
    assert KNOWN_FOR.total_seconds() + lasting.CHECK_SECONDS < AT_MOST_SECONDS


@asynccontextmanager
async def listening(tenant: Tenant) -> AsyncIterator[asyncio.Task[None]]:
    """A modern client's stream of changes; the task ends with the stream."""
    version = "2026-07-28"
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "subscriptions/listen",
        "params": {
            "notifications": {"toolsListChanged": True},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    headers = {**MCP, "mcp-protocol-version": version, "mcp-method": "subscriptions/listen"}
    begun = asyncio.Event()

    async def listen() -> None:
        async with tenant.http() as http, http.stream("POST", "/mcp", json=message, headers=headers) as stream:
            assert stream.status_code == 200
            async for line in stream.aiter_lines():
                if "acknowledged" in line:
                    begun.set()

    task = asyncio.create_task(listen())
    await asyncio.wait_for(begun.wait(), 10)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def session_stream(tenant: Tenant) -> AsyncIterator[asyncio.Task[None]]:
    """The GET stream of a session of the older era."""
    begun = asyncio.Event()
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    async with tenant.http() as http:
        opened = await http.post("/mcp", json=hello, headers=MCP)
        headers = {
            "accept": "text/event-stream",
            "mcp-session-id": opened.headers["mcp-session-id"],
            "mcp-protocol-version": "2025-11-25",
        }
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await http.post("/mcp", json=ready, headers={**headers, **MCP})

    async def listen() -> None:
        async with tenant.http() as http, http.stream("GET", "/mcp", headers=headers) as stream:
            assert stream.status_code == 200
            begun.set()
            async for _ in stream.aiter_lines():
                continue

    task = asyncio.create_task(listen())
    await asyncio.wait_for(begun.wait(), 10)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ends(task: asyncio.Task[None]) -> None:
    """The stream ends in time, and in order."""
    began = time.monotonic()
    await asyncio.wait_for(task, AT_MOST_SECONDS + 1)
    assert time.monotonic() - began <= AT_MOST_SECONDS


@pytest.mark.parametrize("stream", [listening, session_stream])
class TestStreams:
    async def test_end_with_their_session(self, shared: ServerProcess, stream: Callable[..., object]) -> None:
        tenant = await registered(shared.url, f"session-{stream.__name__}")
        async with stream(tenant) as task:  # type: ignore[attr-defined]
            async with tenant.http() as http:
                assert (await http.post("/auth/logout")).status_code == 204
            await ends(task)

    async def test_end_with_their_key(self, shared: ServerProcess, stream: Callable[..., object]) -> None:
        tenant = await registered(shared.url, f"key-{stream.__name__}")
        async with tenant.http() as http:
            made = (await http.post("/api/keys", json={"name": "k", "scopes": ["workflows:read"]})).json()
            keyed = Tenant(tenant.url, tenant.email, made["key"], tenant.workspace_id)
            async with stream(keyed) as task:  # type: ignore[attr-defined]
                assert (await http.delete(f"/api/keys/{made['id']}")).status_code == 204
                await ends(task)

    async def test_end_with_the_membership_and_not_before(
        self, shared: ServerProcess, stream: Callable[..., object]
    ) -> None:
        owner = await registered(shared.url, f"owner-{stream.__name__}")
        editor = await member(owner, f"editor-{stream.__name__}", "editor")
        async with stream(editor) as task, owner.http() as http:  # type: ignore[attr-defined]
            await asyncio.sleep(2 * lasting.CHECK_SECONDS + 0.5)
            assert not task.done()
            path = f"/api/workspaces/{owner.workspace_id}/members"
            (mine,) = [each for each in (await http.get(path)).json()["members"] if each["role"] == "editor"]
            assert (await http.delete(f"{path}/{mine['user_id']}")).status_code == 204
            await ends(task)


async def test_a_long_wait_ends_without_an_answer(shared: ServerProcess) -> None:
    tenant = await registered(shared.url, "waits")
    # It tries again and again, without suspending, to reach a port on which nobody listens.
    ask = {
        "type": "http_request",
        "parameters": {"url": "http://name.invalid/"},
        "retry": {"max_attempts": 10, "first_delay_seconds": 8},
    }
    nodes = {"start": {"type": "manual"}, "ask": ask}
    async with tenant.http() as http:
        definition = {"name": "w", "nodes": nodes, "connections": [["start", "ask"]]}
        made = await http.post("/api/workflows", json=definition)
        assert made.status_code == 201, made.text
        path = f"/api/workflows/{made.json()['workflow_id']}/execute"
        waiting = asyncio.create_task(http.post(path, json={"wait_seconds": 30}))
        await asyncio.sleep(0.5)
        async with tenant.http() as other:
            assert (await other.post("/auth/logout")).status_code == 204
        answer: httpx2.Response = await asyncio.wait_for(waiting, 10)
    assert answer.status_code == 401
    assert "output" not in answer.text
