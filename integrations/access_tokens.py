"""Access tokens of OAuth 2 (RFC 6749): fetched when one is needed, kept in memory until they expire."""

from __future__ import annotations

import asyncio
import base64
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit
from weakref import WeakValueDictionary

import orjson

from integrations.scrubbing import Scrubber
from workflow.credential_forms import OAuth2Credential
from workflow.credentials import OpenCredential, Vault
from workflow.errors import OutboundError
from workflow.ports import Clock, HttpClient, HttpRequest, HttpResponse

TOKENS_KEPT = 1_000
EARLY = timedelta(seconds=30)
"""How long before its end a token is not used any more: the request takes time, and clocks differ."""
USUAL_SECONDS = 300
"""How long a token is kept whose end nobody tells. One that ends sooner is replaced when it is refused."""
LONGEST_SECONDS = 30 * 86_400

_ERROR = re.compile(r"[a-z_]{1,60}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


@dataclass(slots=True, frozen=True)
class _Kept:
    revision: str
    token: str
    until: datetime

    def __repr__(self) -> str:
        return f"_Kept(until={self.until})"


class AccessTokens:
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
        if answer.status == 400 and form.refresh_token is not None and "invalid_grant" in _error_in(answer):
            # Another process may have used this refresh token and kept the next one.
            opened = await self._vault.open(opened.ref)
            newer = _oauth2(opened)
            if newer.refresh_token != form.refresh_token:
                form, answer = newer, await self._asked(newer, timeout_seconds)
        content = _content(answer, opened, form)
        now = self._clock.now()
        seconds = _seconds(content.get("expires_in"))
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
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        secret = form.client_secret.get_secret_value() if form.client_secret is not None else None
        if secret is not None and form.client_authentication == "basic":
            # RFC 6749, 2.3.1: both parts are encoded like form fields first.
            pair = f"{quote_plus(form.client_id)}:{quote_plus(secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields["client_id"] = form.client_id
            if secret is not None:
                fields["client_secret"] = secret
        request = HttpRequest(
            method="POST",
            url=form.token_url,
            headers=headers,
            body=urlencode(fields).encode(),
            timeout_seconds=timeout_seconds,
            follow_redirects=False,
        )
        try:
            return await self._http.send(request)
        except OutboundError as error:
            raise Scrubber(form.never_shown()).in_error(error) from None


def _oauth2(opened: OpenCredential) -> OAuth2Credential:
    if not isinstance(opened.form, OAuth2Credential):
        raise TypeError(f"credential {opened.id} is of kind {opened.form.kind}")
    return opened.form


def _json(answer: HttpResponse) -> dict[str, Any]:
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _error_in(answer: HttpResponse) -> str:
    """OAuth's code of what is wrong, or nothing. What else a token endpoint says is not shown: it may hold anything."""
    error = _json(answer).get("error")
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else ""


def _content(answer: HttpResponse, opened: OpenCredential, form: OAuth2Credential) -> dict[str, Any]:
    """The answer, which has an access token.

    Raises:
        OutboundError: it has none.
    """
    content, why = _json(answer), ""
    token, kind = content.get("access_token"), content.get("token_type", "bearer")
    if answer.status != 200:
        why = f"answered {answer.status} {_error_in(answer)}".rstrip()
    elif not isinstance(token, str) or not _TOKEN.fullmatch(token):
        why = "answered without an access token"
    elif not isinstance(kind, str) or kind.lower() != "bearer":
        why = "gave a token that is not a bearer token"
    if not why:
        return content
    raise OutboundError(
        f"No access token for the credential {opened.ref.name!r}: {urlsplit(form.token_url).hostname} {why}.",
        code="token_refused",
        transient=answer.status >= 500 or answer.status in (408, 429),
        fix="See whether the client and its grant are still good there; then replace the credential.",
    )


def _seconds(given: Any) -> float:
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        return USUAL_SECONDS
    return min(seconds, LONGEST_SECONDS) if seconds > 0 else USUAL_SECONDS
