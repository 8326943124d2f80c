"""``/oauth/register``: dynamic registration (RFC 7591), for clients without a metadata document."""

from __future__ import annotations

import secrets
from datetime import timedelta

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.oauth.client_metadata import client_metadata
from server.oauth.clients import Clients, host_of
from server.oauth.errors import OAuthError, json_answer
from server.oauth.forms import bounded_body
from server.oauth.hashes import hashed
from server.oauth.quota import Quota
from server.walls.rate_limits import address_of
from storage.people.oauth import OAuthClient, SqlOAuthClients
from workflow.ports import Clock, NewId

MAX_BYTES = 16 << 10
MAX_UNUSED = 10_000
"""Clients that no user has allowed yet; they are deleted after a day."""


class Registration:
    """Registers clients, so many an hour from each address; unused ones are deleted."""

    def __init__(
        self,
        *,
        clients: Clients,
        store: SqlOAuthClients,
        clock: Clock,
        new_id: NewId,
        times_an_hour: int = 30,
        max_unused: int = MAX_UNUSED,
    ) -> None:
        self._clients = clients
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._max_unused = max_unused
        self._quota = Quota(clock=clock, times=times_an_hour, window=timedelta(hours=1))

    def routes(self) -> list[Route]:
        """The one route."""
        return [Route("/oauth/register", self.register, methods=["POST"])]

    async def register(self, request: Request) -> Response:
        """201 with the registered metadata and, if the client wants one, its secret."""
        try:
            return await self._register(request)
        except OAuthError as error:
            return error.response()

    async def _register(self, request: Request) -> Response:
        if not self._quota.take(address_of(request.scope)):
            raise OAuthError("temporarily_unavailable", "Too many clients were registered from here; wait an hour.")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise OAuthError("invalid_client_metadata", "Send JSON: Content-Type: application/json.")
        try:
            document = orjson.loads(await bounded_body(request, max_bytes=MAX_BYTES))
        except orjson.JSONDecodeError:
            raise OAuthError("invalid_client_metadata", "The body is no JSON.") from None
        metadata = client_metadata(document, method="client_secret_basic")
        if metadata.jwks_uri is not None:
            raise OAuthError("invalid_client_metadata", "Send the keys themselves, in jwks.")
        now = self._clock.now()
        await self._clients.forget_unused()
        if await self._store.count_unused("dynamic") >= self._max_unused:
            raise OAuthError("temporarily_unavailable", "Too many clients are registered; try again tomorrow.")
        secret = secrets.token_urlsafe(32) if metadata.token_endpoint_auth_method.startswith("client_secret") else None
        client = OAuthClient(
            id=self._new_id(),
            kind="dynamic",
            name=metadata.client_name or host_of(metadata.redirect_uris[0]),
            metadata=metadata.to_json(),
            created_at=now,
            secret_hash=None if secret is None else hashed(secret),
        )
        await self._store.add(client)
        answer = {**client.metadata, "client_id": client.id, "client_id_issued_at": int(now.timestamp())}
        if secret is not None:
            # 0: it does not expire.
            answer |= {"client_secret": secret, "client_secret_expires_at": 0}  # nosec B105
        return json_answer(answer, status=201)
