"""Sessions in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update

from storage.database.database import Database
from storage.tables.accounts import sessions, spent_refresh_tokens
from workflow.identity import scopes_in, scopes_text
from workflow.sessions import Holder, Session

PRUNED_AT_ONCE = 1_000


class SqlSessions:
    """Implements :class:`workflow.sessions.SessionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, session: Session, *, refresh_hash: str | None) -> None:
        """Keep a new session; see the port."""
        async with self._database.statement() as connection:
            await connection.execute(
                insert(sessions).values(
                    id=session.id,
                    user_id=session.user_id,
                    workspace_id=session.workspace_id,
                    client_id=session.client_id,
                    client_name=session.client_name,
                    scopes=scopes_text(session.scopes),
                    refresh_hash=refresh_hash,
                    created_at=session.created_at,
                    expires_at=session.expires_at,
                )
            )

    async def get(self, session_id: str, *, now: datetime) -> Session | None:
        """A session that goes on; see the port."""
        query = select(sessions).where(sessions.c.id == session_id, _goes_on(now))
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _session(row)

    async def holder(self, refresh_hash: str, *, now: datetime) -> Holder | None:
        """The session of a refresh token; see the port."""
        current = select(sessions).where(sessions.c.refresh_hash == refresh_hash, _goes_on(now))
        spent = (
            select(sessions)
            .join(spent_refresh_tokens, spent_refresh_tokens.c.session_id == sessions.c.id)
            .where(spent_refresh_tokens.c.hash == refresh_hash, _goes_on(now))
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(current)).one_or_none()
            if row is not None:
                return Holder(_session(row), is_spent=False)
            row = (await connection.execute(spent)).one_or_none()
        return None if row is None else Holder(_session(row), is_spent=True)

    async def rotate(self, session_id: str, spent_hash: str, fresh_hash: str, *, now: datetime) -> bool:
        """Change the refresh token; see the port. The update finds the row for one of several at once only."""
        async with self._database.transaction() as connection:
            changed = await connection.execute(
                update(sessions)
                .where(sessions.c.id == session_id, sessions.c.refresh_hash == spent_hash, _goes_on(now))
                .values(refresh_hash=fresh_hash)
            )
            if changed.rowcount == 0:
                return False
            await connection.execute(
                insert(spent_refresh_tokens).values(hash=spent_hash, session_id=session_id, spent_at=now)
            )
        return True

    async def of_user(self, user_id: str, *, now: datetime) -> Sequence[Session]:
        """A user's sessions; see the port."""
        query = (
            select(sessions)
            .where(sessions.c.user_id == user_id, _goes_on(now))
            .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
        )
        async with self._database.statement() as connection:
            return [_session(row) for row in await connection.execute(query)]

    async def end(self, session_id: str, *, now: datetime) -> None:
        """End a session; see the port."""
        async with self._database.statement() as connection:
            await connection.execute(
                update(sessions).where(sessions.c.id == session_id, sessions.c.ended_at.is_(None)).values(ended_at=now)
            )

    async def end_all(self, user_id: str, *, now: datetime, but: str | None = None) -> None:
        """End a user's sessions; see the port."""
        these = [sessions.c.user_id == user_id, sessions.c.ended_at.is_(None)]
        if but is not None:
            these.append(sessions.c.id != but)
        async with self._database.statement() as connection:
            await connection.execute(update(sessions).where(*these).values(ended_at=now))

    async def prune(self, *, over_before: datetime) -> int:
        """Forget sessions that are over; see the port."""
        over = select(sessions.c.id).where(sessions.c.expires_at < over_before).limit(PRUNED_AT_ONCE)
        async with self._database.transaction() as connection:
            ids = (await connection.execute(over)).scalars().all()
            if ids:
                await connection.execute(delete(spent_refresh_tokens).where(spent_refresh_tokens.c.session_id.in_(ids)))
                await connection.execute(delete(sessions).where(sessions.c.id.in_(ids)))
        return len(ids)


def _goes_on(now: datetime) -> ColumnElement[bool]:
    return sessions.c.ended_at.is_(None) & (sessions.c.expires_at > now)


def _session(row: Any) -> Session:
    return Session(
        id=row.id,
        user_id=row.user_id,
        workspace_id=row.workspace_id,
        client_id=row.client_id,
        client_name=row.client_name,
        scopes=scopes_in(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
