"""JSON Web Tokens of an outside issuer: which are valid (RFC 7519, RFC 8725, OpenID Connect Core 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import isfinite
from typing import Any

import jwt

from server.auth.outside.issuer import ALGORITHMS, Issuer
from workflow.identity import NotAuthenticatedError

LEEWAY = timedelta(seconds=30)
"""How far the issuer's clock may differ from ours."""
MAX_LENGTH = 16 << 10
"""A token is a header's value, and servers take headers of 8 to 16 KiB."""
MAX_SUBJECT_LENGTH = 255
"""OpenID Connect Core (2): a subject is ASCII, of at most 255 characters."""

Claims = Mapping[str, Any]


def unverified_issuer(token: str) -> str | None:
    """The issuer that the token claims, unverified; ``None`` where it is not a JWT."""
    if len(token) > MAX_LENGTH or token.count(".") != 2:
        return None
    try:
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except jwt.PyJWTError:
        return None
    return issuer if isinstance(issuer, str) else None


async def verified_claims(token: str, *, issuer: Issuer, audience: str) -> Claims:
    """The claims of a token that ``issuer`` signed for ``audience``, and that is valid now.

    Raises:
        NotAuthenticatedError: it is not valid; the message says why.
        IssuerUnavailableError: the issuer's keys cannot be fetched.
    """
    claims = await _signed_claims(token, issuer)
    if claims.get("iss") != issuer.url:
        raise _refused("was issued by somebody else")
    audiences = claims.get("aud")
    if audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise _refused(f"is not for {audience}")
    now = issuer.clock.now().timestamp()
    leeway = LEEWAY.total_seconds()
    if _time(claims, "exp", is_required=True) <= now - leeway:
        raise _refused("has expired")
    if _time(claims, "nbf", is_required=False) > now + leeway:
        raise _refused("does not count yet")
    if _time(claims, "iat", is_required=False) > now + leeway:
        raise _refused("was issued in the future")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH or not _is_ascii(subject):
        raise _refused("does not say who it is about")
    return claims


async def _signed_claims(token: str, issuer: Issuer) -> Claims:
    if len(token) > MAX_LENGTH:
        raise _refused("is too long")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise _refused("is no JSON Web Token") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise _refused(f"is signed with {algorithm!r:.20}, which is not taken")
    for key in await issuer.keys(key_id, algorithm):
        try:
            return jwt.decode(token, key.key, algorithms=[algorithm], options=_ONLY_SIGNATURE)
        except jwt.InvalidSignatureError:
            continue
        except jwt.PyJWTError:
            raise _refused("is no JSON Web Token") from None
    raise _refused("is not signed with one of the issuer's keys")


_ONLY_SIGNATURE: Any = {
    "verify_signature": True,
    # Checked above, by our own clock, each with its own message.
    **{f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")},
}


def _is_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _time(claims: Claims, name: str, *, is_required: bool) -> float:
    value = claims.get(name)
    if value is None and not is_required:
        return 0.0
    # Python's JSON knows NaN, which is neither before nor after anything.
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _refused(f"has no {name}" if value is None else f"has a wrong {name}")
    return value


def _refused(why: str) -> NotAuthenticatedError:
    return NotAuthenticatedError(
        f"The token {why}.", fix="Get a new one from the issuer, for this server, and send that."
    )
