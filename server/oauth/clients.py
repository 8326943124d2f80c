"""Finds the client of an id."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from server.oauth.documents import ClientDocuments
from server.oauth.errors import OAuthError
from server.oauth.quota import Quota
from storage.people.oauth import OAuthClient, SqlOAuthClients
from workflow.ports import Clock

FETCHES = 60
FETCH_WINDOW = timedelta(hours=1)
UNUSED_KEPT = timedelta(days=1)
"""How long a client is kept that no user has allowed."""
GRANT_LIFETIME = timedelta(days=30)
"""How long a client's session lasts without its user, if it keeps refreshing: consent is asked for once a month."""
USED_KEPT = GRANT_LIFETIME + UNUSED_KEPT


class Clients:
    """Clients that registered or were made here, and those that their own documents describe."""

    def __init__(self, *, store: SqlOAuthClients, documents: ClientDocuments, clock: Clock) -> None:
        self._store = store
        self._documents = documents
        self._clock = clock
        self._fetches = Quota(clock=clock, times=FETCHES, window=FETCH_WINDOW)

    async def find(self, client_id: str) -> OAuthClient | None:
        """A known client; nothing is fetched."""
        return await self._store.find(client_id)

    async def asked_for(self, client_id: str, *, user_id: str) -> OAuthClient:
        """The client that a user decides about; its document is fetched if it is not known or stale.

        That happens for users who are logged in only, so that strangers cannot make the server fetch addresses.

        Raises:
            OAuthError: there is no such client, or its document is not valid.
        """
        known = await self._store.find(client_id)
        if self._documents.is_document(client_id):
            if known is not None and known.expires_at is not None and known.expires_at > self._clock.now():
                return known
            if not self._fetches.take(user_id):
                raise OAuthError("temporarily_unavailable", "Too many clients' documents were asked for; wait a while.")
            fetched = await self._documents.fetch(client_id)
            await self.forget_unused()
            await self._store.put(fetched)
            return fetched
        if known is None or known.kind == "machine":
            raise OAuthError("invalid_client", "No client has this client_id; it has to register (again).")
        return known

    async def release_deferred(self, client_id: str) -> None:
        """Note that a user allowed the client."""
        await self._store.touch(client_id, now=self._clock.now())

    async def forget_unused(self) -> None:
        """Delete clients that registered themselves and that no user has allowed for long."""
        now = self._clock.now()
        await self._store.forget_unused(created_before=now - UNUSED_KEPT, used_before=now - USED_KEPT)


def redirect_uris(client: OAuthClient) -> list[str]:
    """The redirect URIs of the client."""
    return [str(each) for each in client.metadata.get("redirect_uris") or []]


def authentication_method(client: OAuthClient) -> str:
    """The client's authentication method at the token endpoint."""
    return str(client.metadata.get("token_endpoint_auth_method", "none"))


def may_refresh(client: OAuthClient) -> bool:
    """Whether the client wants refresh tokens."""
    return "refresh_token" in (client.metadata.get("grant_types") or [])


def host_of(uri: str) -> str:
    """Where an address leads, in a form that people can judge."""
    parts = urlsplit(uri)
    return parts.netloc if parts.scheme in ("http", "https") else f"{parts.scheme}:"
