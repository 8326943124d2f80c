"""Duties beside the engine's: what is forgotten when it is old."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.executions.duties import Duties, Duty, Sole
from storage.database.database import Database
from storage.executions.leadership import SqlLeadership
from workflow.ports import Clock, NewId

FORGETTING_SECONDS = 3_600.0
"""How often old rows are looked for. They are kept for days, so an hour more or less does not matter."""


@asynccontextmanager
async def duties_at_work(*duties: Duty, database: Database, clock: Clock, new_id: NewId) -> AsyncIterator[None]:
    """Do the duties until the context is left. Of the processes that share the database one at a time does each."""
    leadership = Sole() if database.is_sqlite else SqlLeadership(database, holder=new_id())
    async with Duties(leadership=leadership, clock=clock, duties=duties).at_work():
        yield
