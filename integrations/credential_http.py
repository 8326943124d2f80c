"""Credentials put into requests at the last moment, and taken out of the answers at the first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from integrations.credential_headers import CredentialHeader, CredentialHeaders, may_be_sent, require_way
from integrations.outbound_http import MAX_REDIRECTS
from integrations.redirects import redirected
from workflow.credential_forms import AddressCredential
from workflow.credentials import OpenCredential, Vault
from workflow.errors import OutboundError
from workflow.ports import HttpClient, HttpRequest, HttpResponse

UNAUTHORIZED = 401


class CredentialHttpClient:
    """An :class:`~workflow.ports.HttpClient` that sends each request with the credential that it names.

    A credential goes to its own hosts only. Redirects are followed here, so that each address is looked at: one that
    is not among the hosts is asked without the credential. ``monotonic`` gives seconds that never go back.
    """

    def __init__(
        self,
        inner: HttpClient,
        *,
        vault: Vault,
        headers: CredentialHeaders,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._vault = vault
        self._headers = headers
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
        if isinstance(opened.form, AddressCredential):
            request = replace(request, url=opened.form.url.get_secret_value(), follow_redirects=False)
        require_way(opened, request.url)
        deadline = self._monotonic() + request.timeout_seconds
        return await self._exchange(opened, replace(request, credential=None), deadline)

    async def check(self, opened: OpenCredential, *, timeout_seconds: float) -> None:
        """Whether there is something to send: for OAuth 2, fetches a new token.

        Raises:
            OutboundError: there is not.
        """
        await self._headers.check(opened, timeout_seconds=timeout_seconds)

    async def _exchange(self, opened: OpenCredential, request: HttpRequest, deadline: float) -> HttpResponse:
        # The request itself never has the credential in it, so that no redirect can take it along.
        sent = await self._headers.made(opened, timeout_seconds=request.timeout_seconds)
        may_renew = sent.token is not None
        for _ in range(MAX_REDIRECTS + 1):
            is_ours = may_be_sent(opened, request.url)
            response = await self._answer(request, sent, is_ours, deadline)
            if response.status == UNAUTHORIZED and is_ours and may_renew:
                may_renew = False
                sent = await self._headers.made(opened, timeout_seconds=request.timeout_seconds, refused=sent.token)
                response = await self._answer(request, sent, is_ours, deadline)
            scrubbed = sent.scrubber.in_response(response)
            following = redirected(request, response) if request.follow_redirects else None
            if following is not None and not may_be_sent(opened, following.url):
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

    async def _answer(
        self, request: HttpRequest, sent: CredentialHeader, is_ours: bool, deadline: float
    ) -> HttpResponse:
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
