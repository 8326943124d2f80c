"""Access tokens of OAuth 2 (RFC 6749): fetched when one is needed, kept in memory until they expire."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from integrations.token_endpoint import TokenClient, error_in, post_form, seconds_in, token_in
from workflow.credential_forms import OAuth2Credential
from workflow.credentials import OpenCredential, Vault
from workflow.ports import Clock, HttpClient, HttpResponse

TOKENS_KEPT = 1_000
EARLY = timedelta(seconds=30)
"""How long before its end a token is not used any more: the request takes time, and clocks differ."""


@dataclass(slots=True, frozen=True)
class _Kept:
    revision: str
    token: str
    until: datetime

    def __repr__(self) -> str:
        return f"_Kept(until={self.until})"


class CredentialTokens:
    """Gives out access tokens; however many ask at once for the same, one request fetches it."""

    def __init__(self, *, http: HttpClient, vault: Vault, clock: Clock) -> None:
        self._http = http
        self._vault = vault
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def token(
        self, opened: OpenCredential, *, timeout_seconds: float, refused: str | None = None, anew: bool = False
    ) -> str:
        """A token for the credential, another one than was ``refused``; ``anew`` fetches one in any case.

        Raises:
            OutboundError: there is none, code ``token_refused`` or what fetching it failed with.
        """
        lock = self._locks.setdefault(opened.id, asyncio.Lock())
        async with lock:
            kept = self._kept.get(opened.id)
            if (
                kept is not None
                and not anew
                and kept.revision == opened.revision
                and kept.token != refused
                and self._clock.now() < kept.until
            ):
                return kept.token
            self._kept.pop(opened.id, None)
            kept = await self._fetched(opened, timeout_seconds)
            self._kept[opened.id] = kept
            if len(self._kept) > TOKENS_KEPT:
                self._kept.popitem(last=False)
            return kept.token

    async def _fetched(self, opened: OpenCredential, timeout_seconds: float) -> _Kept:
        form = _oauth2(opened)
        answer = await self._asked(form, timeout_seconds)
        if answer.status == 400 and form.refresh_token is not None and error_in(answer) == "invalid_grant":
            # Another process may have used this refresh token and kept the next one.
            opened = await self._vault.open(opened.ref)
            newer = _oauth2(opened)
            if newer.refresh_token != form.refresh_token:
                form, answer = newer, await self._asked(newer, timeout_seconds)
        content = token_in(answer, url=form.token_url, what=f"the credential {opened.ref.name!r}")
        now = self._clock.now()
        seconds = seconds_in(content.get("expires_in"))
        refresh_token = content.get("refresh_token")
        if form.grant == "refresh_token" and isinstance(refresh_token, str) and refresh_token not in form.never_shown():
            kept = {**form.secrets(), "refresh_token": refresh_token}
            changed = OAuth2Credential.model_validate({"kind": form.kind, **form.details(), **kept})
            await self._vault.put_back(opened, changed)
        until = now + max(timedelta(seconds=seconds) - EARLY, timedelta(seconds=seconds / 2))
        return _Kept(opened.revision, content["access_token"], until)

    async def _asked(self, form: OAuth2Credential, timeout_seconds: float) -> HttpResponse:
        fields: dict[str, str] = {"grant_type": form.grant}
        fields |= {name: value for name in ("scope", "audience") if (value := getattr(form, name)) is not None}
        if form.refresh_token is not None:
            fields["refresh_token"] = form.refresh_token.get_secret_value()
        secret = form.client_secret.get_secret_value() if form.client_secret is not None else None
        client = TokenClient(id=form.client_id, secret=secret, authentication=form.client_authentication)
        return await post_form(
            self._http,
            form.token_url,
            client,
            fields,
            timeout_seconds=timeout_seconds,
            never_shown=form.never_shown(),
        )


def _oauth2(opened: OpenCredential) -> OAuth2Credential:
    if not isinstance(opened.form, OAuth2Credential):
        raise TypeError(f"credential {opened.id} is of kind {opened.form.kind}")
    return opened.form
