"""What OAuth keeps: clients, authorization codes, and the assertions that were used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.database import Database
from storage.tables.accounts import authorization_codes as codes
from storage.tables.accounts import oauth_clients as clients
from storage.tables.accounts import spent_assertions
from workflow.identity import Scopes, scopes_in, scopes_text
from workflow.items import JsonObject

SPENT_CODES_KEPT = timedelta(days=1)
"""How long after its end a code is remembered: a second use shows that it was stolen."""


@dataclass(slots=True, frozen=True, kw_only=True)
class OAuthClient:
    """A client. ``metadata`` has RFC 7591's members.

    ``created_by``, ``workspace_id`` and ``scopes`` are a machine's; ``expires_at`` is when a document has to be
    fetched again.
    """

    id: str
    kind: Literal["dynamic", "document", "machine"]
    name: str
    metadata: JsonObject
    created_at: datetime
    secret_hash: str | None = None
    created_by: str | None = None
    workspace_id: str | None = None
    scopes: Scopes | None = None
    expires_at: datetime | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class AuthorizationCode:
    """What a user let a client do, to be exchanged once. ``session_id`` is what it was exchanged for."""

    hash: str
    client_id: str
    user_id: str
    workspace_id: str
    scopes: Scopes
    redirect_uri: str
    code_challenge: str
    resource: str | None
    expires_at: datetime
    used_at: datetime | None = None


class SqlOAuthClients:
    """Clients of every kind, and the assertions that they have proved themselves with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, client: OAuthClient) -> None:
        """Keep a new client."""
        async with self._database.statement() as connection:
            await connection.execute(insert(clients).values(**_client_row(client)))

    async def put(self, client: OAuthClient) -> None:
        """Keep a client in place of what was known of it before."""
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        row = _client_row(client)
        changed = {name: value for name, value in row.items() if name not in ("id", "created_at")}
        upsert = dialect.insert(clients).values(**row).on_conflict_do_update(index_elements=["id"], set_=changed)
        async with self._database.statement() as connection:
            await connection.execute(upsert)

    async def find(self, client_id: str) -> OAuthClient | None:
        """The client, unless there is none or it was revoked."""
        query = select(clients).where(clients.c.id == client_id, clients.c.revoked_at.is_(None))
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _client(row)

    async def machines(self, workspace_id: str) -> Sequence[OAuthClient]:
        """The machines of a workspace, oldest first."""
        query = (
            select(clients)
            .where(clients.c.workspace_id == workspace_id, clients.c.kind == "machine", clients.c.revoked_at.is_(None))
            .order_by(clients.c.created_at, clients.c.id)
        )
        async with self._database.statement() as connection:
            return [_client(row) for row in await connection.execute(query)]

    async def revoke_machine(self, client_id: str, *, workspace_id: str, now: datetime) -> bool:
        """Let a machine of the workspace in no more; whether there was one."""
        which = (clients.c.id == client_id, clients.c.workspace_id == workspace_id, clients.c.kind == "machine")
        async with self._database.statement() as connection:
            changed = await connection.execute(
                update(clients).where(*which, clients.c.revoked_at.is_(None)).values(revoked_at=now)
            )
        return changed.rowcount == 1

    async def count_unused(self, kind: str) -> int:
        """How many clients of the kind there are that nobody has let in."""
        query = select(func.count()).select_from(clients).where(clients.c.kind == kind, clients.c.used_at.is_(None))
        async with self._database.statement() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def touch(self, client_id: str, *, now: datetime) -> None:
        """Note that a user let the client in."""
        async with self._database.statement() as connection:
            await connection.execute(update(clients).where(clients.c.id == client_id).values(used_at=now))

    async def forget_unused(self, *, created_before: datetime, used_before: datetime) -> int:
        """Delete clients that came by themselves before then and that nobody has let in since; how many."""
        which = (clients.c.kind.in_(("dynamic", "document")), clients.c.created_at < created_before)
        is_unused = clients.c.used_at.is_(None) | (clients.c.used_at < used_before)
        async with self._database.statement() as connection:
            return (await connection.execute(delete(clients).where(*which, is_unused))).rowcount

    async def spend_assertion(self, client_id: str, key: str, *, expires_at: datetime, now: datetime) -> bool:
        """Whether the client uses this assertion (by a hash of its id) for the first time; never again ``True``."""
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        spend = dialect.insert(spent_assertions).values(client_id=client_id, hash=key, expires_at=expires_at)
        async with self._database.transaction() as connection:
            await connection.execute(delete(spent_assertions).where(spent_assertions.c.expires_at < now))
            spent = await connection.execute(spend.on_conflict_do_nothing())
        return bool(spent.rowcount == 1)


