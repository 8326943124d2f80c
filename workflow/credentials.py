"""Credentials: what a workspace keeps secret and its workflows use by name, and the ports to where they are kept.

A definition holds a credential's name, never what is in it. Only what sends a request opens one, just before it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from workflow.credential_forms import NAME, CredentialForm
from workflow.errors import ErrorKind, JobsprintError
from workflow.findings import did_you_mean, listed, nearest
from workflow.items import JsonObject
from workflow.secret_links import SecretNeed

MOST_CREDENTIALS = 500
"""How many a workspace may have."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CredentialRef:
    """A credential as requests and definitions name it: in the workspace ``owner``."""

    owner: str
    name: str


@dataclass(slots=True, frozen=True, kw_only=True)
class StoredCredential:
    """A credential without its secret: all that is ever shown of it. ``details`` are its form's that are no secret."""

    id: str
    owner: str
    name: str
    kind: str
    details: JsonObject
    created_by: str
    created_at: datetime
    updated_at: datetime

    @property
    def ref(self) -> CredentialRef:
        """What names it."""
        return CredentialRef(owner=self.owner, name=self.name)


@dataclass(slots=True, frozen=True, kw_only=True)
class OpenCredential:
    """A credential with its secret, for as long as it takes to send a request.

    ``revision`` differs whenever somebody has changed it.
    """

    id: str
    ref: CredentialRef
    form: CredentialForm
    revision: str


class CredentialNotFoundError(JobsprintError):
    """The workspace has no credential of this name."""

    code = "credential_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, name: str, *, known: Sequence[str] = ()) -> None:
        made = f"connect_integration with do: secret and name: {name:.100} gives a link where a person enters it"
        super().__init__(
            f"The workspace has no credential {name!r:.100}.{did_you_mean(nearest(name, known))}",
            fix=f"Name one that there is: {listed(known)}. Or have it made: {made}."
            if known
            else f"Have it made: {made}; it must not go through a model.",
        )
        if NAME.fullmatch(name) and nearest(name, known) is None:
            self.secret_need = SecretNeed(name)


class CredentialNotUsableError(JobsprintError):
    """A credential is there and cannot be used: its key is missing, it was tampered with, or is of the wrong kind."""

    code = "credential_not_usable"
    kind = ErrorKind.CONFLICT

    def __init__(self, name: str, why: str, *, fix: str) -> None:
        super().__init__(f"The credential {name!r} cannot be used: {why}.", fix=fix)


class CredentialNameTakenError(JobsprintError):
    """The workspace has another credential of this name."""

    code = "credential_name_taken"
    kind = ErrorKind.CONFLICT

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The workspace has a credential {name!r} already; nothing was stored.",
            pointer="/name",
            fix="Choose another name, or replace that one with PUT /api/credentials/{name}.",
        )


class TooManyCredentialsError(JobsprintError):
    """The workspace is at its bound of credentials."""

    code = "too_many_credentials"
    kind = ErrorKind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            f"The workspace has {MOST_CREDENTIALS} credentials, which is all it may have; nothing was stored.",
            fix="Delete those that nothing uses.",
        )


class VaultKeyError(JobsprintError):
    """The keys that credentials are encrypted with cannot be read or made."""

    code = "bad_vault_key"
    kind = ErrorKind.INVALID


class CredentialList(Protocol):
    """What credentials a workspace has."""

    async def of_workspace(self, owner: str) -> Sequence[StoredCredential]:
        """All of them by name."""
        ...


class Vault(CredentialList, Protocol):
    """Stores credentials, each encrypted. Every method sees only those of the given workspace."""

    async def create(self, ref: CredentialRef, form: CredentialForm, *, created_by: str) -> StoredCredential:
        """Keep a new one.

        Raises:
            CredentialNameTakenError: there is one of this name.
            TooManyCredentialsError: there are too many.
        """
        ...

    async def get(self, ref: CredentialRef) -> StoredCredential:
        """One, without its secret.

        Raises:
            CredentialNotFoundError: there is none of this name.
        """
        ...

    async def open(self, ref: CredentialRef) -> OpenCredential:
        """One, with its secret.

        Raises:
            CredentialNotFoundError: there is none of this name.
            CredentialNotUsableError: it cannot be decrypted.
        """
        ...

    async def replace(self, ref: CredentialRef, form: CredentialForm) -> StoredCredential:
        """Keep something else under the name; it may be of another kind.

        Raises:
            CredentialNotFoundError: there is none of this name.
        """
        ...

    async def put_back(self, opened: OpenCredential, form: CredentialForm) -> None:
        """Keep ``form`` as what the other side made of it, unless somebody has changed the credential since it was
        opened; its ``revision`` stays."""
        ...

    async def rename(self, ref: CredentialRef, name: str) -> StoredCredential:
        """Give it another name.

        Raises:
            CredentialNotFoundError: there is none of this name.
            CredentialNameTakenError: there is one of the new name.
        """
        ...

    async def delete(self, ref: CredentialRef) -> None:
        """Forget it.

        Raises:
            CredentialNotFoundError: there is none of this name.
        """
        ...
