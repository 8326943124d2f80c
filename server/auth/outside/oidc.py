"""Signing in through an OpenID Connect issuer: authorization code with PKCE (Core 1.0; RFC 7636, RFC 9207, RFC 9700).

The state between the redirect to the issuer and the callback is in a signed cookie: only the browser that left can
come back, and nothing is stored for sign-ins that are never finished.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

import jwt

from server.auth.accounts.accounts import SignIn
from server.auth.outside.issuer import Issuer, IssuerMetadata
from server.auth.outside.person import SignInFailedError, person_of_claims
from server.auth.outside.signed_tokens import Claims, verified_claims
from workflow.identity import NotAuthenticatedError

TIME_TO_SIGN_IN = timedelta(minutes=10)
SPENT_AT_MOST = 10_000
"""How many sign-ins of the last ten minutes are remembered as finished."""
SCOPE = "openid email profile"
AGAIN = "Start again from the page to sign in."


@dataclass(slots=True, frozen=True, kw_only=True)
class Departure:
    """Where to redirect a browser that signs in, and the cookie to set."""

    url: str
    cookie: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Arrival:
    """A person who signed in, the path on this server to continue at, and the invitation they began with."""

    person: SignIn
    next: str
    invitation: str | None


class OidcSignIn:
    """``client_id`` and ``client_secret`` identify this server to the issuer; ``key`` signs the cookies."""

    def __init__(
        self, *, issuer: Issuer, client_id: str, client_secret: str | None, redirect_uri: str, key: bytes
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._key = key
        self._spent: OrderedDict[str, None] = OrderedDict()

    async def depart(self, next_path: str, *, invitation: str | None = None) -> Departure:
        """Send a browser to the issuer; ``next_path`` is where it continues afterwards.

        The person who comes back may get an account through the ``invitation``.

        Raises:
            IssuerUnavailableError: the issuer's metadata cannot be fetched.
        """
        metadata = await self._issuer.metadata()
        if metadata.authorization_endpoint is None:
            raise self._issuer.asking.unavailable("does not say where people sign in (authorization_endpoint)")
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = metadata.authorization_endpoint
        flow = {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "next": next_path,
            "invitation": invitation,
            "until": self._until(),
        }
        return Departure(
            url=f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}",
            cookie=jwt.encode(flow, self._key, algorithm="HS256"),
        )

    async def arrive(self, query: Mapping[str, str], cookie: str | None) -> Arrival:
        """The person who comes back from the issuer with ``query`` and ``cookie``; each sign-in works once.

        Raises:
            SignInFailedError: the person did not sign in, or another browser began the sign-in.
            IssuerUnavailableError: the issuer cannot be reached.
        """
        flow = self._flow_of(query, cookie)
        metadata = await self._issuer.metadata()
        named = query.get("iss")
        if named != self._issuer.url and (named is not None or metadata.names_itself):
            raise SignInFailedError("The answer is another issuer's.", fix=AGAIN)
        if "error" in query or "code" not in query:
            raise SignInFailedError(f"The issuer refused: {query.get('error', 'it gave no code')!s:.60}.", fix=AGAIN)
        tokens = await self._exchange(metadata, code=query["code"], verifier=flow["verifier"])
        claims = await self._id_claims(tokens.get("id_token"), nonce=flow["nonce"])
        if "email" not in claims and metadata.userinfo_endpoint is not None and "access_token" in tokens:
            claims = await self._with_userinfo(claims, metadata.userinfo_endpoint, tokens["access_token"])
        person = person_of_claims(self._issuer.url, claims)
        return Arrival(person=person, next=flow["next"], invitation=flow["invitation"])

    def _flow_of(self, query: Mapping[str, str], cookie: str | None) -> dict[str, Any]:
        try:
            flow = jwt.decode(cookie or "", self._key, algorithms=["HS256"])
        except jwt.PyJWTError:
            raise SignInFailedError("This browser did not start to sign in, or a while ago.", fix=AGAIN) from None
        if not hmac.compare_digest(flow["state"].encode(), query.get("state", "").encode("utf-8", "replace")):
            raise SignInFailedError("This is not the sign-in that the browser started last.", fix=AGAIN)
        if flow["until"] <= self._issuer.clock.now().timestamp():
            raise SignInFailedError("It took too long to sign in.", fix=AGAIN)
        if flow["state"] in self._spent:
            raise SignInFailedError("This sign-in is done already.", fix=AGAIN)
        self._spent[flow["state"]] = None
        if len(self._spent) > SPENT_AT_MOST:
            self._spent.popitem(last=False)
        return flow

    async def _exchange(self, metadata: IssuerMetadata, *, code: str, verifier: str) -> dict[str, Any]:
        asking = self._issuer.asking
        if metadata.token_endpoint is None:
            raise asking.unavailable("does not say where codes are exchanged (token_endpoint)")
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        if self._client_secret is None:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in metadata.token_endpoint_auth_methods:
            # RFC 6749 (2.3.1): both are form-encoded first.
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        status, tokens = await asking.send(
            "POST", metadata.token_endpoint, headers=headers, body=urlencode(form).encode()
        )
        if status == 400 and tokens.get("error") == "invalid_grant":
            raise SignInFailedError("The issuer does not know the code (any more).", fix=AGAIN)
        if status != 200:
            raise asking.unavailable(f"refused the code with status {status} and {tokens.get('error')!r:.60}")
        return tokens

    async def _id_claims(self, token: Any, *, nonce: str) -> Claims:
        if not isinstance(token, str):
            raise self._issuer.asking.unavailable("sent no ID token")
        try:
            claims = await verified_claims(token, issuer=self._issuer, audience=self._client_id)
        except NotAuthenticatedError as error:
            raise SignInFailedError(f"The issuer's answer is not taken: {error.message}", fix=AGAIN) from error
        if not isinstance(claims.get("nonce"), str) or not hmac.compare_digest(
            claims["nonce"].encode(), nonce.encode()
        ):
            raise SignInFailedError("The issuer's answer is to another question (nonce).", fix=AGAIN)
        # OpenID Connect Core (3.1.3.7): with several audiences, azp says to whom it was given.
        is_shared = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if is_shared else self._client_id) != self._client_id:
            raise SignInFailedError("The issuer's answer was given to another client (azp).", fix=AGAIN)
        return claims

    async def _with_userinfo(self, claims: Claims, endpoint: str, access_token: Any) -> Claims:
        """The claims, with those that only the UserInfo endpoint gives (Core 1.0, 5.3.2 and 5.4)."""
        found = await self._issuer.asking.object_at(endpoint, token=str(access_token))
        if found.get("sub") != claims["sub"]:
            raise SignInFailedError("The issuer speaks of somebody else now.", fix=AGAIN)
        return {**found, **claims}

    def _until(self) -> int:
        return int((self._issuer.clock.now() + TIME_TO_SIGN_IN).timestamp())


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
