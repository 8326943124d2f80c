"""Connections in the database, the actions they are known to have, and consents that are being given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Row, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database
from storage.secrets.keys import TamperedError, UnknownKeyError, VaultKeys
from storage.tables.connections import (
    action_declarations,
    action_figures,
    action_lists,
    connections,
    pending_authorizations,
    result_shapes,
)
from workflow.actions import Action
from workflow.connections import (
    MOST_CONNECTIONS,
    ActionFigures,
    ActionList,
    Connection,
    ConnectionChangedError,
    ConnectionNameTakenError,
    ConnectionNotFoundError,
    ConnectionStatus,
    Health,
    PendingAuthorization,
    TooManyConnectionsError,
)
from workflow.credentials import CredentialRef

_PENDING = pending_authorizations.c
_COUNTS = ("calls", "failures", "in_doubt", "fallbacks", "quota", "seconds")


class SqlConnections:
    """Implements :class:`workflow.connections.ConnectionStore`.

    What consents need is sealed with the vault's ``keys``. It lives for minutes, so a rotation of the keys leaves it
    alone: the old key is known for as long as that.
    """

    def __init__(self, database: Database, *, keys: VaultKeys) -> None:
        self._database = database
        self._keys = keys

    async def create(self, connection: Connection) -> None:
        """Keep a new one; see the port."""
        async with self._database.transaction() as transaction:
            count = select(func.count()).where(connections.c.owner == connection.owner)
            if (await transaction.execute(count)).scalar_one() >= MOST_CONNECTIONS:
                raise TooManyConnectionsError
            try:
                async with transaction.begin_nested():
                    await transaction.execute(insert(connections).values(_row(connection)))
            except IntegrityError as error:
                raise ConnectionNameTakenError(connection.name) from error

    async def get(self, owner: str, name: str) -> Connection:
        """One; see the port."""
        async with self._database.transaction() as transaction:
            return await _existing(transaction, owner, name)

    async def of_workspace(self, owner: str) -> Sequence[Connection]:
        """All of them by name; see the port."""
        query = select(connections).where(connections.c.owner == owner).order_by(connections.c.name)
        async with self._database.statement() as statement:
            return [_connection(row) for row in await statement.execute(query)]

    async def change(self, connection: Connection) -> Connection:
        """Store it as it is now; see the port."""
        changed = replace(connection, revision=connection.revision + 1)
        async with self._database.transaction() as transaction:
            done = await transaction.execute(
                update(connections)
                .where(connections.c.id == connection.id, connections.c.revision == connection.revision)
                .values(_row(changed))
            )
            if done.rowcount == 0:
                await _existing(transaction, connection.owner, connection.name)
                raise ConnectionChangedError(connection.name)
        return changed

    async def note_use(
        self, connection: Connection, *, status: ConnectionStatus, health: Health, last_used_at: datetime | None
    ) -> None:
        """Keep how it does; see the port."""
        values = {"status": status, "health": _health_json(health), "last_used_at": last_used_at}
        same = (connections.c.id == connection.id, connections.c.revision == connection.revision)
        async with self._database.statement() as statement:
            await statement.execute(update(connections).where(*same).values(values))

    async def delete(self, owner: str, name: str) -> Connection:
        """Forget it, and what belongs to it; see the port."""
        async with self._database.transaction() as transaction:
            found = await _existing(transaction, owner, name)
            for table in (action_lists, action_declarations, result_shapes):
                await transaction.execute(delete(table).where(table.c.connection_id == found.id))
            await transaction.execute(delete(pending_authorizations).where(_PENDING.connection_id == found.id))
            await transaction.execute(delete(connections).where(connections.c.id == found.id))
        return found

    async def claim_refresh(self, credential: CredentialRef, *, now: datetime, until: datetime) -> bool:
        """Be the only one who refreshes; see the port."""
        column = connections.c.refresh_claimed_until
        claim = (
            update(connections)
            .where(*_uses(credential), or_(column.is_(None), column <= now))
            .values(refresh_claimed_until=until)
        )
        async with self._database.statement() as statement:
            return (await statement.execute(claim)).rowcount > 0

    async def release_refresh(self, credential: CredentialRef) -> None:
        """Let others refresh it again; see the port."""
        release = update(connections).where(*_uses(credential)).values(refresh_claimed_until=None)
        async with self._database.statement() as statement:
            await statement.execute(release)

    async def keep_actions(self, owner: str, actions: ActionList) -> None:
        """Keep what actions it has; see the port."""
        values = {"fetched_at": actions.fetched_at, "actions": list(map(_action_json, actions.actions))}
        insertion = self._insert(action_lists).values(connection_id=actions.connection_id, owner=owner, **values)
        there = select(connections.c.id).where(connections.c.owner == owner, connections.c.id == actions.connection_id)
        async with self._database.transaction() as transaction:
            if (await transaction.execute(there)).one_or_none() is not None:
                await transaction.execute(
                    insertion.on_conflict_do_update(index_elements=["connection_id"], set_=values)
                )

    async def actions(self, owner: str) -> Sequence[ActionList]:
        """What is kept of all; see the port."""
        return await self._action_lists(action_lists.c.owner == owner)

    async def actions_of(self, owner: str, connection_id: str) -> ActionList | None:
        """What is kept of one; see the port."""
        found = await self._action_lists(action_lists.c.owner == owner, action_lists.c.connection_id == connection_id)
        return found[0] if found else None

    async def begin_authorization(self, pending: PendingAuthorization) -> None:
        """Keep a consent that is being given; see the port."""
        state_hash = _hash(pending.state)
        key_id, sealed = self._keys.seal(orjson.dumps(pending.secrets), _context(state_hash, pending.connection_id))
        values = {
            "state_hash": state_hash,
            "owner": pending.owner,
            "connection_id": pending.connection_id,
            "user_id": pending.user_id,
            "details": pending.details,
            "sealed": sealed,
            "key_id": key_id,
            "browser": pending.browser,
            "expires_at": pending.expires_at,
        }
        async with self._database.transaction() as transaction:
            # Of one connection only the last consent counts: the one before was given up.
            await transaction.execute(
                delete(pending_authorizations).where(_PENDING.connection_id == pending.connection_id)
            )
            await transaction.execute(insert(pending_authorizations).values(values))

    async def forget_authorizations(self, *, expired_before: datetime) -> None:
        """Delete consents that nobody has given in time."""
        async with self._database.statement() as statement:
            await statement.execute(delete(pending_authorizations).where(_PENDING.expires_at < expired_before))

    async def pending_authorization(self, state: str, *, now: datetime) -> PendingAuthorization | None:
        """One that waits; see the port."""
        async with self._database.transaction() as transaction:
            return self._pending(await _waiting(transaction, state, now), state)

    async def bind_authorization(self, state: str, browser: str) -> None:
        """Note which browser it is; see the port."""
        bind = update(pending_authorizations).where(_PENDING.state_hash == _hash(state)).values(browser=browser)
        async with self._database.statement() as statement:
            await statement.execute(bind)

    async def take_authorization(self, state: str, *, now: datetime) -> PendingAuthorization | None:
        """The one that comes back, once; see the port."""
        async with self._database.transaction() as transaction:
            row = await _waiting(transaction, state, now)
            gone = delete(pending_authorizations).where(_PENDING.state_hash == _hash(state))
            # Of two at once, the one whose row it was has it.
            is_first = (await transaction.execute(gone)).rowcount == 1
        return self._pending(row, state) if is_first else None

    async def add_figures(self, owner: str, figures: Sequence[ActionFigures]) -> None:
        """Add to what is counted; see the port."""
        keys = ("owner", "day", "connection", "action")
        async with self._database.transaction() as transaction:
            for each in figures:
                insertion = self._insert(action_figures).values(owner=owner, **asdict(each))
                added = {name: action_figures.c[name] + insertion.excluded[name] for name in _COUNTS}
                await transaction.execute(insertion.on_conflict_do_update(index_elements=keys, set_=added))

    async def figures(
        self, owner: str, *, since: str, connection: str | None = None, limit: int = 1_000
    ) -> Sequence[ActionFigures]:
        """What was counted; see the port."""
        table = action_figures.c
        query = select(action_figures).where(table.owner == owner, table.day >= since)
        if connection is not None:
            query = query.where(table.connection == connection)
        query = query.order_by(table.day.desc(), table.connection, table.action).limit(limit)
        async with self._database.statement() as statement:
            rows = (await statement.execute(query)).mappings().all()
        return [ActionFigures(**{name: value for name, value in row.items() if name != "owner"}) for row in rows]

    async def _action_lists(self, *where: ColumnElement[bool]) -> list[ActionList]:
        async with self._database.statement() as statement:
            rows = (await statement.execute(select(action_lists).where(*where))).all()
        return [
            ActionList(
                connection_id=row.connection_id,
                fetched_at=row.fetched_at,
                actions=tuple(Action(**each) for each in row.actions),
            )
            for row in rows
        ]

    def _pending(self, row: Row[Any] | None, state: str) -> PendingAuthorization | None:
        if row is None:
            return None
        try:
            secrets = orjson.loads(self._keys.open(row.key_id, row.sealed, _context(row.state_hash, row.connection_id)))
        except (UnknownKeyError, TamperedError):
            return None
        return PendingAuthorization(
            state=state,
            owner=row.owner,
            connection_id=row.connection_id,
            user_id=row.user_id,
            details=row.details,
            secrets=secrets,
            browser=row.browser,
            expires_at=row.expires_at,
        )

    def _insert(self, table: Any) -> Any:
        """An insertion that can say what to do where the row is there already."""
        return sqlite.insert(table) if self._database.is_sqlite else postgresql.insert(table)


async def _existing(transaction: AsyncConnection, owner: str, name: str) -> Connection:
    query = select(connections).where(connections.c.owner == owner, connections.c.name == name)
    row = (await transaction.execute(query)).one_or_none()
    if row is None:
        names = select(connections.c.name).where(connections.c.owner == owner).order_by(connections.c.name)
        raise ConnectionNotFoundError(name, known=(await transaction.execute(names)).scalars().all())
    return _connection(row)


async def _waiting(transaction: AsyncConnection, state: str, now: datetime) -> Row[Any] | None:
    query = select(pending_authorizations).where(_PENDING.state_hash == _hash(state), _PENDING.expires_at > now)
    return (await transaction.execute(query)).one_or_none()


def _action_json(action: Action) -> dict[str, Any]:
    """The action's members as they are. ``asdict`` copies each value inside: 0.5 s for an API of 3,000 operations."""
    return {each.name: getattr(action, each.name) for each in fields(action)}


