"""Access tokens of an outside issuer: this server is a resource server of it (RFC 9068, RFC 8707)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt

from server.auth.accounts.logins import Logins
from server.auth.outside.issuer import Issuer
from server.auth.outside.person import person_of_claims, shown_name
from server.auth.outside.signed_tokens import Claims, unverified_issuer, verified_claims
from server.auth.outside.vouching import VouchedUsers
from server.auth.sessions.sessions import Standing
from workflow.errors import InvalidArgumentsError
from workflow.identity import SCOPES_OF_ROLE, Actor, NotAuthenticatedError, Scope, Scopes, scopes_in

KNOWN_SECONDS = 60.0
"""How long a verified token is cached. Its user's rights are looked up for each request."""
KNOWN_AT_MOST = 10_000
TOKEN_TYPES = ("at+jwt", "application/at+jwt", "jwt")
"""The kinds that count as access tokens. Not every issuer sets ``typ``; other kinds are refused (RFC 8725, 3.11)."""
MAX_CLIENT_LENGTH = 100


@dataclass(slots=True, frozen=True, kw_only=True)
class _Known:
    """What a verified token says, until a time in seconds since 1970."""

    user_id: str
    workspace_id: str
    scopes: Scopes
    client: str
    until: float


class OutsideTokens:
    """A :class:`server.http.access.TokenVerifier`. ``audience`` is what the issuer calls this server."""

    def __init__(
        self,
        *,
        issuer: Issuer,
        audience: str,
        scope_prefix: str,
        users: VouchedUsers,
        logins: Logins,
        standing: Standing,
        may_register: bool,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._scope_prefix = scope_prefix
        self._users = users
        self._logins = logins
        self._standing = standing
        self._may_register = may_register
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def actor(self, token: str) -> Actor | None:
        """Whose token it is, in their own workspace; ``None`` where it is not the issuer's.

        Raises:
            NotAuthenticatedError: it is not valid, or no longer, or its user has no access any more.
            IssuerUnavailableError: the issuer's keys cannot be fetched.
            RegistrationClosedError: its user has no account, and may not have one.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is None or known.until <= self._now():
            if unverified_issuer(token) != self._issuer.url:
                return None
            known = await self._verified(token)
            self._known[digest] = known
            self._known.move_to_end(digest)
            if len(self._known) > KNOWN_AT_MOST:
                self._known.popitem(last=False)
        role = await self._standing.standing(known.user_id, known.workspace_id)
        if role is None:
            self._known.pop(digest, None)
            raise NotAuthenticatedError(
                "The token's user is disabled, or does not belong to the workspace any more.",
                fix="Ask the server's operator.",
            )
        granted = SCOPES_OF_ROLE[role]
        return Actor(
            user_id=known.user_id,
            workspace_id=known.workspace_id,
            scopes=known.scopes & granted,
            attainable=granted,
            client=known.client,
        )

    async def _verified(self, token: str) -> _Known:
        claims = await verified_claims(token, issuer=self._issuer, audience=self._audience)
        kind = jwt.get_unverified_header(token).get("typ")
        if kind is not None and str(kind).lower() not in TOKEN_TYPES:
            raise NotAuthenticatedError(
                f"The token is of the kind {kind!r:.40}.", fix="Send an access token of the issuer."
            )
        if "cnf" in claims:  # RFC 9449 (7.2), RFC 8705 (3): holding it proves nothing
            raise NotAuthenticatedError(
                "The token is bound to a key (cnf), of which no proof is taken here.",
                fix="Ask the issuer for a plain bearer token.",
            )
        client = client_of(claims, self._issuer.url)
        user = await self._users.user(
            person_of_claims(self._issuer.url, claims), may_register=self._may_register, client=client
        )
        membership = await self._logins.membership(user.id)
        return _Known(
            user_id=user.id,
            workspace_id=membership.workspace_id,
            scopes=scopes_of(claims, prefix=self._scope_prefix),
            client=client,
            until=min(self._now() + KNOWN_SECONDS, claims["exp"]),
        )

    def _now(self) -> float:
        return self._issuer.clock.now().timestamp()


def scopes_of(claims: Claims, *, prefix: str) -> Scopes:
    """The scopes of ours that a token grants, in ``scope`` (RFC 9068) or ``scp``; others are ignored."""
    named: list[str] = []
    for claim in ("scope", "scp"):
        value: Any = claims.get(claim)
        if isinstance(value, str):
            named += value.split()
        elif isinstance(value, list):
            named += [each for each in value if isinstance(each, str)]
    found: set[Scope] = set()
    for name in named:
        if name.startswith(prefix):
            found |= _known_scopes(name.removeprefix(prefix))
    return frozenset(found)


def client_of(claims: Claims, issuer: str) -> str:
    """The client of a token, as the audit log names it."""
    client = next((each for name in ("client_id", "azp") if isinstance(each := claims.get(name), str)), "a client")
    return f"{shown_name(client)[:MAX_CLIENT_LENGTH]} of {urlsplit(issuer).netloc}"


def _known_scopes(name: str) -> Scopes:
    try:
        return scopes_in([name])
    except InvalidArgumentsError:
        return frozenset()
