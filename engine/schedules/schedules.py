"""What people and agents do with schedules: look, pause, resume, run now, run past slots."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from engine.nodes.schedule import ScheduleParameters
from engine.schedules.firing import ScheduleFiring
from engine.schedules.views import schedule_json
from workflow.audit import AuditLog
from workflow.errors import InvalidArgumentsError, LeaseLostError, NextCall
from workflow.identity import Actor
from workflow.items import JsonObject
from workflow.ports import Clock, Page
from workflow.schedules.accounting import DueSlot, merged
from workflow.schedules.ports import ScheduleStore
from workflow.schedules.schedules import (
    Schedule,
    ScheduleState,
    ScheduleStateError,
    SlotEntry,
    SlotOutcome,
    execution_id_of,
)

MOST_BACKFILLED = 1_000
"""Past slots that are started by one request."""
STARTED_AT_ONCE = 50
MOST_SKIPPED = 1_000_000
"""Slots of a pause that are counted; a schedule that fires each second has as many in eleven days."""
MOST_OF_A_WORKFLOW = 2_000
ATTEMPTS = 5
"""A change meets the duty's own change of the row now and then."""


@dataclass(slots=True, frozen=True)
class Backfilled:
    """The executions of past slots: started now, or there already from an earlier backfill."""

    execution_ids: Sequence[str]
    already: int