def _row(connection: Connection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "owner": connection.owner,
        "name": connection.name,
        "kind": connection.kind,
        "status": connection.status,
        "settings": connection.settings,
        "credential": connection.credential,
        "scopes": list(connection.scopes),
        "health": _health_json(connection.health),
        "created_by": connection.created_by,
        "created_at": connection.created_at,
        "updated_at": connection.updated_at,
        "last_used_at": connection.last_used_at,
        "revision": connection.revision,
    }


def _connection(row: Row[Any]) -> Connection:
    values = {name: value for name, value in row._mapping.items() if name != "refresh_claimed_until"}
    return Connection(**{**values, "scopes": tuple(row.scopes), "health": _health(row.health)})


def _health_json(health: Health) -> dict[str, Any]:
    at = health.checked_at
    return {**asdict(health), "checked_at": at.isoformat() if at is not None else None}


def _health(kept: dict[str, Any]) -> Health:
    at = kept["checked_at"]
    return Health(**{**kept, "checked_at": datetime.fromisoformat(at) if at is not None else None})


def _uses(credential: CredentialRef) -> tuple[ColumnElement[bool], ...]:
    return (connections.c.owner == credential.owner, connections.c.credential == credential.name)


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _context(state_hash: str, connection_id: str) -> bytes:
    """What the secret is bound to."""
    return orjson.dumps(["authorization", state_hash, connection_id])
