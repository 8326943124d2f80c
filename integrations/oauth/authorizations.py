"""A user's consent: begun with a link, given in a browser, and exchanged for tokens when the browser comes back."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from integrations.oauth.discovery import SECONDS, AuthorizationServer, Discovery
from integrations.oauth.grants import client_of, expiry
from integrations.oauth.registration import client_metadata, registered
from integrations.token_endpoint import TokenClient, post_form, token_in
from workflow.actions import ActionError
from workflow.connections import Connection, ConnectionStore, PendingAuthorization
from workflow.credential_forms import GrantCredential
from workflow.credentials import CredentialRef, Vault
from workflow.errors import JobsprintError, OutboundError
from workflow.identity import Actor
from workflow.ports import Clock, HttpClient

LIFETIME = timedelta(minutes=10)
CALLBACK_PATH = "/api/integrations/callback"
CONNECT_PATH = "/connect"
DOCUMENT_PATH = "/.well-known/jobsprint-client.json"


class Authorizations:
    """Implements :class:`integrations.connections.Authorizer`, and processes what the browser brings back."""

    def __init__(
        self, *, store: ConnectionStore, vault: Vault, http: HttpClient, clock: Clock, base_url: str | None
    ) -> None:
        self._store = store
        self._vault = vault
        self._http = http
        self._clock = clock
        self._base_url = base_url
        self._discovery = Discovery(http)

    async def begin(self, actor: Actor, connection: Connection) -> str:
        """The address on our side to open in a browser; see the port."""
        if self._base_url is None:
            raise ActionError(
                "This server is not reached over HTTP, so no browser could come back to it.",
                code="connection_unauthorized",
                fix="Serve over HTTP (jobsprint serve), or give the connection a token.",
            )
        url = connection.settings.get("url")
        if not isinstance(url, str):
            raise ActionError(
                f"A connection of kind {connection.kind} needs nobody's consent.",
                code="connection_unauthorized",
                fix="Give it a token or a credential, if it needs one.",
            )
        found = await self._discovery.of(url)
        redirect_uri, scopes = f"{self._base_url}{CALLBACK_PATH}", " ".join(found.scopes)
        document_url = f"{self._base_url}{DOCUMENT_PATH}" if self._base_url.startswith("https://") else None
        client = await registered(
            self._http,
            found.server,
            client_metadata(self._base_url, redirect_uri),
            document_url=document_url,
            scopes=scopes,
        )
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        query = {
            "response_type": "code",
            "client_id": client.id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
            "resource": found.resource,
            **({"scope": scopes} if scopes else {}),
        }
        mark = "&" if urlsplit(found.server.authorization_url).query else "?"
        now = self._clock.now()
        await self._store.forget_authorizations(expired_before=now)
        await self._store.begin_authorization(
            PendingAuthorization(
                state=state,
                owner=actor.workspace_id,
                connection_id=connection.id,
                user_id=actor.user_id,
                details={
                    "connection": connection.name,
                    "host": urlsplit(url).hostname,
                    "location": f"{found.server.authorization_url}{mark}{urlencode(query)}",
                    "redirect_uri": redirect_uri,
                    "resource": found.resource,
                    "scope": scopes,
                    "client_id": client.id,
                    "client_authentication": client.authentication,
                    "server": asdict(found.server),
                    "allowed_host": urlsplit(url).netloc.rpartition("@")[2],
                },
                secrets={"verifier": verifier, "client_secret": client.secret},
                expires_at=now + LIFETIME,
            )
        )
        return f"{self._base_url}{CONNECT_PATH}/{state}"

    async def waiting(self, state: str) -> PendingAuthorization | None:
        """The consent that waits for this link."""
        return await self._store.pending_authorization(state, now=self._clock.now())

    async def leave(self, state: str, browser: str) -> None:
        """A browser goes to the other side; only this one may come back."""
        await self._store.bind_authorization(state, _hash(browser))

    async def exchanged(
        self, query: Mapping[str, str], *, browser: str | None
    ) -> tuple[PendingAuthorization, GrantCredential]:
        """What the other side grants for what the browser has brought back. It can be brought once.

        Raises:
            ConsentError: nothing was granted, and why.
        """
        state = query.get("state", "")
        waiting = await self.waiting(state)
        if waiting is None:
            raise ConsentError("This link has been used, or is older than ten minutes.")
        if browser is None or waiting.browser is None or not secrets.compare_digest(_hash(browser), waiting.browser):
            raise ConsentError("This is not the browser in which the connection was begun.")
        pending = await self._store.take_authorization(state, now=self._clock.now())
        if pending is None:
            raise ConsentError("This link has been used.")
        server = AuthorizationServer(**pending.details["server"])
        if (server.sends_issuer or "iss" in query) and query.get("iss") != server.issuer:
            raise ConsentError("The answer comes from another server than the one that was asked.")  # RFC 9207
        if "code" not in query:
            said = query.get("error", "")
            denied = said == "access_denied"
            raise ConsentError("You did not allow it." if denied else "The other side refused.", denied=denied)
        return pending, await self._grant(pending, server, query["code"])

    async def revoke(self, connection: Connection) -> None:
        """Give back what was granted (RFC 7009), if that can be; see the port."""
        if connection.credential is None:
            return
        try:
            opened = await self._vault.open(CredentialRef(owner=connection.owner, name=connection.credential))
            form = opened.form
            if not isinstance(form, GrantCredential) or form.revocation_url is None:
                return
            secret = form.refresh_token or form.access_token
            await post_form(
                self._http,
                form.revocation_url,
                client_of(form),
                {"token": secret.get_secret_value()},
                timeout_seconds=SECONDS,
                never_shown=form.never_shown(),
            )
        except JobsprintError:
            # We forget it in any case; what it was good for ends there by itself.
            return

    async def _grant(self, pending: PendingAuthorization, server: AuthorizationServer, code: str) -> GrantCredential:
        details, kept = pending.details, pending.secrets
        client = TokenClient(
            id=details["client_id"], secret=kept["client_secret"], authentication=details["client_authentication"]
        )
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": details["redirect_uri"],
            "code_verifier": kept["verifier"],
            "resource": details["resource"],
        }
        never_shown = [code, *(str(each) for each in kept.values() if each is not None)]
        try:
            answer = await post_form(
                self._http, server.token_url, client, fields, timeout_seconds=SECONDS, never_shown=never_shown
            )
            content = token_in(answer, url=server.token_url, what=f"the connection {details['connection']!r}")
        except OutboundError as error:
            raise ConsentError(error.message) from error
        return GrantCredential.model_validate(
            _without_nothing(
                {
                    "kind": "grant",
                    "issuer": server.issuer,
                    "token_url": server.token_url,
                    "revocation_url": server.revocation_url,
                    "client_id": client.id,
                    "client_secret": client.secret,
                    "client_authentication": client.authentication,
                    "access_token": content["access_token"],
                    "refresh_token": content.get("refresh_token"),
                    "expires_at": expiry(content, now=self._clock.now()),
                    "scope": content.get("scope") or details["scope"] or None,
                    "resource": details["resource"],
                    "allowed_hosts": [details["allowed_host"]],
                }
            )
        )


class ConsentError(Exception):
    """Nothing was granted; the text is for the person at the browser."""

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _without_nothing(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
