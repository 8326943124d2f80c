"""Who does what only one process is to do: a row per duty, with its holder's name and the end of its time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.database import Database
from storage.tables.workflows import leaders


class SqlLeadership:
    """Implements :class:`workflow.sharing.Leadership`; ``holder`` names this process."""

    def __init__(self, database: Database, *, holder: str) -> None:
        self._database = database
        self._holder = holder

    async def hold(self, duty: str, *, now: datetime, seconds: float) -> bool:
        """Take or keep a duty; see the port."""
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        now += self._database.clock.ahead_of(now)
        until = now + timedelta(seconds=seconds)
        take = dialect.insert(leaders).values(duty=duty, holder=self._holder, expires_at=until)
        take = take.on_conflict_do_update(
            index_elements=["duty"],
            set_={"holder": self._holder, "expires_at": until},
            where=(leaders.c.holder == self._holder) | (leaders.c.expires_at < now),
        ).returning(leaders.c.holder)
        async with self._database.statement() as connection:
            return (await connection.execute(take)).one_or_none() is not None

    async def resign(self, duty: str) -> None:
        """Give a duty up; see the port."""
        mine = (leaders.c.duty == duty) & (leaders.c.holder == self._holder)
        async with self._database.statement() as connection:
            await connection.execute(delete(leaders).where(mine))
