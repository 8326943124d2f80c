"""Credentials put into requests at the last moment, and taken out of the answers at the first."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import httpx2

from integrations.access_tokens import AccessTokens
from integrations.outbound_http import MAX_REDIRECTS
from integrations.redirects import redirected
from integrations.scrubbing import Scrubber
from workflow.credential_forms import (
    BasicCredential,
    BearerCredential,
    HeaderCredential,
    OAuth2Credential,
    may_go_to,
)
from workflow.credentials import CredentialNotUsableError, OpenCredential, Vault
from workflow.errors import OutboundError
from workflow.ports import Clock, HttpClient, HttpRequest, HttpResponse

UNAUTHORIZED = 401


@dataclass(slots=True, frozen=True, repr=False)
class _Sent:
    """What goes out with a request for its credential; ``token`` is there where it was fetched for this."""

    headers: Mapping[str, str]
    scrubber: Scrubber
    token: str | None = None


class CredentialHttpClient:
    """An :class:`~workflow.ports.HttpClient` that sends each request with the credential that it names.

    A credential goes to its own hosts only. Redirects are followed here, so that each address is looked at: one that
    is not among the hosts is asked without the credential. ``monotonic`` gives seconds that never go back.
    """

    def __init__(
        self, inner: HttpClient, *, vault: Vault, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._vault = vault
        self._tokens = AccessTokens(http=inner, vault=vault, clock=clock)
        self._monotonic = monotonic

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send; see the port.

        Raises:
            OutboundError: also with the codes ``credential_host_not_allowed`` and ``token_refused``.
            CredentialNotFoundError, CredentialNotUsableError: see the vault.
        """
        if request.credential is None:
            return await self._inner.send(request)
        opened = await self._vault.open(request.credential)
        _require_way(opened, request.url)
        deadline = self._monotonic() + request.timeout_seconds
        return await self._exchange(opened, replace(request, credential=None), deadline)

    async def check(self, opened: OpenCredential, *, timeout_seconds: float) -> None:
        """Whether there is something to send: for OAuth 2, fetches a new token.

        Raises:
            OutboundError: there is not.
        """
        if isinstance(opened.form, OAuth2Credential):
            await self._tokens.token(opened, timeout_seconds=timeout_seconds, anew=True)

    async def _exchange(self, opened: OpenCredential, request: HttpRequest, deadline: float) -> HttpResponse:
        # The request itself never has the credential in it, so that no redirect can take it along.
        sent = await self._made(opened, request.timeout_seconds)
        may_renew = sent.token is not None
        for _ in range(MAX_REDIRECTS + 1):
            is_ours = _is_allowed(opened, request.url)
            response = await self._answer(request, sent, is_ours, deadline)
            if response.status == UNAUTHORIZED and is_ours and may_renew:
                may_renew = False
                sent = await self._made(opened, request.timeout_seconds, refused=sent.token)
                response = await self._answer(request, sent, is_ours, deadline)
            scrubbed = sent.scrubber.in_response(response)
            following = redirected(request, response) if request.follow_redirects else None
            if following is not None and not _is_allowed(opened, following.url):
                # Where the credential may not go, it may not go in the address either.
                following = redirected(request, scrubbed)
            if following is None:
                return scrubbed
            request = following
        raise OutboundError(
            f"{request.method} to a host of the credential {opened.ref.name!r} redirected more than "
            f"{MAX_REDIRECTS} times.",
            code="too_many_redirects",
            transient=False,
            fix="Request the address at which the redirects end.",
        )

    async def _answer(self, request: HttpRequest, sent: _Sent, is_ours: bool, deadline: float) -> HttpResponse:
        """The answer to this one request, not scrubbed yet."""
        headers = dict(request.headers)
        if is_ours:
            headers = {name: value for name, value in headers.items() if name.lower() not in sent.headers}
            headers |= sent.headers
        left = min(request.timeout_seconds, max(round(deadline - self._monotonic(), 1), 0.1))
        try:
            return await self._inner.send(
                replace(request, headers=headers, follow_redirects=False, timeout_seconds=left)
            )
        except OutboundError as error:
            raise sent.scrubber.in_error(error) from None

    async def _made(self, opened: OpenCredential, timeout_seconds: float, refused: str | None = None) -> _Sent:
        form, hidden = opened.form, list(opened.form.never_shown())
        if isinstance(form, HeaderCredential):
            return _Sent({form.header.lower(): form.value.get_secret_value()}, Scrubber(hidden))
        if isinstance(form, BasicCredential):
            pair = f"{form.username.get_secret_value()}:{form.password.get_secret_value()}"
            encoded = base64.b64encode(pair.encode()).decode()
            return _Sent({"authorization": f"Basic {encoded}"}, Scrubber([*hidden, encoded, pair]))
        if isinstance(form, BearerCredential):
            return _Sent({"authorization": f"Bearer {form.token.get_secret_value()}"}, Scrubber(hidden))
        if isinstance(form, OAuth2Credential):
            token = await self._tokens.token(opened, timeout_seconds=timeout_seconds, refused=refused)
            return _Sent({"authorization": f"Bearer {token}"}, Scrubber([*hidden, token]), token)
        raise TypeError(f"nothing is sent for the kind {form.kind}")


def _require_way(opened: OpenCredential, url: str) -> None:
    """Let a credential pass that can be sent, and there."""
    hosts = ", ".join(opened.form.hosts())
    if not hosts:
        raise CredentialNotUsableError(
            opened.ref.name,
            f"it is of kind {opened.form.kind}, which no HTTP request can carry",
            fix="Name one of kind header, basic, bearer or oauth2.",
        )
    if _is_allowed(opened, url):
        return
    raise OutboundError(
        f"The credential {opened.ref.name!r} may not be sent to {url.partition('?')[0]!r:.200}; its hosts are {hosts}.",
        code="credential_host_not_allowed",
        transient=False,
        fix="Request an https:// address of one of its hosts. Whoever has the secret can change them with "
        "PUT /api/credentials/{name}.",
    )


def _is_allowed(opened: OpenCredential, url: str) -> bool:
    """Whether the credential may be sent there; read by the same parser as the one that sends it."""
    try:
        there = httpx2.URL(url)
        # A user in the address would be sent in place of the credential.
        return not there.userinfo and may_go_to(
            opened.form.hosts(), scheme=there.scheme, host=there.raw_host.decode("ascii"), port=there.port
        )
    except (httpx2.InvalidURL, ValueError):
        return False
