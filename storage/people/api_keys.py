"""API keys in the database. Of a key only its SHA-256 and its last characters are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update

from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.database import Database
from storage.tables.accounts import api_keys, memberships, users
from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import Role, Scopes, scopes_in, scopes_text
from workflow.ports import Page


@dataclass(slots=True, frozen=True, kw_only=True)
class ApiKey:
    """A key without what is secret of it. It acts for its user in one workspace. Times are UTC.

    ``hint`` is the end of the key. ``expires_at`` is ``None`` where it counts until it is revoked.
    """

    id: str
    name: str
    hint: str
    user_id: str
    workspace_id: str
    scopes: Scopes
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class KeyHolder:
    """A key, and what its user is now: disabled or not, and in which role; ``None`` where they are no member."""

    key: ApiKey
    is_disabled: bool
    role: Role | None


class ApiKeyNotFoundError(JobsprintError):
    """No such key that the caller may see."""

    code = "api_key_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no API key {key_id!r:.60}.", fix="List yours with GET /api/keys.")


class SqlApiKeys:
    """The keys of all users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, *, key_hash: str) -> None:
        """Keep a new key.

        Raises:
            StorageError: there is no such user or workspace.
        """
        async with self._database.statement() as connection:
            await connection.execute(
                insert(api_keys).values(
                    id=key.id,
                    hash=key_hash,
                    name=key.name,
                    hint=key.hint,
                    user_id=key.user_id,
                    workspace_id=key.workspace_id,
                    scopes=scopes_text(key.scopes),
                    created_at=key.created_at,
                    expires_at=key.expires_at,
                )
            )

    async def holder(self, key_hash: str) -> KeyHolder | None:
        """The key of this hash and who holds it, whether it counts or not; ``None`` where there is none."""
        query = (
            select(api_keys, users.c.disabled_at, memberships.c.role)
            .join(users, users.c.id == api_keys.c.user_id)
            .outerjoin(
                memberships,
                (memberships.c.user_id == api_keys.c.user_id) & (memberships.c.workspace_id == api_keys.c.workspace_id),
            )
            .where(api_keys.c.hash == key_hash)
        )
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        role = None if row.role is None else Role(row.role)
        return KeyHolder(key=_key(row), is_disabled=row.disabled_at is not None, role=role)

    async def page(
        self, workspace_id: str, *, user_id: str | None, now: datetime, limit: int, cursor: str | None
    ) -> Page[ApiKey]:
        """The keys for a workspace that still count, newest first: a user's, or everybody's.

        Raises:
            InvalidArgumentsError: the cursor is none of this list.
        """
        query = select(api_keys).where(
            api_keys.c.workspace_id == workspace_id,
            api_keys.c.revoked_at.is_(None),
            or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now),
        )
        if user_id is not None:
            query = query.where(api_keys.c.user_id == user_id)
        if cursor is not None:
            query = query.where(api_keys.c.id < decode_cursor(cursor, str)[0])
        async with self._database.statement() as connection:
            rows = (await connection.execute(query.order_by(api_keys.c.id.desc()).limit(limit + 1))).all()
        found = [_key(row) for row in rows]
        return Page(found[:limit], encode_cursor(found[limit - 1].id) if len(found) > limit else None)

    async def revoke(self, workspace_id: str, key_id: str, *, user_id: str | None, now: datetime) -> ApiKey:
        """End a key of the user's, or of anybody's in the workspace, and return it as it was.

        Raises:
            ApiKeyNotFoundError: there is none, or it was revoked before.
        """
        mine = [api_keys.c.id == key_id, api_keys.c.workspace_id == workspace_id, api_keys.c.revoked_at.is_(None)]
        if user_id is not None:
            mine.append(api_keys.c.user_id == user_id)
        async with self._database.statement() as connection:
            revoked = await connection.execute(
                update(api_keys).where(*mine).values(revoked_at=now).returning(*api_keys.c)
            )
            row = revoked.one_or_none()
        if row is None:
            raise ApiKeyNotFoundError(key_id)
        return _key(row)

    async def used(self, times: Mapping[str, datetime]) -> None:
        """Note when keys were last used, by their ids."""
        if not times:
            return
        change = update(api_keys).where(api_keys.c.id == bindparam("key_id")).values(last_used_at=bindparam("at"))
        async with self._database.transaction() as connection:
            await connection.execute(change, [{"key_id": key_id, "at": at} for key_id, at in times.items()])


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        hint=row.hint,
        user_id=row.user_id,
        workspace_id=row.workspace_id,
        scopes=scopes_in(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
