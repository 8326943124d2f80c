"""Entries of the audit log that a batch of executions takes along, in the same transaction."""

from __future__ import annotations

import asyncio
from pathlib import Path

from storage.clock import SystemClock
from storage.executions.lease import Lease
from storage.executions.store import SqlExecutionStore
from storage.ids import UuidFactory
from storage.people.audit import AuditFilter, SqlAuditLog
from tests.storage.executions.test_repositories import execution
from tests.support.accounts import actor
from tests.support.databases import database_of


async def test_what_effects_note_is_written_with_executions(tmp_path: Path) -> None:
    clock = SystemClock()
    async with (
        database_of("sqlite", tmp_path) as database,
        SqlAuditLog(database, clock=clock, new_id=UuidFactory(clock=clock)) as log,
        SqlExecutionStore(database, lease=Lease(owner="one", seconds=30), blobs=None, audit=log) as store,
    ):
        ada = actor("ada")
        log.note(ada, "workflow.updated", "workflow:1")
        await log.written()
        for number in range(20):
            details = {"node": f"n\0{number}", "attempt": 1, "target": "POST https://user:secret@example.com/x"}
            log.note(ada, "effect.sent", f"execution:{number}", details)
            store.save(execution(number), is_new=True)
            await asyncio.gather(*(store.committed(execution(each).id) for each in range(number + 1)))
        page = await log.page(ada.workspace_id, AuditFilter(action="effect"), limit=100, cursor=None)
        assert [each.subject for each in page.items] == [f"execution:{number}" for number in reversed(range(20))]
        assert page.items[0].details == {
            "node": "n\ufffd19",
            "attempt": 1,
            "target": "POST https://user:[hidden]@example.com/x",
        }
