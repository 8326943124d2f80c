"""Schedules as they are kept: one for each schedule trigger of a published workflow, and the ledger of its slots."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from workflow.errors import ErrorKind, JobsprintError

RECENT = 10
"""How many of a schedule's latest executions are remembered, for overlap and for failures in a row."""


class ScheduleState(StrEnum):
    """What a schedule does."""

    # It fires. A person or agent pauses it, failures in a row pause it, unpublishing ends it.
    ACTIVE = "active"
    # It does not fire until somebody resumes it; its slots are skipped.
    PAUSED = "paused"
    # Its trigger is not published, or its end has come. Publishing makes it active again.
    ENDED = "ended"


class SlotOutcome(StrEnum):
    """What became of a slot."""

    # An execution started in time.
    STARTED = "started"
    # An execution started late, within the catch-up window.
    CAUGHT_UP = "caught_up"
    # Somebody had it started afterwards, for a slot of the past.
    BACKFILLED = "backfilled"
    # Somebody had one started beside the slots.
    RUN_NOW = "run_now"
    # No execution, as the schedule says: overlap, excluded, paused.
    SKIPPED = "skipped"
    # No execution although one was due: no process ran then, or there was no room.
    MISSED = "missed"
    # No execution: it was refused.
    FAILED = "failed"


STARTS = frozenset({SlotOutcome.STARTED, SlotOutcome.CAUGHT_UP, SlotOutcome.BACKFILLED, SlotOutcome.RUN_NOW})


@dataclass(slots=True, frozen=True, kw_only=True)
class ScheduleTrigger:
    """What publishing says of a schedule: the trigger's node, its parameters as written, and its time zone. A schedule
    that is not there yet gets ``new_id``."""

    new_id: str
    node: str
    parameters: Mapping[str, Any]
    timezone: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Schedule:
    """A schedule. Its identity is the workflow and the name of the trigger, so that it stays when the workflow is
    published again. Times are UTC.

    ``last_slot_at`` is the last slot that is accounted for; ``next_slot_at`` the one after it, which is due at
    ``due_at``: jitter lies in between. ``waiting_slot_at`` is a slot that waits for the end of a run (overlap
    ``queue``). ``recent`` are the latest executions, newest last. ``note`` says why it is paused, ``changed_by`` who
    changed its state, ``changed_at`` when. ``revision`` counts changes: who has read an older one changes nothing.
    """

    id: str
    owner: str
    workflow_id: str
    node: str
    parameters: Mapping[str, Any]
    timezone: str
    state: ScheduleState
    created_at: datetime
    changed_at: datetime
    changed_by: str
    last_slot_at: datetime
    next_slot_at: datetime | None = None
    due_at: datetime | None = None
    waiting_slot_at: datetime | None = None
    recent: tuple[str, ...] = ()
    note: str | None = None
    revision: int = 0

    def active(self, *, by: str, now: datetime) -> Schedule:
        """It fires again, from now on; runs of before count neither as overlapping nor as failed."""
        moved = self._in(ScheduleState.ACTIVE, by=by, now=now, note=None)
        return replace(moved, last_slot_at=now, due_at=now, recent=())

    def paused(self, note: str, *, by: str, now: datetime) -> Schedule:
        """It fires no more until somebody resumes it."""
        return self._in(ScheduleState.PAUSED, by=by, now=now, note=note)

    def ended(self, note: str, *, by: str, now: datetime) -> Schedule:
        """It fires no more until a version is published in which it fires."""
        return self._in(ScheduleState.ENDED, by=by, now=now, note=note)

    def _in(self, state: ScheduleState, *, by: str, now: datetime, note: str | None) -> Schedule:
        """It in this state, with nothing due: in the one place where the state of a schedule changes."""
        return replace(self, state=state, due_at=None, next_slot_at=None, changed_by=by, changed_at=now, note=note)


@dataclass(slots=True, frozen=True, kw_only=True)
class SlotEntry:
    """An entry of the ledger: one slot, or ``count`` slots from ``slot_at`` to ``until_at`` with the same outcome.

    ``is_extra`` tells what somebody had started (backfilled, run now) from what the schedule did of the same slot.
    ``reason`` is a word (``overlap``, ``paused``, ``excluded``, ``late``, ``no_room``) or why a start was refused.
    """

    schedule_id: str
    slot_at: datetime
    outcome: SlotOutcome
    written_at: datetime
    until_at: datetime | None = None
    count: int = 1
    is_extra: bool = False
    reason: str | None = None
    execution_id: str | None = None


class ScheduleNotFoundError(JobsprintError):
    """There is no such schedule in the workspace."""

    code = "schedule_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, schedule_id: str) -> None:
        super().__init__(
            f"There is no schedule {schedule_id!r}.",
            fix="List the schedules, or look at the workflow: a schedule is there once its workflow is published.",
        )


class ScheduleStateError(JobsprintError):
    """The schedule is not in a state in which this can be done."""

    code = "schedule_state"
    kind = ErrorKind.CONFLICT


def execution_id_of(schedule_id: str, slot_at: datetime, *, is_extra: bool = False) -> str:
    """The id of the execution of a slot: the same in every process, so that a slot starts one execution at most."""
    place = f"schedule:{schedule_id}:{slot_at.isoformat()}"
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{place}:extra" if is_extra else place))
