"""Tokens: random ones, which are kept as hashes, and our access tokens, which are signed (JWT, RFC 9068)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import jwt

from workflow.errors import InvalidArgumentsError
from workflow.identity import NotAuthenticatedError, Scopes, scopes_in, scopes_text
from workflow.sessions import Session

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
_ALGORITHM = "HS256"
_REQUIRED = ["iss", "aud", "sub", "sid", "scope", "iat", "exp", "jti"]


def new_token(prefix: str) -> str:
    """A random token of 256 bits; its prefix shows people and scanners for secrets what kind it is."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a random token: SHA-256 in hex. Random enough that nothing slower is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class InvalidTokenError(NotAuthenticatedError):
    """The access token is not valid: wrong, expired, of another server, or its session has ended."""

    code = "invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The access token does not count: {reason}.", fix="Exchange the refresh token, or log in again."
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class Claims:
    """What an access token of ours says."""

    session_id: str
    user_id: str
    scopes: Scopes
    expires_at: datetime


class AccessTokens:
    """Signs and reads access tokens of one server; ``key`` is 32 bytes."""

    def __init__(self, *, key: bytes, base_url: str, lifetime: timedelta = ACCESS_TOKEN_LIFETIME) -> None:
        self._key = key
        self._lifetime = lifetime
        self._issuer = base_url
        self._audience = [f"{base_url}/mcp", base_url]

    def issue(self, session: Session, scopes: Scopes, *, token_id: str, now: datetime) -> tuple[str, int]:
        """A token, and in how many seconds it expires: after its lifetime, or with its session."""
        expires_at = min(now + self._lifetime, session.expires_at)
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": session.user_id,
            "sid": session.id,
            "scope": scopes_text(scopes),
            "iat": int(now.timestamp()),
            # Never earlier than ``expires_in`` says.
            "exp": ceil(expires_at.timestamp()),
            "jti": token_id,
        }
        if session.client_id is not None:
            claims["client_id"] = session.client_id
        token = jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"typ": "at+jwt"})
        return token, max(0, int((expires_at - now).total_seconds()))

    def is_ours(self, token: str) -> bool:
        """Whether a token claims to be of this server, unverified."""
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return False
        return claims.get("iss") == self._issuer

    def read(self, token: str) -> Claims:
        """The claims of a token, expired or not.

        Raises:
            InvalidTokenError: we did not sign it, or not for this server.
        """
        try:
            # Expiry is checked against our own clock.
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
            return Claims(
                session_id=claims["sid"],
                user_id=claims["sub"],
                scopes=scopes_in(claims["scope"]),
                expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            )
        except (jwt.PyJWTError, InvalidArgumentsError, TypeError, ValueError, OverflowError) as error:
            raise InvalidTokenError("this server did not make it") from error
