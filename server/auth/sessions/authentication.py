"""Stands in front of the routes that need an actor, and authenticates each request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.auth.sessions.first_run import FirstRun
from server.auth.sessions.lasting import AccessEndedError, while_allowed
from server.http.access import ACTOR, TokenVerifier
from server.http.problems import problem, problem_of
from server.settings.addresses import metadata_url
from workflow.errors import JobsprintError
from workflow.identity import LOCAL_ACTOR, Actor, NotAuthenticatedError

STRANGERS_PATHS = frozenset(
    {
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/auth/register",
        "/auth/login",
        "/auth/refresh",
        # It ends the session of the token in its body, and takes the pages' form.
        "/auth/logout",
        "/auth/account",
        "/auth/puter",
        # A browser comes back here from a consent; its query carries the proof.
        "/api/integrations/callback",
    }
)
# Webhooks, resume links and links to connect prove themselves in other ways; what is under /oauth and /auth/oidc is how
# clients and people come to be known.
STRANGERS_FOLDERS = ("/.well-known/", "/auth/oidc/", "/connect/", "/oauth/", "/webhooks/", "/resume/", "/secrets/")

_PASSED_ON = frozenset(
    {
        b"cdn-loop",
        b"client-ip",
        b"fastly-client-ip",
        b"forwarded",
        b"forwarded-for",
        b"true-client-ip",
        b"via",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-forwarded",
        b"x-real-ip",
        b"x-remote-addr",
        b"x-remote-ip",
    }
)
_PASSED_ON_PREFIXES = (
    b"cf-",
    b"fly-",
    b"tailscale-",
    b"x-amz-cf-",
    b"x-appengine-",
    b"x-arr-",
    b"x-azure-",
    b"x-envoy-",
    b"x-forwarded-",
    b"x-original-",
    b"x-proxyuser-",
    b"x-vercel-",
)
"""Headers of proxies, tunnels and CDNs: a request with one does not come from this machine, even if its address is
loopback."""


def is_passed_on(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a proxy has forwarded the request, so that it may come from another machine."""
    plain = (name.lower().replace(b"_", b"-") for name, _ in headers)
    return any(name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES) for name in plain)


def is_for_strangers(path: str) -> bool:
    """Whether the path needs no token."""
    return path in STRANGERS_PATHS or path.startswith(STRANGERS_FOLDERS)


@runtime_checkable
class LastingVerifier(Protocol):
    """A verifier whose tokens expire before what they stand for ends."""

    async def actor_in_progress(self, token: str) -> Actor | None:
        """The actor of a token with which a request began that still lasts: the token may have expired meanwhile, its
        session not.

        Raises:
            NotAuthenticatedError: what it stands for has ended.
        """
        ...


class Authentication:
    """An ASGI application in front of another: it puts the actor into the ASGI scope, or answers 401.

    Tokens come in the header Authorization only, never in the address. Each verifier is asked in turn whether the
    token is of its kind. A request that lasts is authenticated again while it does (:mod:`.lasting`).
    """

    def __init__(self, app: ASGIApp, *, verifiers: Sequence[TokenVerifier], first_run: FirstRun, base_url: str) -> None:
        self._app = app
        self._verifiers = tuple(verifiers)
        self._first_run = first_run
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate the request and pass it on, or refuse it."""
        if scope["type"] == "lifespan" or is_for_strangers(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            actor = scope[ACTOR] = await self._actor(scope)
        except NotAuthenticatedError as error:
            await self._refuse(self._unknown(error, scope), scope, receive, send)
        except JobsprintError as error:
            # The database, or an issuer, could not be reached.
            await self._refuse(problem_of(error), scope, receive, send)
        else:
            await self._serve(actor, scope, receive, send)

    async def _serve(self, actor: Actor, scope: Scope, receive: Receive, send: Send) -> None:
        async def still_allowed() -> bool:
            try:
                now = await self._actor(scope, is_in_progress=True)
            except NotAuthenticatedError:
                return False
            except JobsprintError:  # nobody knows: the database, or an issuer, could not be reached
                return True
            same = (now.user_id, now.workspace_id) == (actor.user_id, actor.workspace_id)
            return same and actor.scopes <= now.scopes

        try:
            await while_allowed(self._app, scope, receive, send, still_allowed)
        except AccessEndedError:
            ended = NotAuthenticatedError(
                "The session, key, grant or membership of the request ended, or lost rights, while it was served.",
                fix="Log in, or authorize the client, again.",
            )
            await self._refuse(self._unknown(ended, scope), scope, receive, send)

    async def _actor(self, scope: Scope, *, is_in_progress: bool = False) -> Actor:
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        if not sent:
            if await self._first_run.is_on() and not is_passed_on(scope["headers"]):
                return LOCAL_ACTOR
            raise NoTokenError(
                "The request does not say who it comes from.",
                fix="Send Authorization: Bearer with an access token or an API key.",
            )
        scheme, _, token = sent[0].decode("latin-1").partition(" ")
        if len(sent) > 1 or scheme.lower() != "bearer":
            raise NotAuthenticatedError(
                "The header Authorization is there twice, or of another scheme than Bearer.",
                fix="Send Authorization: Bearer with an access token or an API key, once.",
            )
        for verifier in self._verifiers:
            if is_in_progress and isinstance(verifier, LastingVerifier):
                actor = await verifier.actor_in_progress(token.strip())
            else:
                actor = await verifier.actor(token.strip())
            if actor is not None:
                return actor
        raise NotAuthenticatedError(
            "Nobody knows this token.", fix="Send an access token of this server, or one of its API keys."
        )

    def _unknown(self, error: NotAuthenticatedError, scope: Scope) -> Response:
        """RFC 6750 (3): no error where nothing was sent."""
        challenge = f'Bearer resource_metadata="{metadata_url(self._base_url, scope)}"'
        if not isinstance(error, NoTokenError):
            challenge += ', error="invalid_token"'
        return problem(
            401, code=error.code, title=error.message, fix=error.fix, headers={"www-authenticate": challenge}
        )

    async def _refuse(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # Before the connection is accepted this is an answer of 403.
            await send({"type": "websocket.close", "code": 1008})
            return
        await response(scope, receive, send)


class NoTokenError(NotAuthenticatedError):
    """No token was sent at all."""