class SqlAuthorizationCodes:
    """Authorization codes, by their hashes. Each goes through ``claim`` and ``bind`` once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, code: AuthorizationCode, *, now: datetime) -> None:
        """Keep a new code, and forget those that are long over."""
        async with self._database.transaction() as connection:
            await connection.execute(delete(codes).where(codes.c.expires_at < now - SPENT_CODES_KEPT))
            await connection.execute(
                insert(codes).values(
                    hash=code.hash,
                    client_id=code.client_id,
                    user_id=code.user_id,
                    workspace_id=code.workspace_id,
                    scopes=scopes_text(code.scopes),
                    redirect_uri=code.redirect_uri,
                    code_challenge=code.code_challenge,
                    resource=code.resource,
                    expires_at=code.expires_at,
                )
            )

    async def find(self, code_hash: str) -> AuthorizationCode | None:
        """The code, used or over as it may be."""
        async with self._database.statement() as connection:
            row = (await connection.execute(select(codes).where(codes.c.hash == code_hash))).one_or_none()
        return None if row is None else _code(row)

    async def claim(self, code_hash: str, *, now: datetime) -> bool:
        """Use the code; ``False`` where it was used before, or is over."""
        which = (codes.c.hash == code_hash, codes.c.used_at.is_(None), codes.c.expires_at > now)
        async with self._database.statement() as connection:
            return (await connection.execute(update(codes).where(*which).values(used_at=now))).rowcount == 1

    async def bind(self, code_hash: str, session_id: str) -> bool:
        """Note what the code was exchanged for; ``False`` where somebody else showed it meanwhile."""
        which = (codes.c.hash == code_hash, codes.c.replayed_at.is_(None))
        async with self._database.statement() as connection:
            return (await connection.execute(update(codes).where(*which).values(session_id=session_id))).rowcount == 1

    async def replay(self, code_hash: str, *, now: datetime) -> str | None:
        """Note that the code was shown again; the session that came of it, where there is one yet."""
        async with self._database.transaction() as connection:
            await connection.execute(update(codes).where(codes.c.hash == code_hash).values(replayed_at=now))
            found: str | None = (
                await connection.execute(select(codes.c.session_id).where(codes.c.hash == code_hash))
            ).scalar_one_or_none()
        return found


def _client_row(client: OAuthClient) -> dict[str, Any]:
    return {
        "id": client.id,
        "kind": client.kind,
        "name": client.name,
        "secret_hash": client.secret_hash,
        "metadata": client.metadata,
        "created_by": client.created_by,
        "workspace_id": client.workspace_id,
        "scopes": None if client.scopes is None else scopes_text(client.scopes),
        "created_at": client.created_at,
        "expires_at": client.expires_at,
    }


def _client(row: Any) -> OAuthClient:
    return OAuthClient(
        id=row.id,
        kind=row.kind,
        name=row.name,
        secret_hash=row.secret_hash,
        metadata=row._mapping["metadata"],
        created_by=row.created_by,
        workspace_id=row.workspace_id,
        scopes=None if row.scopes is None else scopes_in(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _code(row: Any) -> AuthorizationCode:
    return AuthorizationCode(
        hash=row.hash,
        client_id=row.client_id,
        user_id=row.user_id,
        workspace_id=row.workspace_id,
        scopes=scopes_in(row.scopes),
        redirect_uri=row.redirect_uri,
        code_challenge=row.code_challenge,
        resource=row.resource,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )
