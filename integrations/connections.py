"""A workspace's connections made, changed, tried and ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from integrations.actions import ConnectedActions
from integrations.connection_events import ConnectionEvents
from integrations.credentials import validated
from integrations.sources import Sources
from workflow.action_notes import ResultShape
from workflow.actions import Action, ActionError
from workflow.audit import AuditLog
from workflow.connections import (
    ActionFigures,
    Connection,
    ConnectionKind,
    ConnectionStatus,
    ConnectionStore,
)
from workflow.credential_forms import NAME, BearerCredential, CredentialForm, GrantCredential
from workflow.credentials import CredentialNotFoundError, CredentialRef, Vault
from workflow.errors import InvalidArgumentsError
from workflow.identity import Actor
from workflow.ports import Clock, NewId

RESERVED = frozenset({"callback"})
"""Names that paths of ours have in the place of a connection's."""


class NewConnection(BaseModel):
    """A connection to make. Give at most one of ``token`` and ``credential``; with neither, what the other side asks
    for is seen when it is tried."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=f"^{NAME.pattern}$", description="By which workflows name it, for example github.")
    kind: ConnectionKind
    settings: dict[str, Any] = Field(default_factory=dict, description="What the kind asks for.")
    token: SecretStr | None = Field(default=None, description="Sent as Authorization: Bearer.")
    credential: str | None = Field(
        default=None, pattern=f"^{NAME.pattern}$", description="A credential of the workspace, in place of a token."
    )

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in RESERVED:
            raise ValueError("this name is the server's own")
        return name


class ConnectionChanges(BaseModel):
    """What is to be another: settings as a whole, or the secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    settings: dict[str, Any] | None = None
    token: SecretStr | None = None
    credential: str | None = Field(default=None, pattern=f"^{NAME.pattern}$")


class Authorizer(Protocol):
    """Has a user consent in a browser."""

    async def begin(self, actor: Actor, connection: Connection) -> str:
        """The address to open in a browser.

        Raises:
            ActionError: the other side has no such way, or does not say which.
        """
        ...

    async def revoke(self, connection: Connection) -> None:
        """Give back what was granted, if anything was; the other side may not care."""
        ...


@dataclass(slots=True, frozen=True, kw_only=True)
class Connected:
    """A connection as it came out. ``authorization_url`` is where a user is to consent, ``problem`` what else is
    wrong with it, ``actions`` what it can do."""

    connection: Connection
    actions: Sequence[Action] = ()
    authorization_url: str | None = None
    problem: ActionError | None = None


