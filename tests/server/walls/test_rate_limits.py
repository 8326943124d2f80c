"""Callers who send too much get a 429 that says when to come back; nobody else notices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.access import ACTOR
from server.walls.rate_limits import AttemptLimits, RateLimits, TokenBuckets
from workflow.identity import ALL_SCOPES, LOCAL_ACTOR, Actor


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def actor(user_id: str) -> Actor:
    return Actor(user_id=user_id, workspace_id="w", scopes=ALL_SCOPES, attainable=ALL_SCOPES, client="test")


async def sent(
    app: ASGIApp,
    path: str = "/api/x",
    *,
    method: str = "GET",
    who: Actor | None = None,
    address: str = "1.2.3.4",
    authorization: str | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    headers = [(b"authorization", authorization.encode())] if authorization else []
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": headers,
        "client": (address, 1),
        **({ACTOR: who} if who else {}),
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(dict(message))

    await app(scope, receive, send)
    sent_headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], sent_headers, b"".join(each.get("body", b"") for each in messages[1:])


def answering(status: int = 200) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


async def test_a_user_may_send_a_minutes_worth_at_once_and_then_as_many_as_come_back(clock: Clock) -> None:
    limits = RateLimits(answering(), users=TokenBuckets(60, now=clock), webhooks=None)
    for left in range(59, -1, -1):
        status, headers, _ = await sent(limits, who=actor("a"))
        assert (status, headers["ratelimit-policy"]) == (200, '"default";q=60;w=60')
        assert headers["ratelimit"].startswith(f'"default";r={left};')
    status, headers, body = await sent(limits, who=actor("a"))
    assert (status, headers["retry-after"]) == (429, "1")
    assert headers["ratelimit"] == '"default";r=0;t=60'
    assert b'"code":"rate_limited"' in body
    assert (await sent(limits, who=actor("b")))[0] == 200
    clock.at += 2
    assert [(await sent(limits, who=actor("a")))[0] for _ in range(3)] == [200, 200, 429]
    clock.at += 1_000_000
    assert (await sent(limits, who=actor("a")))[1]["ratelimit"] == '"default";r=59;t=1'


async def test_each_key_of_a_user_counts_by_itself_where_that_is_set(clock: Clock) -> None:
    limits = RateLimits(
        answering(), users=TokenBuckets(4, now=clock), clients=TokenBuckets(2, now=clock), webhooks=None
    )
    one, other = (replace(actor("a"), client=f"API key {name}") for name in ("one", "other"))
    assert [(await sent(limits, who=one))[0] for _ in range(3)] == [200, 200, 429]
    assert [(await sent(limits, who=other))[0] for _ in range(3)] == [200, 200, 429]
    third = replace(one, client="API key third")
    assert (await sent(limits, who=third))[0] == 429, "what the user may send is spent"


async def test_mcp_clients_are_told_in_json_rpc(clock: Clock) -> None:
    limits = RateLimits(answering(), users=TokenBuckets(1, now=clock), webhooks=None)
    await sent(limits, "/mcp", method="POST", who=actor("a"))
    status, headers, body = await sent(limits, "/mcp", method="POST", who=actor("a"))
    assert (status, headers["content-type"], headers["retry-after"]) == (429, "application/json", "60")
    assert b'"jsonrpc":"2.0"' in body
    assert b'"rate_limited"' in body


async def test_strangers_count_by_address_and_ipv6_by_network(clock: Clock) -> None:
    limits = RateLimits(answering(), users=TokenBuckets(1, now=clock), webhooks=None)
    for address, status in (
        ("1.2.3.4", 200),
        ("1.2.3.4", 429),
        ("::ffff:1.2.3.4", 429),
        ("1.2.3.5", 200),
        ("2606:4700::1", 200),
        ("2606:4700::2:3", 429),
        ("2606:4700:0:1::1", 200),
    ):
        assert (await sent(limits, address=address))[0] == status, address


async def test_the_local_user_and_webhooks_are_not_counted(clock: Clock) -> None:
    limits = RateLimits(answering(), users=TokenBuckets(1, now=clock), webhooks=None)
    for _ in range(10):
        assert (await sent(limits, who=LOCAL_ACTOR))[0] == 200
        assert (await sent(limits, "/webhooks/x", method="POST"))[0] == 200
    set_to_one = RateLimits(answering(), users=None, webhooks=TokenBuckets(1, now=clock))
    assert [(await sent(set_to_one, "/webhooks/x"))[0] for _ in range(2)] == [200, 429]
    assert [(await sent(set_to_one, who=actor("a")))[0] for _ in range(2)] == [200, 200]


async def test_memory_is_bounded_however_many_come(clock: Clock) -> None:
    buckets = TokenBuckets(5, now=clock, callers_kept=100)
    for _ in range(5):
        await buckets.take("loud")
    for number in range(1_000):
        await buckets.take(str(number))
        await buckets.take("loud")
    assert len(buckets) == 100
    assert (await buckets.take("loud")).wait_seconds > 0, "a loud caller is not forgotten"


@pytest.mark.parametrize("path", ["/auth/login", "/auth/register", "/oauth/token", "/token", "/register"])
async def test_attempts_to_prove_who_one_is_are_dearer(clock: Clock, path: str) -> None:
    limits = AttemptLimits(answering(), attempts=TokenBuckets(2, now=clock))
    assert [(await sent(limits, path, method="POST"))[0] for _ in range(3)] == [200, 200, 429]
    assert (await sent(limits, path, method="POST", address="5.6.7.8"))[0] == 200
    assert (await sent(limits, "/api/x"))[0] == 200


async def test_tokens_cannot_be_guessed_for_long(clock: Clock) -> None:
    buckets = TokenBuckets(3, now=clock)
    refusing, accepting = AttemptLimits(answering(401), attempts=buckets), AttemptLimits(answering(), attempts=buckets)
    for _ in range(10):
        assert (await sent(accepting, authorization="Bearer right"))[0] == 200
    answers = [(await sent(refusing, authorization="Bearer guess"))[0] for _ in range(5)]
    assert answers == [401, 401, 401, 429, 429]
    assert (await sent(refusing, address="5.6.7.8", authorization="Bearer guess"))[0] == 401
    assert (await sent(refusing))[0] == 401, "who sends no token guesses none"
    clock.at += 20
    assert (await sent(accepting, authorization="Bearer right"))[0] == 200
