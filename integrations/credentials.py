"""A workspace's credentials made, changed and tried; secrets go in here and never out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, Field

from integrations.credential_http import CredentialHttpClient
from workflow.audit import AuditLog
from workflow.credential_forms import (
    FORMS,
    NAME,
    AddressCredential,
    BasicCredential,
    BearerCredential,
    CredentialForm,
    DatabaseCredential,
    HeaderCredential,
    OAuth2Credential,
    SignatureCredential,
)
from workflow.credentials import CredentialRef, StoredCredential, Vault
from workflow.errors import InvalidArgumentsError, JobsprintError
from workflow.findings import listed
from workflow.identity import Actor
from workflow.schemas.model_findings import model_findings

CHECK_SECONDS = 15.0


class _Named(BaseModel):
    name: str = Field(pattern=f"^{NAME.pattern}$", description="By which workflows name it, for example crm.")


class NewHeaderCredential(HeaderCredential, _Named):
    """A header of any name, and the name that it is to have here."""


class NewBasicCredential(BasicCredential, _Named):
    """A user's name and password, and the name that they are to have here."""


class NewBearerCredential(BearerCredential, _Named):
    """A token, and the name that it is to have here."""


class NewOAuth2Credential(OAuth2Credential, _Named):
    """An OAuth 2 client, and the name that it is to have here."""


class NewAddressCredential(AddressCredential, _Named):
    """An address that is itself the secret, and the name that it is to have here."""


class NewDatabaseCredential(DatabaseCredential, _Named):
    """The URL of a database, and the name that it is to have here."""


class NewSignatureCredential(SignatureCredential, _Named):
    """A secret that webhooks are signed with, and the name that it is to have here."""


NEW_FORMS: Mapping[str, type[CredentialForm]] = MappingProxyType(
    {
        "header": NewHeaderCredential,
        "basic": NewBasicCredential,
        "bearer": NewBearerCredential,
        "oauth2": NewOAuth2Credential,
        "address": NewAddressCredential,
        "database": NewDatabaseCredential,
        "signature": NewSignatureCredential,
    }
)


class Credentials:
    """What may be done with the credentials of the actor's workspace. Rights are the edges' business."""

    def __init__(self, *, vault: Vault, http: CredentialHttpClient, audit: AuditLog) -> None:
        self._vault = vault
        self._http = http
        self._audit = audit

    async def all(self, actor: Actor) -> Sequence[StoredCredential]:
        """All of them by name."""
        return await self._vault.of_workspace(actor.workspace_id)

    async def get(self, actor: Actor, name: str) -> StoredCredential:
        """One.

        Raises:
            CredentialNotFoundError: there is none of this name.
        """
        return await self._vault.get(_ref(actor, name))

    async def create(self, actor: Actor, document: Any) -> StoredCredential:
        """Keep a new one: its name, kind, and what the form of the kind asks for.

        Raises:
            InvalidArgumentsError: the document is not that. Nothing of it is repeated.
            CredentialNameTakenError, TooManyCredentialsError: see the vault.
        """
        validated(NEW_FORMS[_kind_in(document)], document)
        name = document["name"]
        form = _form_in({member: value for member, value in document.items() if member != "name"})
        stored = await self._vault.create(_ref(actor, name), form, created_by=actor.user_id)
        await self._note(actor, "credential.created", stored)
        return stored

    async def replace(self, actor: Actor, name: str, document: Any) -> StoredCredential:
        """Replace it as a whole: to change where a secret may go, one has to send the secret.

        Raises:
            InvalidArgumentsError: the document does not fit its kind. Nothing of it is repeated.
            CredentialNotFoundError: there is none of this name.
        """
        stored = await self._vault.replace(_ref(actor, name), _form_in(document))
        await self._note(actor, "credential.replaced", stored)
        return stored

    def checked(self, document: Any) -> dict[str, Any]:
        """The document, if it is what the form of its kind asks for.

        Raises:
            InvalidArgumentsError: it is not. Nothing of it is repeated.
        """
        _form_in(document)
        return dict(document)

    async def rename(self, actor: Actor, name: str, new_name: str) -> StoredCredential:
        """Give it another name; workflows that use it have to be changed.

        Raises:
            CredentialNotFoundError: there is none of this name.
            CredentialNameTakenError: there is one of the new name.
        """
        stored = await self._vault.rename(_ref(actor, name), new_name)
        await self._note(actor, "credential.renamed", stored)
        return stored

    async def delete(self, actor: Actor, name: str) -> None:
        """Forget it; workflows that use it fail from now on.

        Raises:
            CredentialNotFoundError: there is none of this name.
        """
        stored = await self._vault.get(_ref(actor, name))
        await self._vault.delete(stored.ref)
        await self._note(actor, "credential.deleted", stored)

    async def check(self, actor: Actor, name: str) -> JobsprintError | None:
        """What is wrong with it, as far as it can be known: whether it decrypts, and gets an access token.

        Raises:
            CredentialNotFoundError: there is none of this name.
        """
        stored = await self._vault.get(_ref(actor, name))
        try:
            await self._http.check(await self._vault.open(stored.ref), timeout_seconds=CHECK_SECONDS)
        except JobsprintError as error:
            return error
        return None

    async def _note(self, actor: Actor, action: str, stored: StoredCredential) -> None:
        self._audit.note(
            actor, action, f"credential:{stored.id}", {"name": stored.name, "kind": stored.kind, **stored.details}
        )
        await self._audit.written()


def validated(model: type[BaseModel], document: Any) -> BaseModel:
    """The document as the model has it.

    Raises:
        InvalidArgumentsError: it does not fit.
    """
    findings = model_findings(model, document)
    if findings:
        raise InvalidArgumentsError.of(findings)
    return model.model_validate(document)


def _ref(actor: Actor, name: str) -> CredentialRef:
    return CredentialRef(owner=actor.workspace_id, name=name)


def _form_in(document: Any) -> CredentialForm:
    form = validated(FORMS[_kind_in(document)], document)
    if not isinstance(form, CredentialForm):
        raise TypeError(type(form).__name__)
    return form


def _kind_in(document: Any) -> str:
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(kind, str) or kind not in NEW_FORMS:
        raise InvalidArgumentsError(
            f"A credential is an object whose member kind is one of {listed(NEW_FORMS)}.",
            pointer="/kind",
            fix="GET /openapi.json has what each kind asks for.",
        )
    return kind
