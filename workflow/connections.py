"""Connections: the other people's systems that a workspace may use, and the ports to where they are kept.

A connection says what is reached and how; its secret is a credential (:mod:`workflow.credentials`) that it names.
Nodes and tools name a connection, and one of its actions (:mod:`workflow.actions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol, get_args

from workflow.actions import Action
from workflow.credentials import CredentialRef
from workflow.errors import ErrorKind, JobsprintError
from workflow.findings import did_you_mean, listed, nearest
from workflow.items import JsonObject

MOST_CONNECTIONS = 100
"""How many a workspace may have."""

ConnectionKind = Literal["zapier", "mcp", "program", "openapi", "connector"]
"""Zapier's MCP endpoint; any MCP server at an address; one that is a program of this machine; an API that an OpenAPI
document describes; an API that a connector of ours describes."""

ConnectionStatus = Literal["authorizing", "connected", "unauthorized", "failing"]
"""``authorizing``: somebody is to give consent in a browser; the callback moves it on. ``connected``: in use.
``unauthorized``: the other side takes the credential no more; authorizing anew, or another secret, moves it on.
``failing``: it could not be reached when it was last tried; the next call that works moves it on."""


ConnectionChange = Literal["connected", "changed", "disconnected", "unauthorized", "actions_changed"]
CONNECTION_CHANGES = frozenset(f"integration.{change}" for change in get_args(ConnectionChange))
"""Types of events about connections."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Health:
    """How the last calls went. ``failures`` counts those in a row; ``code`` and ``message`` are of the last one."""

    checked_at: datetime | None = None
    failures: int = 0
    code: str | None = None
    message: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class Connection:
    """A connection without its secret: all that is ever shown of it. ``owner`` is its workspace.

    ``settings`` are what its kind asks for (an address, a program's name, a document, what is allowed and pinned);
    ``credential`` names the credential that it uses, of the same workspace. ``scopes`` are what was granted.
    ``revision`` rises whenever somebody changes it; use and health do not.
    """

    id: str
    owner: str
    name: str
    kind: ConnectionKind
    status: ConnectionStatus
    settings: JsonObject
    credential: str | None = None
    scopes: tuple[str, ...] = ()
    health: Health = field(default_factory=Health)
    created_by: str
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None = None
    revision: int = 1


@dataclass(slots=True, frozen=True, kw_only=True)
class ActionList:
    """The actions of a connection as they were when it was last asked, by name."""

    connection_id: str
    fetched_at: datetime
    actions: tuple[Action, ...]


@dataclass(slots=True, frozen=True, kw_only=True)
class PendingAuthorization:
    """A consent that somebody is giving in a browser. ``state`` is what comes back with it, once.

    ``secrets`` (the PKCE verifier, the client's secret) are kept encrypted; ``details`` are what else the exchange
    needs (endpoints, client id, resource, redirect address). ``browser`` is a hash of what only the browser has that
    began it.
    """

    state: str
    owner: str
    connection_id: str
    user_id: str
    details: JsonObject
    secrets: JsonObject = field(repr=False)
    browser: str | None = None
    expires_at: datetime


@dataclass(slots=True, frozen=True, kw_only=True)
class ActionFigures:
    """What became of the calls of one action of a connection on one day (UTC, ``YYYY-MM-DD``).

    ``fallbacks`` counts the calls that another action has done in its place, ``quota`` what the other side charged
    (Zapier's tasks), ``seconds`` the time that all of them took.
    """

    connection: str
    action: str
    day: str
    calls: int = 0
    failures: int = 0
    in_doubt: int = 0
    fallbacks: int = 0
    quota: int = 0
    seconds: float = 0.0

    def plus(self, other: ActionFigures) -> ActionFigures:
        """The sum of both, which are of the same action and day."""
        counts = ("calls", "failures", "in_doubt", "fallbacks", "quota", "seconds")
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in counts})


class ConnectionNotFoundError(JobsprintError):
    """The workspace has no connection of this name."""

    code = "connection_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, name: str, *, known: Sequence[str] = ()) -> None:
        super().__init__(
            f"The workspace has no connection {name!r:.100}.{did_you_mean(nearest(name, known))}",
            fix=f"Make it with connect_integration, or name one that there is: {listed(known)}."
            if known
            else "Make it with connect_integration, or POST /api/integrations.",
        )


