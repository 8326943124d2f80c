"""The port of schedules and their ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from workflow.ports import Page
from workflow.schedules.schedules import Schedule, SlotEntry, SlotOutcome
from workflow.states import ExecutionState


class ScheduleStore(Protocol):
    """Schedules and what became of their slots. Every method is one transaction.

    Publishing and unpublishing make and end schedules (:class:`workflow.definitions.publication.Publication`).
    ``owner`` is the workspace that asks; what belongs to another one is not there for it.
    """

    async def get(self, owner: str, schedule_id: str) -> Schedule:
        """One schedule.

        Raises:
            ScheduleNotFoundError: no such schedule.
        """
        ...

    async def page(
        self, owner: str, *, workflow_id: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[Schedule]:
        """Schedules that have not ended, newest first; with a workflow those of that one, ended ones too.

        Raises:
            InvalidArgumentsError: ``cursor`` is not one that this method gave out.
        """
        ...

    async def due(self, *, now: datetime, limit: int) -> Sequence[Schedule]:
        """Active schedules, of all workspaces, whose next slot is due, those that are due longest first."""
        ...

    async def next_due(self) -> datetime | None:
        """When the next schedule is due."""
        ...

    async def accounted(self, schedules: Collection[Schedule]) -> Mapping[str, Sequence[SlotEntry]]:
        """By schedule, the entries of slots after its ``last_slot_at`` and of the one that waits: what a process had
        written when it ended."""
        ...

    async def settle(self, settled: Collection[tuple[Schedule, Sequence[SlotEntry]]]) -> None:
        """Store schedules as they are now, each with entries to add to its ledger. One that was changed by somebody
        else since it was read keeps that change, and only its ledger grows."""
        ...

    async def change(self, schedule: Schedule, entries: Sequence[SlotEntry] = ()) -> Schedule:
        """Store a schedule that was changed, with entries to add; as it is then.

        Raises:
            ScheduleStateError: somebody else changed it since it was read.
        """
        ...

    async def add(self, entries: Sequence[SlotEntry]) -> None:
        """Add entries to the ledger; one that is there already stays."""
        ...

    async def states(self, execution_ids: Collection[str]) -> Mapping[str, ExecutionState]:
        """The states of those executions that are stored."""
        ...

    async def ledger(
        self, owner: str, schedule_id: str, *, outcome: SlotOutcome | None = None, limit: int, cursor: str | None = None
    ) -> Page[SlotEntry]:
        """The entries of a schedule, newest slot first.

        Raises:
            ScheduleNotFoundError: no such schedule.
            InvalidArgumentsError: ``cursor`` is not one that this method gave out.
        """
        ...

    async def counts(self, owner: str, schedule_ids: Collection[str]) -> Mapping[str, Mapping[SlotOutcome, int]]:
        """By schedule, how many slots had which outcome."""
        ...

    async def overdue(self, *, due_before: datetime, limit: int) -> Sequence[Schedule]:
        """Active schedules, of all workspaces, whose next slot was due before then and is not accounted for."""
        ...

    async def prune(self, *, written_before: datetime, limit: int) -> int:
        """Delete up to ``limit`` entries of ledgers that are older; how many."""
        ...
