"""The actor of a request, and routes that require scopes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import wraps
from typing import Protocol

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope as AsgiScope

from workflow.identity import Actor, NotAuthenticatedError, Scope

ACTOR = "jobsprint.actor"
"""The key of the ASGI scope under which :mod:`server.auth.sessions.authentication` leaves the actor."""

Endpoint = Callable[[Request], Awaitable[Response]]


class TokenVerifier(Protocol):
    """Finds the actor of one kind of bearer token."""

    async def actor(self, token: str) -> Actor | None:
        """The actor of the token, or ``None`` where it is of another kind.

        Raises:
            NotAuthenticatedError: it is of this kind and is not valid, or no longer.
        """
        ...


def actor_of(connection: HTTPConnection | AsgiScope) -> Actor:
    """The actor of the request.

    Raises:
        NotAuthenticatedError: the request is not authenticated.
    """
    scope = connection.scope if isinstance(connection, HTTPConnection) else connection
    actor: Actor | None = scope.get(ACTOR)
    if actor is None:
        raise NotAuthenticatedError(
            "The request does not say who it comes from.",
            fix="Send Authorization: Bearer with an access token or an API key.",
        )
    return actor


class GuardedRoute(Route):
    """A route for actors who have all of its ``scopes``; with none, for every authenticated actor.

    A plain ``Route`` needs no token.
    """

    def __init__(self, path: str, endpoint: Endpoint, *, methods: Sequence[str], scopes: Iterable[Scope]) -> None:
        self.scopes = frozenset(scopes)

        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            actor_of(request).require(self.scopes)
            return await endpoint(request)

        super().__init__(path, guarded, methods=methods)