class ConnectionNameTakenError(JobsprintError):
    """The workspace has another connection of this name."""

    code = "connection_name_taken"
    kind = ErrorKind.CONFLICT

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The workspace has a connection {name!r} already; nothing was stored.",
            pointer="/name",
            fix="Choose another name, or disconnect that one first.",
        )


class TooManyConnectionsError(JobsprintError):
    """The workspace is at its bound of connections."""

    code = "connection_limit"
    kind = ErrorKind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            f"The workspace has {MOST_CONNECTIONS} connections, which is all it may have; nothing was stored.",
            fix="Disconnect those that nothing uses.",
        )


class ConnectionChangedError(JobsprintError):
    """Somebody else has changed the connection meanwhile."""

    code = "connection_changed"
    kind = ErrorKind.CONFLICT

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The connection {name!r} was changed by somebody else meanwhile; nothing was stored.",
            fix="Read it again, and make your change to what it is now.",
        )


class ConnectionStore(Protocol):
    """Stores connections. Every method is one transaction, and sees only the connections of the given workspace.

    A connection that is deleted takes its list of actions and its pending authorizations with it; figures stay.
    """

    async def create(self, connection: Connection) -> None:
        """Keep a new one.

        Raises:
            ConnectionNameTakenError: there is one of this name.
            TooManyConnectionsError: there are too many.
        """
        ...

    async def get(self, owner: str, name: str) -> Connection:
        """One.

        Raises:
            ConnectionNotFoundError: there is none of this name.
        """
        ...

    async def of_workspace(self, owner: str) -> Sequence[Connection]:
        """All of them by name."""
        ...

    async def change(self, connection: Connection) -> Connection:
        """Store it as it is now, with the next revision.

        Raises:
            ConnectionNotFoundError: it was deleted.
            ConnectionChangedError: the revision that is stored is not ``connection.revision``.
        """
        ...

    async def note_use(
        self, connection: Connection, *, status: ConnectionStatus, health: Health, last_used_at: datetime | None
    ) -> None:
        """Store its status and health, unless somebody has changed it since; its revision stays."""
        ...

    async def delete(self, owner: str, name: str) -> Connection:
        """Forget it; what it was.

        Raises:
            ConnectionNotFoundError: there is none of this name.
        """
        ...

    async def claim_refresh(self, credential: CredentialRef, *, now: datetime, until: datetime) -> bool:
        """Claim the refreshing of this grant until then; false where another task or process has the claim."""
        ...

    async def release_refresh(self, credential: CredentialRef) -> None:
        """Release the claim, so that others can refresh the grant."""
        ...

    async def keep_actions(self, owner: str, actions: ActionList) -> None:
        """Keep what actions it has, in place of those before; nothing where the connection is gone."""
        ...

    async def actions(self, owner: str) -> Sequence[ActionList]:
        """What is kept of the actions of all its connections."""
        ...

    async def actions_of(self, owner: str, connection_id: str) -> ActionList | None:
        """What is kept of the actions of one."""
        ...

    async def begin_authorization(self, pending: PendingAuthorization) -> None:
        """Keep a consent that is being given, in place of an earlier one for the same connection."""
        ...

    async def forget_authorizations(self, *, expired_before: datetime) -> None:
        """Delete consents that nobody has given in time."""
        ...

    async def pending_authorization(self, state: str, *, now: datetime) -> PendingAuthorization | None:
        """The consent that waits with this ``state``, and goes on waiting. The state is a secret, so it is enough."""
        ...

    async def bind_authorization(self, state: str, browser: str) -> None:
        """Note which browser it is that gives the consent."""
        ...

    async def take_authorization(self, state: str, *, now: datetime) -> PendingAuthorization | None:
        """Take the consent with this ``state``, once: later calls, like those with an unknown state, get ``None``."""
        ...

    async def add_figures(self, owner: str, figures: Sequence[ActionFigures]) -> None:
        """Add to what is counted of the same connection, action and day."""
        ...

    async def figures(
        self, owner: str, *, since: str, connection: str | None = None, limit: int = 1_000
    ) -> Sequence[ActionFigures]:
        """What was counted from that day on, latest day first."""
        ...


class ConnectionCatalogue(Protocol):
    """What the checks of definitions, and searches, need to know of the connections of a workspace."""

    async def connections(self, owner: str) -> Sequence[Connection]:
        """All of them by name."""
        ...

    async def actions(self, owner: str, connection: str | None = None) -> Sequence[Action]:
        """The allowed actions of one connection, or of all; from what is kept, refreshed where that is old.

        Raises:
            ConnectionNotFoundError: there is none of this name.
        """
        ...
