"""Clients whose id is the address of their metadata (OAuth Client ID Metadata Document)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import orjson

from server.oauth.client_metadata import client_metadata
from server.oauth.errors import OAuthError
from server.oauth.redirects import is_loopback
from storage.people.oauth import OAuthClient
from workflow.errors import OutboundError
from workflow.ports import Clock, HttpClient, HttpRequest

MAX_BYTES = 16 << 10
"""The draft (8.7) requires at least 5 KB; keys take more."""
TIMEOUT_SECONDS = 5.0
KEPT_BY_DEFAULT = timedelta(hours=1)
KEPT_AT_LEAST = timedelta(minutes=1)
KEPT_AT_MOST = timedelta(days=1)
_MAX_AGE = re.compile(r"\bmax-age=(\d{1,9})\b")


class ClientDocuments:
    """Fetches and checks documents. ``allows_loopback`` is for servers that only this machine can reach."""

    def __init__(self, *, http: HttpClient, clock: Clock, allows_loopback: bool) -> None:
        self._http = http
        self._clock = clock
        self._allows_loopback = allows_loopback

    def is_document(self, client_id: str) -> bool:
        """Whether a client's id is the address of a document rather than one of our ids."""
        return client_id.startswith(("https://", "http://"))

    async def fetch(self, client_id: str) -> OAuthClient:
        """The client that the document describes.

        Raises:
            OAuthError: ``invalid_client``, ``invalid_client_metadata`` or ``invalid_redirect_uri``: its address or
                its content is not valid.
        """
        self._check_address(client_id)
        request = HttpRequest(
            method="GET",
            url=client_id,
            headers={"accept": "application/json"},
            timeout_seconds=TIMEOUT_SECONDS,
            follow_redirects=False,
            max_response_bytes=MAX_BYTES,
        )
        try:
            response = await self._http.send(request)
        except OutboundError as error:
            raise OAuthError(
                "invalid_client", f"The client's document cannot be fetched ({error.outbound_code})."
            ) from error
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status != 200 or not (kind == "application/json" or kind.endswith("+json")):
            raise OAuthError("invalid_client", f"The client's document is not there as JSON ({response.status}).")
        try:
            document = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            raise OAuthError("invalid_client", "The client's document is no JSON.") from None
        if not isinstance(document, dict) or document.get("client_id") != client_id:
            raise OAuthError("invalid_client", "The client's document names another client_id than its own address.")
        if "client_secret" in document:
            raise OAuthError("invalid_client_metadata", "A client's document must hold no client_secret.")
        metadata = client_metadata(document, method="none")
        if metadata.token_endpoint_auth_method not in ("none", "private_key_jwt"):
            raise OAuthError("invalid_client_metadata", "A client known by its document has no secret.")
        now = self._clock.now()
        return OAuthClient(
            id=client_id,
            kind="document",
            name=metadata.client_name or str(urlsplit(client_id).hostname),
            metadata=metadata.to_json(),
            created_at=now,
            expires_at=_kept_until(now, response.headers.get("cache-control", "")),
        )

    def _check_address(self, client_id: str) -> None:
        """The draft's section 3; plain http and a loopback host are allowed for development."""
        try:
            parts = urlsplit(client_id)
            _ = parts.port
        except ValueError:
            raise OAuthError("invalid_client", "The client's id is no address.") from None
        is_local = parts.scheme == "http" and self._allows_loopback and is_loopback(parts)
        if not (parts.scheme == "https" or is_local) or not parts.hostname:
            raise OAuthError("invalid_client", "The address of a client's document begins with https://.")
        segments = parts.path.split("/")
        if parts.path in ("", "/") or "." in segments or ".." in segments:
            raise OAuthError("invalid_client", "The address of a client's document has a path, without dots in it.")
        if "#" in client_id or "@" in parts.netloc or len(client_id) > 2_000 or not client_id.isascii():
            raise OAuthError("invalid_client", "The address of a client's document has no user and no fragment.")


def _kept_until(now: datetime, cache_control: str) -> datetime:
    """As long as its server says, within bounds: changes must arrive, and nobody can make us fetch it all the time."""
    found = _MAX_AGE.search(cache_control)
    kept = timedelta(seconds=int(found[1])) if found else KEPT_BY_DEFAULT
    if "no-store" in cache_control or "no-cache" in cache_control:
        kept = KEPT_AT_LEAST
    return now + min(max(kept, KEPT_AT_LEAST), KEPT_AT_MOST)
