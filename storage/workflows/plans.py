"""Plans in the database."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.database import Database
from storage.tables.workflows import plans
from workflow.plans import StoredPlan


class SqlPlans:
    """Implements :class:`workflow.plans.PlanStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, plan: StoredPlan) -> None:
        """Keep a plan; see the port."""
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        made = dialect.insert(plans).values(asdict(plan))
        changes = {name: made.excluded[name] for name in asdict(plan) if name not in ("owner", "hash")}
        async with self._database.statement() as connection:
            await connection.execute(made.on_conflict_do_update(index_elements=["owner", "hash"], set_=changes))

    async def get(self, owner: str, plan_hash: str) -> StoredPlan | None:
        """The plan of this hash; see the port."""
        query = select(plans).where(plans.c.owner == owner, plans.c.hash == plan_hash)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else StoredPlan(**row._mapping)

    async def use(self, plan: StoredPlan, *, by: str, at: datetime, key: str | None) -> bool:
        """Note that it is used; see the port. Of two at once one changes the row, and the other finds it changed."""
        used = update(plans).where(*_same(plan), plans.c.used_at.is_(None)).values(used_by=by, used_at=at, used_key=key)
        async with self._database.statement() as connection:
            return (await connection.execute(used)).rowcount > 0

    async def release(self, plan: StoredPlan) -> None:
        """It can be used again; see the port."""
        unused = update(plans).where(*_same(plan)).values(used_by=None, used_at=None, used_key=None)
        async with self._database.statement() as connection:
            await connection.execute(unused)

    async def prune(self, *, made_before: datetime) -> int:
        """Delete old plans; see the port."""
        async with self._database.statement() as connection:
            return (await connection.execute(delete(plans).where(plans.c.made_at < made_before))).rowcount


def _same(plan: StoredPlan) -> tuple[Any, ...]:
    return (plans.c.owner == plan.owner, plans.c.hash == plan.hash, plans.c.made_at == plan.made_at)
