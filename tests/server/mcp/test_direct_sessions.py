"""Calls in sessions of the era with handshakes, too, are answered in front of the SDK as the SDK does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from server.mcp import direct_sessions
from server.mcp.direct_sessions import SHOWN_SECONDS, DirectSessionCalls
from tests.support.both_ways import EXECUTION, Answer, BothWays, both_ways, posted

VERSION = "2025-11-25"
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def call(tool: str = "inspect_execution", **members: Any) -> dict[str, Any]:
    """A call, plain but for the ``members``, and those of ``params``."""
    params = {"name": tool, "arguments": {"execution_id": EXECUTION}, **members.pop("params", {})}
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params, **members}


@dataclass(slots=True)
class Sessions:
    """What answers in sessions, in front of the whole application; ``at`` is its time in seconds."""

    ways: BothWays
    passed_on: int = 0
    at: float = 0.0
    front: DirectSessionCalls = field(init=False)

    def __post_init__(self) -> None:
        self.front = DirectSessionCalls(self.sdk, offers=self.ways.services.offers, now=lambda: self.at)

    async def sdk(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The SDK's way: with a query, even one that nobody reads, a call is not plain."""
        self.passed_on += 1
        await self.ways.app({**scope, "query_string": b"way=sdk"}, receive, send)

    async def begun(self, version: str = VERSION, *, is_ready: bool = True) -> dict[str, str]:
        """The headers of a new session."""
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        client = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        opened, _ = await self.sent({**call(method="initialize"), "params": client}, headers)
        headers |= {"mcp-session-id": str(opened.session_id), "mcp-protocol-version": version}
        if is_ready:
            answer, _ = await self.sent(INITIALIZED, headers)
            assert answer.status == 202
        return headers

    async def sent(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Answer, bool]:
        """The answer, and whether it came without the SDK."""
        before = self.passed_on
        answer = await posted(self.front, self._filled(body), [*headers.items()])
        return answer, self.passed_on == before

    async def compared(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Answer, bool]:
        """The answer, of which status and message are the same both ways, and whether it came without the SDK."""
        expected = await posted(self.sdk, self._filled(body), [*headers.items()])
        answer, is_direct = await self.sent(body, headers)
        assert (answer.status, answer.session_id) == (expected.status, expected.session_id)
        assert answer.body == expected.body
        return answer, is_direct

    def _filled(self, body: Mapping[str, Any]) -> bytes:
        return json.dumps(body).replace(EXECUTION, self.ways.execution_id).encode()


@pytest.fixture(scope="module")
async def ways(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BothWays]:
    """A server's application."""
    async with both_ways(tmp_path_factory.mktemp("data")) as ways:
        yield ways


@pytest.fixture
def sessions(ways: BothWays) -> Sessions:
    """No session yet."""
    return Sessions(ways)


@pytest.mark.parametrize("version", ["2025-06-18", VERSION])
@pytest.mark.parametrize(
    "body",
    [
        call(),
        call(id="a"),
        call(params={"arguments": {"execution_id": EXECUTION, "node": "step", "max_tokens": 200}}),
        call(params={"arguments": {"execution_id": "absent"}}),
        call(params={"arguments": {"execution": 1}}),
        call(params={"arguments": None}),
        call(params={"_meta": {"com.example/x": 1}}),
        call("find_nodes", params={"arguments": {}}),
    ],
    ids=["plain", "id a string", "cut", "unknown", "wrong", "no arguments", "meta", "another tool"],
)
async def test_a_plain_call_is_answered_directly_as_the_sdk_does(
    sessions: Sessions, version: str, body: dict[str, Any]
) -> None:
    answer, is_direct = await sessions.compared(body, await sessions.begun(version))
    assert is_direct
    assert answer.body["id"] == body["id"]
    assert answer.body["result"]["content"]


@pytest.mark.parametrize(
    "body",
    [
        call(id=1.5),
        call(id=True),
        call(id=10**25),
        call(jsonrpc="1.0"),
        call(extra=1),
        call(params={"extra": 1}),
        call(params={"name": None}),
        call(params={"name": "execute_workflow", "arguments": {}}),
        call(params={"arguments": []}),
        call(params={"arguments": {"execution_id": EXECUTION, "wait_seconds": 0.001}}),
        call(params={"_meta": 3}),
        call(params={"_meta": {"progressToken": 1}}),
        call(method="tools/list"),
        {"jsonrpc": "2.0", "id": 7, "method": "ping"},
    ],
    ids=lambda body: json.dumps({name: body.get(name) for name in ("id", "method", "params")})[:60],
)
async def test_whatever_is_odd_is_left_to_the_sdk(sessions: Sessions, body: dict[str, Any]) -> None:
    _, is_direct = await sessions.compared(body, await sessions.begun())
    assert not is_direct


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp-session-id": "absent"},
        {"mcp-protocol-version": "2025-06-18"},
        {"mcp-protocol-version": "2025-03-26"},
        {"accept": "application/json"},
        {"content-type": "text/plain"},
    ],
    ids=str,
)
async def test_odd_headers_are_left_to_the_sdk(sessions: Sessions, headers: dict[str, str]) -> None:
    _, is_direct = await sessions.compared(call(), {**await sessions.begun(), **headers})
    assert not is_direct


async def test_versions_without_structured_content_are_left_to_the_sdk(sessions: Sessions) -> None:
    _, is_direct = await sessions.compared(call(), await sessions.begun("2025-03-26"))
    assert not is_direct


async def test_a_client_that_is_not_ready_is_left_to_the_sdk(sessions: Sessions) -> None:
    _, is_direct = await sessions.compared(call(), await sessions.begun(is_ready=False))
    assert not is_direct


async def test_a_session_that_was_ended_is_left_to_the_sdk(sessions: Sessions) -> None:
    headers = await sessions.begun()
    assert (await sessions.sent(call(), headers))[1]
    ended = await posted(sessions.front, b"", [*headers.items()], method="DELETE")
    assert ended.status == 200
    answer, is_direct = await sessions.compared(call(), headers)
    assert (answer.status, is_direct) == (404, False)


async def test_the_sdk_sees_a_session_that_is_in_use_now_and_then(sessions: Sessions) -> None:
    headers = await sessions.begun()
    directly = []
    for at in (0.0, SHOWN_SECONDS - 1, SHOWN_SECONDS, SHOWN_SECONDS + 1):
        sessions.at = at
        directly.append((await sessions.sent(call(), headers))[1])
    assert directly == [True, True, False, True]


async def test_a_session_that_the_sdk_has_lost_is_not_answered_for(sessions: Sessions) -> None:
    headers = await sessions.begun()
    assert (await posted(sessions.sdk, b"", [*headers.items()], method="DELETE")).status == 200
    sessions.at = SHOWN_SECONDS
    for _ in range(2):
        answer, is_direct = await sessions.sent(call(), headers)
        assert (answer.status, is_direct) == (404, False)


async def test_of_too_many_sessions_the_longest_unseen_is_forgotten(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_sessions, "SESSIONS_KEPT", 2)
    first, second, third = [await sessions.begun() for _ in range(3)]
    assert [(await sessions.sent(call(), each))[1] for each in (first, second, third)] == [False, True, True]
