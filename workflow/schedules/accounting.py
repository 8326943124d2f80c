"""What becomes of the slots that are due: started, caught up, skipped or missed, by the schedule's policy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from workflow.schedules.schedules import Schedule, SlotEntry, SlotOutcome
from workflow.schedules.times import Slot

Overlap = Literal["skip", "allow", "queue", "cancel"]

IN_TIME = timedelta(seconds=30)
"""A slot that starts within this time of being due counts as started in time; later it is caught up."""


@dataclass(slots=True, frozen=True, kw_only=True)
class SchedulePolicy:
    """What a schedule does about runs that overlap, slots that are late, and failures in a row."""

    overlap: Overlap = "skip"
    catch_up: timedelta = timedelta(minutes=10)
    catch_up_most: int = 1
    jitter: timedelta = timedelta()
    pause_after_failures: int | None = None


class DueSlot(NamedTuple):
    """A slot that is due: what becomes of it, and why where no execution is to start."""

    at: datetime
    outcome: SlotOutcome
    reason: str | None = None


def due_at(schedule_id: str, slot_at: datetime, jitter: timedelta) -> datetime:
    """When a slot is due: a part of the jitter later, the same in every process and after every restart."""
    if not jitter:
        return slot_at
    digest = hashlib.blake2b(f"{schedule_id}:{slot_at.isoformat()}".encode(), digest_size=8).digest()
    return slot_at + jitter * (int.from_bytes(digest, "big") / 2**64)


def accounted(
    slots: Sequence[Slot], policy: SchedulePolicy, *, now: datetime, more_follow: bool = False
) -> list[DueSlot]:
    """What becomes of slots that are due, in order; whether a run overlaps is not looked at here.

    Slots in time start. Of those that are late, the last ``catch_up_most`` within the window are caught up; the others
    are missed, as are all late ones where ``more_follow`` that are due.
    """
    late = [slot for slot in slots if not slot.excluded and now - slot.at > IN_TIME + policy.jitter]
    within = [slot for slot in late if now - slot.at <= policy.catch_up + policy.jitter]
    most = 0 if more_follow else policy.catch_up_most
    caught = frozenset(slot.at for slot in within[max(0, len(within) - most) :])
    are_late = frozenset(slot.at for slot in late)
    found = []
    for slot in slots:
        if slot.excluded:
            found.append(DueSlot(slot.at, SlotOutcome.SKIPPED, "excluded"))
        elif slot.at in caught:
            found.append(DueSlot(slot.at, SlotOutcome.CAUGHT_UP))
        elif slot.at in are_late:
            found.append(DueSlot(slot.at, SlotOutcome.MISSED, "late"))
        else:
            found.append(DueSlot(slot.at, SlotOutcome.STARTED))
    return found


def merged(schedule: Schedule, slots: Sequence[DueSlot], *, now: datetime) -> list[SlotEntry]:
    """Entries for slots without executions; neighbours with the same outcome are one entry."""
    entries: list[SlotEntry] = []
    for slot in slots:
        last = entries[-1] if entries else None
        if last is not None and (last.outcome, last.reason) == (slot.outcome, slot.reason):
            begun = SlotEntry(
                schedule_id=schedule.id,
                slot_at=last.slot_at,
                until_at=slot.at,
                count=last.count + 1,
                outcome=slot.outcome,
                reason=slot.reason,
                written_at=now,
            )
            entries[-1] = begun
        else:
            entries.append(
                SlotEntry(
                    schedule_id=schedule.id, slot_at=slot.at, outcome=slot.outcome, reason=slot.reason, written_at=now
                )
            )
    return entries
