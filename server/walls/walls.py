"""Puts the checks that requests pass before authentication together, in their order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from server.settings.proxies import TrustedProxies
from server.settings.settings import Settings
from server.walls.bodies import Bodies
from server.walls.guards import Guards
from server.walls.rate_limits import AttemptLimits, Buckets, RateLimits, SharedBuckets, TokenBuckets
from server.walls.security_headers import SecurityHeaders

MakeBuckets = Callable[[str, int], Buckets]
"""Buckets under a name, of so many requests a minute."""


@asynccontextmanager
async def making_buckets(settings: Settings) -> AsyncIterator[MakeBuckets]:
    """How requests are counted: by all servers together where they share a Redis."""
    if settings.redis_url is None:
        yield lambda name, per_minute: TokenBuckets(per_minute)
        return
    from storage.redis.buckets import RedisBuckets

    async with RedisBuckets(settings.redis_url.get_secret_value(), prefix=settings.redis_prefix) as shared:
        yield lambda name, per_minute: SharedBuckets(name, shared=shared, own=TokenBuckets(per_minute))


def walled(
    app: ASGIApp, *, settings: Settings, buckets: MakeBuckets, hosts: Iterable[str], origins: Iterable[str]
) -> ASGIApp:
    """The application behind its walls; ``hosts`` and ``origins`` are those of :mod:`server.walls.guards`."""
    if settings.webhook_limit_per_minute is not None:
        app = RateLimits(app, users=None, webhooks=buckets("webhooks", settings.webhook_limit_per_minute))
    app = Bodies(
        app,
        max_bytes=settings.request_max_bytes,
        max_members=settings.request_max_members,
    )
    if not settings.is_local:  # otherwise every request is the local user's
        app = AttemptLimits(app, attempts=buckets("attempts", settings.attempt_limit_per_minute))
    app = Guards(app, hosts=hosts, origins=origins, proxies=TrustedProxies(settings.trusted_proxies))
    return SecurityHeaders(app, is_https=settings.base_url.startswith("https://"))


def counted(app: ASGIApp, *, settings: Settings, buckets: MakeBuckets) -> ASGIApp:
    """The application behind the limits of users; it stands behind what finds out who they are."""
    users, clients = settings.rate_limit_per_minute, settings.client_limit_per_minute
    if users is None and clients is None:
        return app
    return RateLimits(
        app,
        users=buckets("users", users) if users is not None else None,
        clients=buckets("clients", clients) if clients is not None else None,
        webhooks=None,
    )
