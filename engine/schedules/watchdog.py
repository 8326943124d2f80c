"""Says when a schedule should have fired and did not: a duty beside the one that fires."""

from __future__ import annotations

import logging
from datetime import timedelta

from engine.announcements import Announcements
from workflow.messages import utc_text
from workflow.ports import Clock
from workflow.schedules.ports import ScheduleStore

logger = logging.getLogger(__name__)

GRACE = timedelta(seconds=60)
"""How long after it was due a slot is expected to be accounted for."""
MOST_SHOWN = 100


class ScheduleWatchdog:
    """Logs and announces each slot once that is due for longer than :data:`GRACE` and not in the ledger."""

    def __init__(self, *, store: ScheduleStore, announcements: Announcements, clock: Clock) -> None:
        self._store = store
        self._announcements = announcements
        self._clock = clock
        self._told: set[tuple[str, str]] = set()

    async def look(self) -> None:
        """Look once.

        Raises:
            StorageError: the store failed.
        """
        overdue = await self._store.overdue(due_before=self._clock.now() - GRACE, limit=MOST_SHOWN)
        now_overdue = {(each.id, str(each.next_slot_at)) for each in overdue}
        for schedule in overdue:
            if (schedule.id, str(schedule.next_slot_at)) in self._told:
                continue
            due = utc_text(schedule.due_at) if schedule.due_at is not None else "?"
            logger.warning(
                "expected but not run: schedule %s of workflow %s was due at %s", schedule.id, schedule.workflow_id, due
            )
            self._announcements.schedule_overdue(schedule)
        self._told = now_overdue