class Connections:
    """What may be done with the connections of the actor's workspace. Rights are the edges' business."""

    def __init__(
        self,
        *,
        store: ConnectionStore,
        sources: Sources,
        actions: ConnectedActions,
        authorizer: Authorizer,
        vault: Vault,
        audit: AuditLog,
        events: ConnectionEvents,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._sources = sources
        self._actions = actions
        self._authorizer = authorizer
        self._vault = vault
        self._audit = audit
        self._events = events
        self._clock = clock
        self._new_id = new_id

    async def all(self, actor: Actor) -> Sequence[Connection]:
        """All of them by name."""
        return await self._store.of_workspace(actor.workspace_id)

    async def get(self, actor: Actor, name: str) -> Connection:
        """One.

        Raises:
            ConnectionNotFoundError: there is none of this name.
        """
        return await self._store.get(actor.workspace_id, name)

    async def connect(self, actor: Actor, document: Any, *, may_wait_for_secret: bool = False) -> Connected:
        """Make one, and try it: kept are those that work and those that wait for a user's consent, no others.

        Where the other side wants a secret and none was given, it is kept if it ``may_wait_for_secret``, as
        ``unauthorized`` and with the problem: a person is going to enter the secret.

        Raises:
            InvalidArgumentsError: the document is not a :class:`NewConnection`, or its settings do not fit its kind.
            ConnectionNameTakenError, TooManyConnectionsError: see the store.
            CredentialNotFoundError, CredentialNameTakenError, TooManyCredentialsError: see the vault.
            ActionError: it does not work. Nothing was kept.
        """
        validated(NewConnection, document)
        new = NewConnection.model_validate(document)
        if new.token is not None and new.credential is not None:
            raise InvalidArgumentsError(
                "Give a token or a credential, not both.", pointer="/token", fix="Leave one out."
            )
        settings = self._sources[new.kind].settings(actor.workspace_id, new.settings)
        if new.credential is not None:
            await self._vault.get(CredentialRef(owner=actor.workspace_id, name=new.credential))
        now = self._clock.now()
        connection = Connection(
            id=self._new_id(),
            owner=actor.workspace_id,
            name=new.name,
            kind=new.kind,
            status="failing",
            settings=settings,
            credential=new.credential,
            created_by=actor.user_id,
            created_at=now,
            updated_at=now,
        )
        await self._store.create(connection)
        try:
            if new.token is not None:
                connection = await self._with_token(actor, connection, new.token)
            made = await self._tried(actor, connection)
        except BaseException:
            await self._forget(connection)
            raise
        if made.problem is not None:
            wants_secret = (
                made.problem.outbound_code == "connection_unauthorized" and made.connection.credential is None
            )
            if not (may_wait_for_secret and wants_secret):
                await self._forget(connection)
                raise made.problem
            if made.connection.status != "unauthorized":
                waiting: ConnectionStatus = "unauthorized"
                made = replace(made, connection=await self._store.change(replace(made.connection, status=waiting)))
        await self._note(actor, "connection.created", made.connection)
        self._events.announce("connected" if made.authorization_url is None else "changed", made.connection)
        return made

    async def change(self, actor: Actor, name: str, document: Any) -> Connected:
        """Give it other settings, or another secret (which is how a token is rotated), and try it.

        Raises:
            InvalidArgumentsError: the document does not fit.
            ConnectionNotFoundError, ConnectionChangedError: see the store.
            CredentialNotFoundError: there is no such credential.
        """
        validated(ConnectionChanges, document)
        changes = ConnectionChanges.model_validate(document)
        before = await self._store.get(actor.workspace_id, name)
        connection = before
        if changes.settings is not None:
            settings = self._sources[before.kind].settings(before.owner, changes.settings)
            connection = replace(connection, settings=settings)
        if changes.credential is not None:
            await self._vault.get(CredentialRef(owner=before.owner, name=changes.credential))
            connection = replace(connection, credential=changes.credential)
        if connection is not before:
            connection = await self._store.change(replace(connection, updated_at=self._clock.now()))
        if changes.token is not None:
            connection = await self._with_token(actor, connection, changes.token)
        await self._sources[before.kind].forget(before)
        made = await self._tried(actor, connection)
        await self._note(actor, "connection.changed", made.connection)
        self._events.announce("changed", made.connection)
        return made

    async def check(self, actor: Actor, name: str) -> Connected:
        """Ask the other side now what it can do, and keep how that went.

        Raises:
            ConnectionNotFoundError: there is none of this name.
        """
        connection = await self._store.get(actor.workspace_id, name)
        if connection.status == "authorizing":
            return Connected(connection=connection)
        try:
            actions = await self._actions.refreshed(connection)
        except ActionError as error:
            return Connected(connection=await self._store.get(actor.workspace_id, name), problem=error)
        return Connected(connection=await self._store.get(actor.workspace_id, name), actions=actions)

    async def authorize(self, actor: Actor, name: str) -> Connected:
        """Have a user consent, for the first time or anew; what was granted before goes on until then.

        Raises:
            ConnectionNotFoundError: there is none of this name.
            ActionError: the other side has no such way.
        """
        connection = await self._store.get(actor.workspace_id, name)
        url = await self._authorizer.begin(actor, connection)
        await self._note(actor, "connection.authorization_begun", connection)
        return Connected(connection=connection, authorization_url=url)

    async def granted(self, actor: Actor, name: str, form: GrantCredential) -> Connected:
        """A user has consented: keep what was granted, and try it.

        Raises:
            ConnectionNotFoundError, ConnectionChangedError: it was deleted or changed meanwhile.
        """
        connection = await self._with_secret(actor, await self._store.get(actor.workspace_id, name), form)
        scopes = tuple((form.scope or "").split())
        connection = await self._store.change(
            replace(connection, status="connected", scopes=scopes, updated_at=self._clock.now())
        )
        await self._sources[connection.kind].forget(connection)
        made = await self._tried(actor, connection, may_ask=False)
        await self._note(actor, "connection.authorized", made.connection)
        self._events.announce("connected", made.connection)
        return made

    async def disconnect(self, actor: Actor, name: str) -> Connection:
        """Forget it, with the secret that was made for it; give back what was granted.

        Raises:
            ConnectionNotFoundError: there is none of this name.
        """
        connection = await self._store.get(actor.workspace_id, name)
        await self._authorizer.revoke(connection)
        await self._forget(connection)
        await self._note(actor, "connection.deleted", connection)
        self._events.announce("disconnected", connection)
        return connection

    async def actions(self, actor: Actor, name: str) -> Sequence[Action]:
        """Its allowed actions.

        Raises:
            ConnectionNotFoundError: there is none of this name.
            ActionError: it has never said what it can do, and does not now.
        """
        return await self._actions.actions(actor.workspace_id, name)

    async def declare_read(self, actor: Actor, name: str, action: str) -> Action:
        """The action as a read, by the word of the actor, who is a person; see :class:`ConnectedActions`."""
        declared = await self._actions.declare_read(actor, name, action)
        await self._note_effect(actor, "action.declared_read", declared)
        return declared

    async def withdraw_read(self, actor: Actor, name: str, action: str) -> Action:
        """The action as an assumed write again; see :class:`ConnectedActions`."""
        withdrawn = await self._actions.withdraw_read(actor, name, action)
        await self._note_effect(actor, "action.read_withdrawn", withdrawn)
        return withdrawn

    async def shapes(self, actor: Actor, name: str) -> Mapping[str, ResultShape]:
        """The shapes of recent results, by action.

        Raises:
            ConnectionNotFoundError: there is none of this name.
        """
        return await self._actions.shapes(actor.workspace_id, name)

    async def figures(self, actor: Actor, name: str, *, since: str) -> Sequence[ActionFigures]:
        """What became of its calls from that day on (``YYYY-MM-DD``).

        Raises:
            ConnectionNotFoundError: there is none of this name.
        """
        connection = await self._store.get(actor.workspace_id, name)
        return await self._store.figures(actor.workspace_id, since=since, connection=connection.name)

    async def _tried(self, actor: Actor, connection: Connection, *, may_ask: bool = True) -> Connected:
        """The connection as it is after it was tried; where the other side wants a user's consent, with the link."""
        try:
            actions = await self._actions.refreshed(connection)
        except ActionError as error:
            wants_consent = error.outbound_code == "connection_unauthorized" and connection.credential is None
            if may_ask and wants_consent:
                return await self._asking(actor, connection, error)
            return Connected(connection=await self._store.get(connection.owner, connection.name), problem=error)
        return Connected(connection=await self._store.get(connection.owner, connection.name), actions=actions)

    async def _asking(self, actor: Actor, connection: Connection, refused: ActionError) -> Connected:
        waiting: ConnectionStatus = "authorizing"
        connection = await self._store.change(replace(connection, status=waiting))
        try:
            url = await self._authorizer.begin(actor, connection)
        except ActionError as error:
            # It has no such way: then it is a token that it wants.
            return Connected(connection=connection, problem=error if error.transient else refused)
        return Connected(connection=connection, authorization_url=url)

    async def _with_token(self, actor: Actor, connection: Connection, token: SecretStr) -> Connection:
        host = self._sources[connection.kind].host(connection.settings)
        if host is None:
            raise InvalidArgumentsError(
                f"A connection of kind {connection.kind} takes no token.",
                pointer="/token",
                fix="Leave it out, or name a credential that the workspace has.",
            )
        document = {"kind": "bearer", "token": token.get_secret_value(), "allowed_hosts": [host]}
        validated(BearerCredential, document)
        return await self._with_secret(actor, connection, BearerCredential.model_validate(document))

    async def _with_secret(self, actor: Actor, connection: Connection, form: CredentialForm) -> Connection:
        """The connection with a credential of its own name, made or replaced."""
        ref = CredentialRef(owner=connection.owner, name=connection.name)
        if connection.credential == connection.name:
            await self._vault.replace(ref, form)
            return connection
        await self._vault.create(ref, form, created_by=actor.user_id)
        return await self._store.change(replace(connection, credential=ref.name, updated_at=self._clock.now()))

    async def _forget(self, connection: Connection) -> None:
        """Delete it, and the credential that was made for it."""
        await self._sources[connection.kind].forget(connection)
        kept = await self._store.delete(connection.owner, connection.name)
        if kept.credential == kept.name:
            try:
                await self._vault.delete(CredentialRef(owner=kept.owner, name=kept.name))
            except CredentialNotFoundError:
                return  # somebody has deleted it before

    async def _note_effect(self, actor: Actor, what: str, action: Action) -> None:
        details = {"connection": action.connection, "action": action.name, "digest": action.digest}
        self._audit.note(actor, what, f"action:{action.connection}/{action.name}", dict(details))
        await self._audit.written()

    async def _note(self, actor: Actor, action: str, connection: Connection) -> None:
        details: Mapping[str, Any] = {"name": connection.name, "kind": connection.kind, "status": connection.status}
        self._audit.note(actor, action, f"connection:{connection.id}", dict(details))
        await self._audit.written()
