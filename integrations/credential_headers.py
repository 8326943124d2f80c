"""What a credential is on the wire: the headers that carry it, and where they may go."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import httpx2

from integrations.access_tokens import CredentialTokens
from integrations.oauth.grants import GrantTokens, RefreshClaims
from integrations.scrubbing import Scrubber
from workflow.credential_forms import (
    AddressCredential,
    BasicCredential,
    BearerCredential,
    GrantCredential,
    HeaderCredential,
    OAuth2Credential,
    may_go_to,
)
from workflow.credentials import CredentialNotUsableError, OpenCredential, Vault
from workflow.errors import OutboundError
from workflow.ports import Clock, HttpClient


class TokenSource(Protocol):
    """Gives out access tokens."""

    async def token(
        self, opened: OpenCredential, *, timeout_seconds: float, refused: str | None = None, anew: bool = False
    ) -> str:
        """A token for the credential, another one than was ``refused``; ``anew`` fetches one in any case.

        Raises:
            OutboundError: there is none.
        """
        ...


@dataclass(slots=True, frozen=True, repr=False)
class CredentialHeader:
    """What goes out with a request for its credential; ``token`` is there where it was fetched for this."""

    headers: Mapping[str, str]
    scrubber: Scrubber
    token: str | None = None


class CredentialHeaders:
    """Makes headers of credentials. ``clients`` has tokens of OAuth clients, ``grants`` those that users granted."""

    def __init__(self, *, clients: TokenSource, grants: TokenSource) -> None:
        self._clients = clients
        self._grants = grants

    @classmethod
    def over(cls, http: HttpClient, *, vault: Vault, claims: RefreshClaims, clock: Clock) -> CredentialHeaders:
        """Headers whose tokens are fetched by ``http``."""
        return cls(
            clients=CredentialTokens(http=http, vault=vault, clock=clock),
            grants=GrantTokens(http=http, vault=vault, claims=claims, clock=clock),
        )

    async def made(
        self, opened: OpenCredential, *, timeout_seconds: float, refused: str | None = None
    ) -> CredentialHeader:
        """The headers for the credential; with another token than was ``refused``.

        Raises:
            OutboundError: there is no token.
        """
        form, hidden = opened.form, list(opened.form.never_shown())
        if isinstance(form, HeaderCredential):
            return CredentialHeader({form.header.lower(): form.value.get_secret_value()}, Scrubber(hidden))
        if isinstance(form, BasicCredential):
            pair = f"{form.username.get_secret_value()}:{form.password.get_secret_value()}"
            encoded = base64.b64encode(pair.encode()).decode()
            return CredentialHeader({"authorization": f"Basic {encoded}"}, Scrubber([*hidden, encoded, pair]))
        if isinstance(form, BearerCredential):
            return CredentialHeader({"authorization": f"Bearer {form.token.get_secret_value()}"}, Scrubber(hidden))
        if isinstance(form, AddressCredential):
            return CredentialHeader({}, Scrubber(hidden))
        tokens = self._tokens(opened)
        if tokens is not None:
            token = await tokens.token(opened, timeout_seconds=timeout_seconds, refused=refused)
            return CredentialHeader({"authorization": f"Bearer {token}"}, Scrubber([*hidden, token]), token)
        raise TypeError(f"nothing is sent for the kind {form.kind}")

    async def check(self, opened: OpenCredential, *, timeout_seconds: float) -> None:
        """Whether there is something to send: for OAuth 2, fetches a new token.

        Raises:
            OutboundError: there is not.
        """
        tokens = self._tokens(opened)
        if tokens is not None:
            await tokens.token(opened, timeout_seconds=timeout_seconds, anew=True)

    def _tokens(self, opened: OpenCredential) -> TokenSource | None:
        if isinstance(opened.form, OAuth2Credential):
            return self._clients
        return self._grants if isinstance(opened.form, GrantCredential) else None


def require_way(opened: OpenCredential, url: str) -> None:
    """Let a credential pass that can be sent, and there.

    Raises:
        CredentialNotUsableError: no request can carry it.
        OutboundError: it may not go there, code ``credential_host_not_allowed``.
    """
    hosts = ", ".join(opened.form.hosts())
    if not hosts:
        raise CredentialNotUsableError(
            opened.ref.name,
            f"it is of kind {opened.form.kind}, which no HTTP request can carry",
            fix="Name one of kind header, basic, bearer or oauth2.",
        )
    if may_be_sent(opened, url):
        return
    raise OutboundError(
        f"The credential {opened.ref.name!r} may not be sent to {url.partition('?')[0]!r:.200}; its hosts are {hosts}.",
        code="credential_host_not_allowed",
        transient=False,
        fix="Request an https:// address of one of its hosts. A user who has the secret can change them with "
        "PUT /api/credentials/{name}.",
    )


def may_be_sent(opened: OpenCredential, url: str) -> bool:
    """Whether the credential may be sent there; read by the same parser as the one that sends it."""
    try:
        there = httpx2.URL(url)
        # A user in the address would be sent in place of the credential.
        return not there.userinfo and may_go_to(
            opened.form.hosts(), scheme=there.scheme, host=there.raw_host.decode("ascii"), port=there.port
        )
    except (httpx2.InvalidURL, ValueError):
        return False
