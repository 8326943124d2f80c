"""Users in a database, without the way that real ones come into it."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import insert, update

from storage.database.database import Database
from storage.tables.accounts import users
from workflow.identity import ALL_SCOPES, SCOPES_OF_ROLE, Actor, Role, Scopes

NOW = datetime(2024, 1, 6, 12, 0, tzinfo=UTC)


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        """What it was set to."""
        return self.at


async def add_users(database: Database, *names: str) -> None:
    """Users whose ids are their names, at example.com."""
    async with database.transaction() as connection:
        for name in names:
            await connection.execute(
                insert(users).values(id=name, email=f"{name}@example.com", name=name.title(), created_at=NOW)
            )


async def disable(database: Database, name: str) -> None:
    """Keep a user out from now on."""
    async with database.transaction() as connection:
        await connection.execute(update(users).where(users.c.id == name).values(disabled_at=NOW))


def actor(
    user_id: str, workspace_id: str = "w", *, scopes: Scopes = ALL_SCOPES, session_id: str | None = None
) -> Actor:
    """A user at work in a workspace."""
    return Actor(
        user_id=user_id,
        workspace_id=workspace_id,
        scopes=scopes,
        attainable=SCOPES_OF_ROLE[Role.OWNER],
        client="a test",
        session_id=session_id,
    )
