"""A person whom an outside identity provider has authenticated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.auth.accounts import accounts
from server.auth.accounts.accounts import SignIn
from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError


class SignInFailedError(JobsprintError):
    """The identity provider did not authenticate the person who wanted to sign in, or not for this server."""

    code = "sign_in_failed"
    kind = ErrorKind.UNAUTHENTICATED


def person_of_claims(issuer: str, claims: Mapping[str, Any]) -> SignIn:
    """The person whom the verified claims of an OpenID Connect issuer describe (Core 1.0, 5.1)."""
    names = (claims.get(each) for each in ("name", "preferred_username", "email"))
    return SignIn(
        issuer=issuer,
        subject=claims["sub"],
        email=checked_email(claims.get("email")),
        # AWS Cognito spells its booleans out.
        is_email_verified=claims.get("email_verified") in (True, "true"),
        name=shown_name(*names, claims["sub"]),
    )


def checked_email(email: Any) -> str | None:
    """The address, where it is one."""
    try:
        return accounts.checked_email(email) if isinstance(email, str) else None
    except InvalidArgumentsError:
        return None


def shown_name(*names: Any) -> str:
    """The first usable name of those given, in one line and of bounded length."""
    for name in names:
        if isinstance(name, str) and (clean := " ".join("".join(c if c.isprintable() else " " for c in name).split())):
            return clean[: accounts.LONGEST_NAME]
    return "somebody"
