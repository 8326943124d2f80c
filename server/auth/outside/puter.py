"""Signing in with a token of Puter's browser SDK (``@heyputer/puter.js`` 2.6), which Puter itself verifies.

``puter.auth.signIn()`` gives a page a token that Puter bound to the page's origin, as an "app"; with it the SDK asks
``GET /whoami``. The answer names the app that the token was made for, so another site's token does not sign in here.
"""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import urlsplit

import jwt

from server.auth.accounts.accounts import SignIn
from server.auth.outside.person import SignInFailedError, checked_email, shown_name
from server.auth.outside.requests import Asking
from workflow.ports import HttpClient

API_ORIGIN = "https://api.puter.com"
"""The SDK's own default."""
APP_NAMESPACE = uuid.UUID("33de3768-8ee0-43e9-9e73-db192b97a5d8")
"""The namespace of the ids of sites that are not registered with Puter as apps: version 5 UUIDs of their origins."""
FOR_APPS = ("app-under-user", "au")
"""The type of a token that a user gave an app, in full and as Puter shortens it."""
MAX_LENGTH = 8 << 10
_TOKEN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}")


def app_of(url: str) -> str:
    """Puter's id of the site at a URL that is not registered with it."""
    parts = urlsplit(url)
    return f"app-{uuid.uuid5(APP_NAMESPACE, f'{parts.scheme}://{parts.netloc}'.lower())}"


class Puter:
    """``app`` is Puter's id of the site whose tokens are accepted."""

    def __init__(self, *, api_origin: str, app: str, http: HttpClient) -> None:
        self._api_origin = api_origin.rstrip("/")
        self._app = app
        self._asking = Asking(f"Puter ({self._api_origin})", http=http)

    async def person(self, token: str) -> SignIn:
        """The person to whom the token belongs.

        Raises:
            SignInFailedError: the token is not valid, or no longer, or was not made for this site.
            IssuerUnavailableError: Puter cannot be reached.
        """
        self._check_kind(token)
        status, answer = await self._asking.get(f"{self._api_origin}/whoami", token=token)
        if status in (401, 403, 404):
            raise SignInFailedError("Puter does not know the token (any more).", fix="Sign in with Puter again.")
        if status != 200:
            raise self._asking.unavailable(f"answered /whoami with status {status}")
        if answer.get("app_name") != self._app:
            raise SignInFailedError(
                "The token was not made for this site.",
                fix=f"Sign in from a page that Puter knows as {self._app}; JOBSPRINT_PUTER_APP says which that is.",
            )
        return self._person_of(answer)

    def _check_kind(self, token: str) -> None:
        """Refuse tokens of other kinds than those that identify a user to an app.

        Access tokens, with which an app shares one file, name the same user and the same app. The token's claims are
        trusted once Puter has accepted it, because Puter signed them.
        """
        claims: dict[str, Any] = {}
        if len(token) <= MAX_LENGTH and _TOKEN.fullmatch(token):
            try:
                claims = jwt.decode(token, options={"verify_signature": False})
            except jwt.PyJWTError:
                claims = {}
        if claims.get("type", claims.get("t")) not in FOR_APPS:
            raise SignInFailedError(
                "This is not a token that Puter gives a site.",
                fix="Send what puter.auth.signIn() resolves to: its token.",
            )

    def _person_of(self, answer: dict[str, Any]) -> SignIn:
        try:
            subject = str(uuid.UUID(answer["uuid"]))
        except (KeyError, ValueError, AttributeError, TypeError):
            raise self._asking.unavailable("does not say who the user is (uuid)") from None
        return SignIn(
            issuer=self._api_origin,
            subject=subject,
            # Puter gives apps the address only if the user allowed it.
            email=checked_email(answer.get("email")),
            is_email_verified=answer.get("email_confirmed") in (True, 1),
            name=shown_name(answer.get("username"), subject),
        )