class Schedules:
    """Schedules of an actor's workspace. Changes are in the audit log when a method returns."""

    def __init__(self, *, store: ScheduleStore, firing: ScheduleFiring, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._firing = firing
        self._audit = audit
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def page(self, owner: str, *, workflow_id: str | None, limit: int, cursor: str | None) -> Page[JsonObject]:
        """Schedules as they are shown; with a workflow also those that have ended.

        Raises:
            InvalidArgumentsError: the cursor is none of this list.
        """
        page = await self._store.page(owner, workflow_id=workflow_id, limit=limit, cursor=cursor)
        return Page(await self._shown(owner, page.items), page.next_cursor)

    async def get(self, owner: str, schedule_id: str) -> JsonObject:
        """One schedule as it is shown.

        Raises:
            ScheduleNotFoundError: there is none.
        """
        return (await self._shown(owner, [await self._store.get(owner, schedule_id)]))[0]

    async def ledger(
        self, owner: str, schedule_id: str, *, outcome: SlotOutcome | None, limit: int, cursor: str | None
    ) -> Page[SlotEntry]:
        """What became of its slots, newest first; see the port."""
        return await self._store.ledger(owner, schedule_id, outcome=outcome, limit=limit, cursor=cursor)

    async def pause_all(self, actor: Actor, workflow_id: str, *, note: str | None = None) -> Sequence[JsonObject]:
        """Pause every schedule of a workflow that has not ended, as :meth:`pause` does; they as they are then.

        Raises:
            ScheduleStateError: the workflow has none that could be paused.
        """
        return [await self.pause(actor, each, note=note) for each in await self._of(actor, workflow_id)]

    async def resume_all(self, actor: Actor, workflow_id: str) -> Sequence[JsonObject]:
        """Resume every schedule of a workflow that has not ended, as :meth:`resume` does; they as they are then.

        Raises:
            ScheduleStateError: the workflow has none that could be resumed.
        """
        return [await self.resume(actor, each) for each in await self._of(actor, workflow_id)]

    async def _of(self, actor: Actor, workflow_id: str) -> list[str]:
        page = await self._store.page(actor.workspace_id, workflow_id=workflow_id, limit=MOST_OF_A_WORKFLOW)
        found = [each.id for each in page.items if each.state is not ScheduleState.ENDED]
        if not found:
            raise ScheduleStateError(
                "The workflow has no schedule that is in use.",
                fix="Publish a version that has a trigger of type schedule.",
                next_call=NextCall("get_workflow", {"workflow_id": workflow_id, "view": "summary"}),
            )
        return found

    async def pause(self, actor: Actor, schedule_id: str, *, note: str | None = None) -> JsonObject:
        """Let it start nothing until it is resumed. Runs that go on go on.

        Raises:
            ScheduleNotFoundError, ScheduleStateError: there is none, or it has ended.
        """

        async def paused(schedule: Schedule) -> tuple[Schedule, Sequence[SlotEntry]]:
            _refuse_ended(schedule)
            return schedule.paused(note or "paused", by=actor.user_id, now=self._clock.now()), ()

        return await self._change(actor, schedule_id, "schedule.paused", paused)

    async def resume(self, actor: Actor, schedule_id: str) -> JsonObject:
        """Let it fire again, from now on; the slots of the pause are in the ledger as skipped.

        Raises:
            ScheduleNotFoundError, ScheduleStateError: there is none, or it has ended.
        """

        async def resumed(schedule: Schedule) -> tuple[Schedule, Sequence[SlotEntry]]:
            _refuse_ended(schedule)
            if schedule.state is ScheduleState.ACTIVE:
                return schedule, ()
            now = self._clock.now()
            skipped = await asyncio.to_thread(_skipped, schedule, now)
            return schedule.active(by=actor.user_id, now=now), merged(schedule, skipped, now=now)

        return await self._change(actor, schedule_id, "schedule.resumed", resumed)

    async def run_now(self, actor: Actor, schedule_id: str) -> str:
        """Start an execution beside the slots, as one of them would; its id.

        Raises:
            ScheduleNotFoundError: there is none.
            JobsprintError: it was refused, see :meth:`engine.executions.intake.Intake.accept`.
        """
        schedule = await self._store.get(actor.workspace_id, schedule_id)
        entry = _extra(schedule, self._clock.now(), SlotOutcome.RUN_NOW, now=self._clock.now())
        await self._firing.start(schedule, entry, ScheduleParameters.model_validate(schedule.parameters))
        await self._note(actor, "schedule.run_now", schedule, {"execution": entry.execution_id})
        return str(entry.execution_id)

    async def backfill(self, actor: Actor, schedule_id: str, *, begin: datetime, end: datetime) -> Backfilled:
        """Start an execution for each slot from ``begin`` to ``end`` that has none; slots of excluded dates aside.

        Raises:
            ScheduleNotFoundError: there is none.
            InvalidArgumentsError: the time is not past, or has more than :data:`MOST_BACKFILLED` slots.
            JobsprintError: one was refused; those before it have started, and the same request starts the rest.
        """
        schedule = await self._store.get(actor.workspace_id, schedule_id)
        now = self._clock.now()
        if not begin <= end <= now:
            raise InvalidArgumentsError(
                "A backfill is for a time that is past.",
                pointer="/end",
                fix="Give begin before end, and end before now.",
            )
        parameters = ScheduleParameters.model_validate(schedule.parameters)
        times = parameters.times(schedule.timezone)
        before = begin - timedelta(microseconds=1)
        slots = await asyncio.to_thread(times.until, before, end, most=MOST_BACKFILLED + 1)
        if len(slots) > MOST_BACKFILLED:
            raise InvalidArgumentsError(
                f"There are more than {MOST_BACKFILLED} slots in this time.",
                pointer="/begin",
                fix="Take a shorter time, and then the next one.",
            )
        wanted = [slot.at for slot in slots if not slot.excluded]
        # Of two backfills of one time the second finds what the first has started.
        async with self._turns.setdefault(schedule_id, asyncio.Lock()):
            has_run = await self._have_run(schedule, wanted)
            entries = [_extra(schedule, at, SlotOutcome.BACKFILLED, now=now) for at in wanted if at not in has_run]
            for start in range(0, len(entries), STARTED_AT_ONCE):
                part = entries[start : start + STARTED_AT_ONCE]
                await asyncio.gather(*(self._start_once(schedule, entry, parameters) for entry in part))
        await self._note(actor, "schedule.backfilled", schedule, {"slots": len(entries)})
        return Backfilled([str(entry.execution_id) for entry in entries], len(wanted) - len(entries))

    async def _shown(self, owner: str, schedules: Sequence[Schedule]) -> list[JsonObject]:
        if not schedules:
            return []
        now = self._clock.now()
        counts = await self._store.counts(owner, [each.id for each in schedules])
        shown = []
        for schedule in schedules:
            latest = await self._store.ledger(owner, schedule.id, limit=1)
            entry = next(iter(latest.items), None)
            shown.append(schedule_json(schedule, now=now, latest=entry, counts=counts[schedule.id]))
        return shown

    async def _have_run(self, schedule: Schedule, wanted: Sequence[datetime]) -> set[datetime]:
        """The slots whose execution is there already, by the schedule or by an earlier backfill."""
        places = {execution_id_of(schedule.id, at, is_extra=extra): at for at in wanted for extra in (False, True)}
        return {places[execution_id] for execution_id in await self._store.states(list(places))}

    async def _start_once(self, schedule: Schedule, entry: SlotEntry, parameters: ScheduleParameters) -> None:
        try:
            await self._firing.start(schedule, entry, parameters)
        except LeaseLostError:
            return  # the same backfill at another process has started it

    async def _change(self, actor: Actor, schedule_id: str, action: str, change: Any) -> JsonObject:
        """Change a schedule as it is now; where the duty has moved it on meanwhile, again."""
        for attempt in range(ATTEMPTS):
            schedule = await self._store.get(actor.workspace_id, schedule_id)
            changed, entries = await change(schedule)
            if changed is schedule:
                break
            try:
                await self._store.change(changed, entries)
            except ScheduleStateError:
                if attempt + 1 == ATTEMPTS:
                    raise
            else:
                await self._note(actor, action, schedule, {"note": changed.note} if changed.note else {})
                break
        self._firing.look_again()
        return await self.get(actor.workspace_id, schedule_id)

    async def _note(self, actor: Actor, action: str, schedule: Schedule, details: JsonObject) -> None:
        self._audit.note(actor, action, f"schedule:{schedule.id}", {"workflow": schedule.workflow_id, **details})
        await self._audit.written()


def _refuse_ended(schedule: Schedule) -> None:
    if schedule.state is ScheduleState.ENDED:
        raise ScheduleStateError(
            f"The schedule has ended: {schedule.note}.",
            fix="Publish the workflow with a trigger that still fires; that makes the schedule active again.",
        )


def _skipped(schedule: Schedule, now: datetime) -> list[DueSlot]:
    """The slots of a pause."""
    times = ScheduleParameters.model_validate(schedule.parameters).times(schedule.timezone)
    slots = times.until(schedule.last_slot_at, now, most=MOST_SKIPPED)
    return [DueSlot(slot.at, SlotOutcome.SKIPPED, "excluded" if slot.excluded else "paused") for slot in slots]


def _extra(schedule: Schedule, at: datetime, outcome: SlotOutcome, *, now: datetime) -> SlotEntry:
    return SlotEntry(
        schedule_id=schedule.id,
        slot_at=at,
        outcome=outcome,
        written_at=now,
        is_extra=True,
        execution_id=execution_id_of(schedule.id, at, is_extra=True),
    )
