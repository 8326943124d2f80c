"""Somebody whom another service vouches for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflow.errors import ErrorKind, JobsprintError

MAX_NAME_LENGTH = 200
MAX_EMAIL_LENGTH = 254
"""RFC 5321 (4.5.3.1.3), less the angle brackets."""


class SignInFailedError(JobsprintError):
    """Another service did not vouch for whoever wanted to sign in, or not for us."""

    code = "sign_in_failed"
    kind = ErrorKind.UNAUTHENTICATED


@dataclass(slots=True, frozen=True, kw_only=True)
class Person:
    """``subject`` names somebody for good, within ``issuer``. ``email`` is only there where it was found to be theirs.

    An address that nobody has checked would let anybody in as whoever has it.
    """

    issuer: str
    subject: str
    email: str | None
    name: str

    @classmethod
    def of_claims(cls, issuer: str, subject: str, claims: Mapping[str, Any]) -> Person:
        """The person of an OpenID Connect issuer's claims (Core 1.0, 5.1)."""
        # AWS Cognito spells its booleans out.
        is_verified = claims.get("email_verified") in (True, "true")
        names = (claims.get(each) for each in ("name", "preferred_username", "email"))
        return cls(
            issuer=issuer,
            subject=subject,
            email=checked_email(claims.get("email"), is_verified=is_verified),
            name=shown_name(*names, subject),
        )


def checked_email(email: Any, *, is_verified: bool) -> str | None:
    """The address, where it is one and was found to be theirs."""
    if not is_verified or not isinstance(email, str) or len(email) > MAX_EMAIL_LENGTH:
        return None
    before, at, after = email.rpartition("@")
    return email if before and at and after and email.isprintable() and " " not in email else None


def shown_name(*names: Any) -> str:
    """The first of the names that is one, in one line and not too long."""
    for name in names:
        if isinstance(name, str) and (clean := " ".join("".join(c if c.isprintable() else " " for c in name).split())):
            return clean[:MAX_NAME_LENGTH]
    return "somebody"
