"""Access tokens of what users have granted: as they are stored, refreshed before they end or when they are refused.

However many ask at once, in however many processes, one request refreshes: many servers take a refresh token once, and
end the whole grant when they see it again.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, Protocol
from weakref import WeakValueDictionary

from integrations.token_endpoint import TokenClient, error_in, post_form, seconds_in, token_in
from workflow.credential_forms import GrantCredential
from workflow.credentials import CredentialRef, OpenCredential, Vault
from workflow.errors import OutboundError
from workflow.ports import Clock, HttpClient

EARLY = timedelta(seconds=30)
"""How long before its end a token is not used any more: the request takes time, and clocks differ."""
CLAIM = timedelta(seconds=60)
"""After which another process refreshes, should the one with the claim have been killed."""
LOOK_AGAIN_SECONDS = 0.2


class RefreshClaims(Protocol):
    """Who refreshes a grant, of all processes; see :class:`workflow.connections.ConnectionStore`."""

    async def claim_refresh(self, credential: CredentialRef, *, now: datetime, until: datetime) -> bool:
        """Claim the refreshing for this process; false where another one has the claim."""
        ...

    async def release_refresh(self, credential: CredentialRef) -> None:
        """Release the claim."""
        ...


class GrantTokens:
    """Gives out the access tokens of ``grant`` credentials."""

    def __init__(self, *, http: HttpClient, vault: Vault, claims: RefreshClaims, clock: Clock) -> None:
        self._http = http
        self._vault = vault
        self._claims = claims
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def token(
        self, opened: OpenCredential, *, timeout_seconds: float, refused: str | None = None, anew: bool = False
    ) -> str:
        """A token for the credential, another one than was ``refused``; ``anew`` fetches one in any case.

        Raises:
            OutboundError: there is none, code ``token_refused`` or what fetching it failed with.
        """
        if anew and refused is None:
            refused = _grant(opened).access_token.get_secret_value()
        if self._is_good(_grant(opened), refused):
            return _grant(opened).access_token.get_secret_value()
        lock = self._locks.setdefault(opened.id, asyncio.Lock())
        try:
            async with asyncio.timeout(timeout_seconds), lock:
                return (await self._refreshed(opened.ref, refused, timeout_seconds)).access_token.get_secret_value()
        except TimeoutError:
            raise OutboundError(
                f"Refreshing the credential {opened.ref.name!r} took longer than {timeout_seconds:g} s.",
                code="timeout",
                transient=True,
                fix="Look into why the authorization server is slow; it is tried again with the next call.",
            ) from None

    async def _refreshed(self, ref: CredentialRef, refused: str | None, timeout_seconds: float) -> GrantCredential:
        """The grant with a good token, refreshed by this task or by the one with the claim."""
        while True:
            opened = await self._vault.open(ref)
            form = _grant(opened)
            if self._is_good(form, refused):
                return form
            if form.refresh_token is None:
                raise _over(ref, "its access token has ended, and there is nothing to refresh it with")
            now = self._clock.now()
            if await self._claims.claim_refresh(ref, now=now, until=now + CLAIM):
                try:
                    # The task or process that had the claim before may have refreshed it since it was read.
                    opened = await self._vault.open(ref)
                    if self._is_good(_grant(opened), refused):
                        return _grant(opened)
                    return await self._refresh(opened, timeout_seconds)
                finally:
                    await self._claims.release_refresh(ref)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _refresh(self, opened: OpenCredential, timeout_seconds: float) -> GrantCredential:
        form = _grant(opened)
        if form.refresh_token is None:
            raise TypeError("there is nothing to refresh with")
        fields = {"grant_type": "refresh_token", "refresh_token": form.refresh_token.get_secret_value()}
        if form.resource is not None:
            fields["resource"] = form.resource  # RFC 8707
        answer = await post_form(
            self._http,
            form.token_url,
            client_of(form),
            fields,
            timeout_seconds=timeout_seconds,
            never_shown=form.never_shown(),
        )
        if answer.status in (400, 401) and error_in(answer) in ("invalid_grant", "invalid_client"):
            raise _over(opened.ref, f"the authorization server ended what was granted ({error_in(answer)})")
        content = token_in(answer, url=form.token_url, what=f"the credential {opened.ref.name!r}")
        changed = renewed(form, content, now=self._clock.now())
        # Stored before it is used: a rotated refresh token that is lost is a consent that is lost.
        await self._vault.put_back(opened, changed)
        return changed

    def _is_good(self, form: GrantCredential, refused: str | None) -> bool:
        if form.access_token.get_secret_value() == refused:
            return False
        return form.expires_at is None or self._clock.now() < datetime.fromisoformat(form.expires_at) - EARLY


def client_of(form: GrantCredential) -> TokenClient:
    """Us, as the grant's authorization server knows us."""
    secret = form.client_secret.get_secret_value() if form.client_secret is not None else None
    return TokenClient(id=form.client_id, secret=secret, authentication=form.client_authentication)


def renewed(form: GrantCredential, content: dict[str, Any], *, now: datetime) -> GrantCredential:
    """The grant with what a token endpoint has answered; what it does not say stays."""
    secrets = {**form.secrets(), "access_token": content["access_token"]}
    if isinstance(content.get("refresh_token"), str):
        secrets["refresh_token"] = content["refresh_token"]
    details = {**form.details(), "expires_at": expiry(content, now=now)}
    if isinstance(content.get("scope"), str):
        details["scope"] = content["scope"]
    return GrantCredential.model_validate({"kind": form.kind, **details, **secrets})


def expiry(content: dict[str, Any], *, now: datetime) -> str | None:
    """When the token ends, in ISO 8601; ``None`` where nobody says so: it is used until it is refused."""
    if content.get("expires_in") is None:
        return None
    # One that lives shorter than a minute is still used for half of its life.
    seconds = seconds_in(content["expires_in"])
    return (now + timedelta(seconds=max(seconds, EARLY.total_seconds() + seconds / 2))).isoformat()


def _grant(opened: OpenCredential) -> GrantCredential:
    if not isinstance(opened.form, GrantCredential):
        raise TypeError(f"credential {opened.id} is of kind {opened.form.kind}")
    return opened.form


def _over(ref: CredentialRef, why: str) -> OutboundError:
    return OutboundError(
        f"No access token for the credential {ref.name!r}: {why}.",
        code="token_refused",
        transient=False,
        fix="Authorize the connection anew: connect_integration, or POST /api/integrations/{name}/authorize.",
    )
