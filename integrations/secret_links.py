"""One-time links to the page where a person enters a secret: made for agents that need one and must not see it.

A link's token says what it is for and is signed; opening it changes nothing, however often. It is used up when a secret
was stored by it. It is stale when what it would replace has been replaced since.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from integrations.connections import Connected, Connections
from integrations.credentials import Credentials
from integrations.sources import Sources
from workflow.connections import Connection, ConnectionNotFoundError
from workflow.credentials import CredentialNotFoundError, CredentialRef, StoredCredential, Vault
from workflow.errors import JobsprintError
from workflow.identity import Actor, Scope
from workflow.messages import utc_text
from workflow.ports import Clock, NewId
from workflow.redaction import RESUME_TOKEN
from workflow.secret_links import SecretLink, SecretNeed, UsedLinks

LIFETIME = timedelta(hours=1)
PATH = "/secrets/enter"
MANAGES = frozenset({Scope.INTEGRATIONS_WRITE})
ENTERED_KINDS = ("bearer", "header", "basic", "oauth2", "address", "database", "signature")
"""Kinds of credentials that a person can enter. What is granted by consent is renewed by consent."""
_SIGNATURE_LENGTH = 43
"""Characters of SHA-256 in base64 without padding."""


class SecretLinkError(Exception):
    """The link is good for nothing (any more); the text is for the person at the browser."""

    def __init__(self, reason: Literal["bad", "expired", "stale", "used"], message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Entered(NamedTuple):
    """What has become of a secret that was entered; ``connected`` where it is a connection's, and the ``problem`` that
    this still has."""

    stored: StoredCredential
    connected: Connected | None = None
    problem: JobsprintError | None = None


class SecretLinks:
    """Makes links and stores what is entered by them. ``base_url`` is ``None`` where nothing would serve the page."""

    def __init__(
        self,
        *,
        connections: Connections,
        sources: Sources,
        credentials: Credentials,
        vault: Vault,
        used: UsedLinks,
        key: bytes,
        clock: Clock,
        new_id: NewId,
        base_url: str | None,
    ) -> None:
        self._connections = connections
        self._sources = sources
        self._credentials = credentials
        self._vault = vault
        self._used = used
        self._key = key
        self._clock = clock
        self._new_id = new_id
        self._base_url = base_url

    async def url(self, actor: Actor, need: SecretNeed) -> str | None:
        """The page to enter the secret on; ``None`` where nothing serves it, or the actor may not manage credentials.

        Raises:
            ConnectionNotFoundError: the need is of a connection that there is not.
        """
        if self._base_url is None or not actor.scopes >= MANAGES:
            return None
        link = await self._link(actor, need)
        await self._used.forget(expired_before=self._clock.now())
        return None if link is None else f"{self._base_url}{PATH}?token={self._token(link)}"

    async def again(self, actor: Actor, link: SecretLink) -> str | None:
        """Another link for the same, for who has just used that one and was refused by the other side."""
        need = SecretNeed(link.connection or link.credential, is_connection=link.connection is not None)
        try:
            return await self.url(actor, need)
        except ConnectionNotFoundError:
            return None

    async def opened(self, token: str) -> tuple[SecretLink, StoredCredential | None]:
        """What the link with this token is for, and what is kept now; it stays as good as it is.

        Raises:
            SecretLinkError: it is good for nothing.
        """
        link = self._read(token)
        used = await self._used.used(link)
        if used is not None:
            raise _used(used.used_at)
        if link.expires_at <= self._clock.now():
            raise SecretLinkError("expired", "This link has expired: it was good for an hour.")
        stored = await self._stored(link)
        if (None if stored is None else _revision(stored)) != link.revision:
            raise SecretLinkError("stale", "Somebody has entered this secret, or changed it, since the link was made.")
        return link, stored

    async def enter(self, actor: Actor, token: str, document: Mapping[str, Any]) -> Entered:
        """Store the secret. A document that does not fit leaves the link as good as it was.

        Raises:
            SecretLinkError: the link is good for nothing.
            InvalidArgumentsError: the document does not fit.
            JobsprintError: it could not be stored.
        """
        actor.require(MANAGES)
        link, stored = await self.opened(token)
        checked = self._credentials.checked(document)
        # Of two that send the same form at once, one stores its secret: the other finds the link used.
        if not await self._used.use(link, by=actor.user_id, at=self._clock.now()):
            raise _used(self._clock.now())
        try:
            if stored is None:
                kept = await self._credentials.create(actor, {**checked, "name": link.credential})
            else:
                kept = await self._credentials.replace(actor, link.credential, checked)
        except BaseException:
            await self._used.release(link)
            raise
        if link.connection is None:
            return Entered(kept)
        try:
            made = await self._connections.change(actor, link.connection, {"credential": link.credential})
        except JobsprintError as error:  # deleted or changed meanwhile: the secret is stored all the same
            return Entered(kept, problem=error)
        return Entered(kept, made, made.problem)

    async def _link(self, actor: Actor, need: SecretNeed) -> SecretLink | None:
        connection = await self._connections.get(actor, need.name) if need.is_connection else None
        credential = need.name if connection is None else connection.credential or await self._free_name(connection)
        link = SecretLink(
            id=self._new_id(),
            owner=actor.workspace_id,
            asked_by=actor.user_id,
            asked_through=actor.client,
            credential=credential,
            kind=need.kind if need.kind in ENTERED_KINDS else None,
            hosts=need.hosts,
            connection=None if connection is None else connection.name,
            revision=None,
            expires_at=(self._clock.now() + LIFETIME).replace(microsecond=0),
        )
        stored = await self._stored(link)
        if stored is not None:
            # What a consent has granted is no secret that a person knows.
            return None if stored.kind == "grant" else replace(link, kind=stored.kind, revision=_revision(stored))
        if connection is None:
            return link
        host = self._sources[connection.kind].host(connection.settings)
        return replace(link, kind=_kind_for(connection, host), hosts=() if host is None else (host,))

    async def _free_name(self, connection: Connection) -> str:
        """The connection's own name, unless a credential that is not its own has that."""
        names = {each.name for each in await self._vault.of_workspace(connection.owner)}
        return connection.name if connection.name not in names else f"{connection.name[:52]}-secret"

    async def _stored(self, link: SecretLink) -> StoredCredential | None:
        try:
            return await self._vault.get(CredentialRef(owner=link.owner, name=link.credential))
        except CredentialNotFoundError:
            return None

    def _token(self, link: SecretLink) -> str:
        """The signature comes first: the start of a token is recognised, and hidden wherever it is not meant to be."""
        told = [
            *(link.id, link.owner, link.asked_by, link.asked_through, link.credential, link.kind, list(link.hosts)),
            *(link.connection, link.revision, int(link.expires_at.timestamp())),
        ]
        written = _encoded(json.dumps(told, separators=(",", ":")).encode())
        return f"{RESUME_TOKEN}{self._signature(written)}{written}"

    def _read(self, token: str) -> SecretLink:
        body = token.removeprefix(RESUME_TOKEN)
        signature, written = body[:_SIGNATURE_LENGTH], body[_SIGNATURE_LENGTH:]
        if not hmac.compare_digest(self._signature(written).encode(), signature.encode("utf-8", "surrogatepass")):
            raise SecretLinkError("bad", "This link was not made by this server, or was changed or cut on its way.")
        try:
            told = json.loads(base64.urlsafe_b64decode(written + "=" * (-len(written) % 4)))
        except (binascii.Error, ValueError) as error:  # the signature says that we wrote it
            raise ValueError("a signed token cannot be read") from error
        link_id, owner, asked_by, asked_through, credential, kind, hosts, connection, revision, expires = told
        return SecretLink(
            id=link_id,
            owner=owner,
            asked_by=asked_by,
            asked_through=asked_through,
            credential=credential,
            kind=kind,
            hosts=tuple(hosts),
            connection=connection,
            revision=revision,
            expires_at=datetime.fromtimestamp(expires, UTC),
        )

    def _signature(self, written: str) -> str:
        signed = b"secret-link:" + written.encode("utf-8", "surrogatepass")
        return _encoded(hmac.new(self._key, signed, hashlib.sha256).digest())


def _kind_for(connection: Connection, host: str | None) -> str | None:
    """The kind of credential that the connection takes, where there is one only."""
    if host is not None and connection.settings.get("connector") != "slack_webhook":
        return "bearer"
    return {"slack_webhook": "address", "smtp": "basic"}.get(str(connection.settings.get("connector")))


def _revision(stored: StoredCredential) -> str:
    return f"{stored.id}@{stored.updated_at.isoformat()}"


def _used(at: datetime) -> SecretLinkError:
    return SecretLinkError("used", f"A secret was entered by this link at {utc_text(at)}. Each link is good for one.")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
