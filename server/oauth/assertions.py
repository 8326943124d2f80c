"""Clients that prove themselves with a signature instead of a secret (``private_key_jwt``; RFC 7523)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import orjson
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from server.oauth.client_metadata import check_keys
from server.oauth.errors import OAuthError
from server.oauth.hashes import hashed
from server.oauth.metadata import SIGNING_ALGORITHMS
from storage.people.oauth import OAuthClient, SqlOAuthClients
from workflow.errors import OutboundError
from workflow.items import JsonObject
from workflow.ports import Clock, HttpClient, HttpRequest

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_LENGTH = 16 << 10
MAX_LIFETIME = timedelta(hours=1)
"""Longest lifetime of an assertion; its id is remembered for as long."""
LEEWAY = timedelta(seconds=30)
KEYS_KEPT = timedelta(minutes=10)
MAX_KEY_SETS = 1_000
MAX_KEYS_BYTES = 64 << 10


class Assertions:
    """Verifies signed assertions: their client, their audience, and that each is used once."""

    def __init__(self, *, store: SqlOAuthClients, http: HttpClient, clock: Clock) -> None:
        self._store = store
        self._http = http
        self._clock = clock
        self._fetched: OrderedDict[str, tuple[datetime, JsonObject]] = OrderedDict()

    async def check(self, client: OAuthClient, assertion: str, *, audiences: Sequence[str]) -> None:
        """Check that the client made the assertion for this server, for now, and for this request only. ``audiences``
        are the names of this server.

        Raises:
            OAuthError: ``invalid_client``.
        """
        claims = _verified(assertion, await self._keys(client))
        audience = claims["aud"]
        # One audience only: another audience of a shared assertion could replay it here.
        if audience not in audiences and audience not in [[each] for each in audiences]:
            raise _refused(f"its aud is not {audiences[0]}")
        if not claims["iss"] == claims["sub"] == client.id:
            raise _refused("its iss and sub are not the client_id")
        now = self._clock.now()
        expires_at = _time(claims["exp"])
        if expires_at + LEEWAY <= now:
            raise _refused("it is over")
        if expires_at > now + MAX_LIFETIME:
            raise _refused(f"it counts for longer than {MAX_LIFETIME.total_seconds():.0f} s")
        if "nbf" in claims and _time(claims["nbf"]) > now + LEEWAY:
            raise _refused("it does not count yet")
        key = hashed(str(claims["jti"]))
        if not await self._store.spend_assertion(client.id, key, expires_at=expires_at + LEEWAY, now=now):
            raise _refused("it was used before")

    async def _keys(self, client: OAuthClient) -> JsonObject:
        if client.metadata.get("jwks") is not None:
            keys: JsonObject = client.metadata["jwks"]
            return keys
        url = client.metadata.get("jwks_uri")
        if url is None:
            raise _refused("the client has no keys")
        now = self._clock.now()
        fetched_at, keys = self._fetched.get(url, (None, {}))
        if fetched_at is not None and fetched_at + KEYS_KEPT > now:
            return keys
        keys = await self._fetch(url)
        self._fetched[url] = (now, keys)
        self._fetched.move_to_end(url)
        if len(self._fetched) > MAX_KEY_SETS:
            self._fetched.popitem(last=False)
        return keys

    async def _fetch(self, url: str) -> JsonObject:
        request = HttpRequest(
            method="GET", url=url, timeout_seconds=5, follow_redirects=False, max_response_bytes=MAX_KEYS_BYTES
        )
        try:
            response = await self._http.send(request)
            keys = orjson.loads(response.body) if response.status == 200 else None
        except (OutboundError, orjson.JSONDecodeError):
            keys = None
        if not isinstance(keys, dict):
            raise _refused("the client's keys cannot be fetched")
        check_keys(keys)
        return keys


def _verified(assertion: str, keys: JsonObject) -> dict[str, Any]:
    """The claims, if one of the keys has signed them; times are not checked."""
    if len(assertion) > MAX_LENGTH:
        raise _refused("it is too long")
    try:
        header = jwt.get_unverified_header(assertion)
    except PyJWTError:
        raise _refused("it is no signed JWT") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in SIGNING_ALGORITHMS:
        raise _refused(f"its alg is none of {', '.join(SIGNING_ALGORITHMS)}")
    for key in keys["keys"]:
        if key_id is not None and key.get("kid") not in (None, key_id):
            continue
        try:
            claims: dict[str, Any] = jwt.decode(
                assertion,
                PyJWK(key, algorithm=algorithm),
                algorithms=[algorithm],
                options={
                    "require": ["iss", "sub", "aud", "exp", "jti"],
                    # The caller checks times by our own clock, and more strictly.
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (PyJWTError, ValueError, TypeError):
            continue
        return claims
    raise _refused("none of the client's keys has signed it, or it lacks iss, sub, aud, exp or jti")


def _time(seconds: Any) -> datetime:
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise _refused("its times are no numbers of seconds") from None


def _refused(why: str) -> OAuthError:
    return OAuthError("invalid_client", f"The client_assertion does not count: {why}.")
