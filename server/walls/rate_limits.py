"""Rate limits in requests a minute: token buckets per user, and per address for unauthenticated requests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.access import ACTOR
from server.http.problems import refusal
from workflow.errors import ErrorKind, JobsprintError, StorageError
from workflow.identity import LOCAL_ID, Actor

if TYPE_CHECKING:
    from storage.redis.buckets import RedisBuckets

MINUTE = 60.0
CALLERS_KEPT = 50_000
"""Buckets in memory, about 200 bytes each. With more callers the least recently used bucket is dropped."""
WEBHOOKS = "/webhooks/"
PROVING = ("/auth/", "/oauth/", "/token", "/register", "/authorize")
"""Paths where callers prove who they are: guesses cost more tokens than other requests."""

Now = Callable[[], float]


class RateLimitedError(JobsprintError):
    """The caller has sent more requests than they may.

    Attributes:
        retry_after_seconds: when to try again.
    """

    code = "rate_limited"
    kind = ErrorKind.OVERLOADED

    def __init__(self, per_minute: int, *, retry_after_seconds: int) -> None:
        super().__init__(
            f"More than {per_minute} requests a minute came from you.", fix=f"Try again in {retry_after_seconds} s."
        )
        self.retry_after_seconds = retry_after_seconds


class TokensTaken(NamedTuple):
    """What is left of a bucket after a request; ``wait_seconds`` is 0 where the request may pass."""

    left: int
    wait_seconds: float
    full_in_seconds: float


class Buckets(Protocol):
    """A bucket for each caller, which holds a minute's worth of requests and fills up evenly."""

    per_minute: int

    async def take(self, caller: str, tokens: float = 1.0) -> TokensTaken:
        """Take tokens out of the caller's bucket, if they are there."""
        ...


class TokenBuckets:
    """Implements :class:`Buckets` in this process."""

    def __init__(self, per_minute: int, *, now: Now = time.monotonic, callers_kept: int = CALLERS_KEPT) -> None:
        self.per_minute = per_minute
        self._rate = per_minute / MINUTE
        self._now = now
        self._callers_kept = callers_kept
        # In the order of their last use.
        self._buckets: dict[str, tuple[float, float]] = {}

    async def take(self, caller: str, tokens: float = 1.0) -> TokensTaken:
        """Take tokens; see the protocol."""
        now = self._now()
        left, at = self._buckets.pop(caller, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - at) * self._rate)
        may_pass = left >= tokens
        if may_pass:
            left -= tokens
        self._buckets[caller] = (left, now)
        if len(self._buckets) > self._callers_kept:
            del self._buckets[next(iter(self._buckets))]
        wait = 0.0 if may_pass else (tokens - left) / self._rate
        return TokensTaken(int(left), wait, (self.per_minute - left) / self._rate)

    def __len__(self) -> int:
        return len(self._buckets)


class SharedBuckets:
    """Implements :class:`Buckets` for servers behind one address; while Redis is down each server counts alone."""

    def __init__(self, name: str, *, shared: RedisBuckets, own: TokenBuckets) -> None:
        self.per_minute = own.per_minute
        self._name = name
        self._shared = shared
        self._own = own

    async def take(self, caller: str, tokens: float = 1.0) -> TokensTaken:
        """Take tokens; see the protocol."""
        try:
            drawn = await self._shared.take(f"{self._name}:{caller}", size=self.per_minute, tokens=tokens)
        except StorageError:  # the shared buckets have logged it
            return await self._own.take(caller, tokens)
        rate = self.per_minute / MINUTE
        wait = 0.0 if drawn.passes else (tokens - drawn.left) / rate
        return TokensTaken(int(drawn.left), wait, (self.per_minute - drawn.left) / rate)


class RateLimits:
    """An ASGI application in front of another one, behind :mod:`server.auth.sessions.authentication`.

    Authenticated requests count for their user, with all sessions and keys; others count for their address. With
    ``clients``, each key and client of a user also counts separately. The local user of a server that only this machine
    reaches is not counted, and neither are webhooks, unless that is set.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        users: Buckets | None,
        webhooks: Buckets | None,
        clients: Buckets | None = None,
    ) -> None:
        self._app = app
        self._users = users
        self._webhooks = webhooks
        self._clients = clients

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        actor: Actor | None = scope.get(ACTOR)
        if scope["path"].startswith(WEBHOOKS):
            buckets, caller = self._webhooks, address_of(scope)
        elif actor is None:
            buckets, caller = self._users, address_of(scope)
        else:
            buckets, caller = self._users, f"user {actor.user_id}"
            if actor.user_id == LOCAL_ID:
                buckets = None
        if actor is not None and actor.user_id != LOCAL_ID and self._clients is not None:
            taken = await self._clients.take(f"user {actor.user_id} through {actor.client}")
            if taken.wait_seconds:
                seconds = math.ceil(taken.wait_seconds)
                error = RateLimitedError(self._clients.per_minute, retry_after_seconds=seconds)
                await refusal(scope, error)(scope, receive, send)
                return
        if buckets is None:
            await self._app(scope, receive, send)
            return
        await _limited(buckets, caller, self._app, scope, receive, send)


class AttemptLimits:
    """An ASGI application in front of another one, in front of :mod:`server.auth.sessions.authentication`.

    Counts by address the requests that authenticate (login, registration, tokens), and those whose token fails: tokens
    and keys can be guessed at every route.
    """

    def __init__(self, app: ASGIApp, *, attempts: Buckets) -> None:
        self._app = app
        self._attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on."""
        if scope["type"] != "http" or scope["path"].startswith(WEBHOOKS):
            await self._app(scope, receive, send)
            return
        caller = address_of(scope)
        if scope["method"] == "POST" and scope["path"].startswith(PROVING):
            await _limited(self._attempts, caller, self._app, scope, receive, send)
            return
        if not any(name == b"authorization" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        seen = await self._attempts.take(caller, 0.0)
        if seen.left < 1:
            seconds = math.ceil(MINUTE / self._attempts.per_minute)
            error = RateLimitedError(self._attempts.per_minute, retry_after_seconds=seconds)
            await refusal(scope, error)(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                await self._attempts.take(caller)
            await send(message)

        await self._app(scope, receive, counted)


def address_of(scope: Scope) -> str:
    """The address that a request comes from; of IPv6 its network, since a host with one address has 2⁶⁴."""
    client = scope.get("client")
    try:
        address = ip_address(client[0]) if client else None
    except ValueError:
        address = None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64)
    return f"address {address}"


async def _limited(buckets: Buckets, caller: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    taken = await buckets.take(caller)
    # draft-ietf-httpapi-ratelimit-headers-10: q tokens per w seconds; r are left, and all are there in t seconds.
    headers = [
        (b"ratelimit-policy", b'"default";q=%d;w=60' % buckets.per_minute),
        (b"ratelimit", b'"default";r=%d;t=%d' % (taken.left, math.ceil(taken.full_in_seconds))),
    ]

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    if taken.wait_seconds:
        error = RateLimitedError(buckets.per_minute, retry_after_seconds=math.ceil(taken.wait_seconds))
        await refusal(scope, error)(scope, receive, with_headers)
    else:
        await app(scope, receive, with_headers)
