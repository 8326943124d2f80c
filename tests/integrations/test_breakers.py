"""Outgoing requests leave a target alone that keeps failing."""

from __future__ import annotations

import asyncio

import pytest

from integrations.breakers import BreakerHttpClient
from workflow.breaker import BreakerState
from workflow.errors import OutboundError
from workflow.ports import HttpRequest, HttpResponse

URL = "http://user:secret@one.example:8080/path?q=1"


class Target:
    """Answers with what ``status`` says; ``None`` cannot be reached."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.calls = 0
        self.holds: asyncio.Event | None = None
        self.was_asked = asyncio.Event()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer."""
        self.calls += 1
        self.was_asked.set()
        if self.holds is not None:
            await self.holds.wait()
        if self.status is None:
            raise OutboundError("It is down.", code="connection_failed", transient=True)
        return HttpResponse(status=self.status, headers={}, body=b"", url=request.url)


class Seconds:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        """The seconds so far."""
        return self.now


async def fail(client: BreakerHttpClient, times: int) -> None:
    """Let requests fail."""
    for _ in range(times):
        with pytest.raises(OutboundError):
            await client.send(HttpRequest(method="GET", url=URL))


async def test_after_five_failures_a_target_is_left_alone_for_a_minute() -> None:
    target, seconds = Target(), Seconds()
    client = BreakerHttpClient(target, monotonic=seconds)
    await fail(client, 5)
    with pytest.raises(OutboundError) as caught:
        await client.send(HttpRequest(method="GET", url=URL))
    assert (caught.value.outbound_code, caught.value.transient, caught.value.retry_after_seconds) == (
        "circuit_open",
        True,
        60,
    )
    assert "secret" not in caught.value.message
    assert target.calls == 5
    target.status = 200
    await client.send(HttpRequest(method="GET", url="http://two.example"))
    seconds.now = 61
    for _ in range(3):
        assert client.state(URL) is not BreakerState.CLOSED
        await client.send(HttpRequest(method="GET", url=URL))
    assert client.state(URL) is BreakerState.CLOSED


@pytest.mark.parametrize(("status", "opens"), [(503, True), (500, True), (429, False), (404, False), (200, False)])
async def test_only_answers_that_show_it_broken_count(status: int, opens: bool) -> None:
    target = Target()
    target.status = status
    client = BreakerHttpClient(target, monotonic=Seconds())
    for _ in range(5):
        await client.send(HttpRequest(method="GET", url=URL))
    assert (client.state(URL) is BreakerState.OPEN) is opens


async def test_what_fails_for_one_workspace_holds_up_no_other() -> None:
    target = Target()
    client = BreakerHttpClient(target, monotonic=Seconds())
    for _ in range(5):
        with pytest.raises(OutboundError):
            await client.send(HttpRequest(method="GET", url=URL, owner="one"))
    target.status = 200
    with pytest.raises(OutboundError, match="left alone"):
        await client.send(HttpRequest(method="GET", url=URL, owner="one"))
    assert (await client.send(HttpRequest(method="GET", url=URL, owner="two"))).status == 200
    assert client.state(URL, owner="one") is BreakerState.OPEN
    assert client.state(URL, owner="two") is BreakerState.CLOSED


async def test_a_probe_that_is_broken_off_lets_the_next_one_through() -> None:
    target, seconds = Target(), Seconds()
    client = BreakerHttpClient(target, monotonic=seconds)
    await fail(client, 5)
    seconds.now = 61
    target.holds = asyncio.Event()
    target.was_asked.clear()
    probe = asyncio.create_task(client.send(HttpRequest(method="GET", url=URL)))
    await target.was_asked.wait()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    target.holds, target.status = None, 200
    await client.send(HttpRequest(method="GET", url=URL))
