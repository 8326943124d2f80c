"""The duty that fires schedules: each slot that is due is started, skipped or missed, and is in the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.executions.cancelling import Canceller
from engine.executions.intake import Intake
from engine.nodes.schedule import ScheduleParameters
from engine.runs.submission import Submission
from workflow.errors import (
    ExecutionNotFoundError,
    IllegalTransitionError,
    JobsprintError,
    LeaseLostError,
    QueueFullError,
    StorageError,
)
from workflow.identity import Initiator
from workflow.items import JsonObject
from workflow.messages import utc_text
from workflow.ports import Clock
from workflow.schedules.accounting import DueSlot, SchedulePolicy, accounted, due_at, merged
from workflow.schedules.ports import ScheduleStore
from workflow.schedules.schedules import (
    RECENT,
    STARTS,
    Schedule,
    SlotEntry,
    SlotOutcome,
    execution_id_of,
)
from workflow.schedules.times import ScheduleTimes, Slot
from workflow.states import FINISHED, ExecutionState

logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Schedules that are fired together: their executions share batches of the store."""
MOST_SLOTS = 10_000
"""Slots of one schedule that are accounted for in one look; a thread counts them."""
AGAIN = timedelta(seconds=1)
"""How long after a slot could not be started it is tried again."""
OVERLAP_LOOK = timedelta(seconds=2)
"""How often a slot that waits for the end of a run looks whether that has come."""
SHORTEST_PAUSE_SECONDS = 1.0
"""Between two looks of a process that finds something due and may not, or cannot, fire it."""
OURSELVES = "jobsprint"
"""Who changed a schedule where nobody did."""
FAILURES = frozenset({ExecutionState.FAILED, ExecutionState.DEAD})
ENDS = frozenset(FINISHED) | {ExecutionState.DEAD}


@dataclass(slots=True, frozen=True)
class Reckoned:
    """What is due of a schedule, in order and not in its ledger yet, and the parts of its trigger that say so. ``last``
    is the last slot that is due, in the ledger or not."""

    parameters: ScheduleParameters
    times: ScheduleTimes
    slots: Sequence[DueSlot]
    last: datetime


@dataclass(slots=True)
class Look:
    """One look at a schedule: it as it becomes, and what goes into its ledger. ``is_running`` says that a run of it
    goes on; ``stopped`` that the slots from here on are to be looked at again."""

    schedule: Schedule
    states: Mapping[str, ExecutionState]
    without_run: list[DueSlot]
    entries: list[SlotEntry]
    is_running: bool
    stopped: bool = False

    def took(self, execution_id: str) -> None:
        """An execution of the schedule is there."""
        recent = (*(each for each in self.schedule.recent if each != execution_id), execution_id)
        self.schedule = replace(self.schedule, recent=recent[-RECENT:])
        self.is_running = True


class ScheduleFiring:
    """Fires what is due; :meth:`fire_due` and :meth:`wait` are a duty's.

    1. A process is killed after it started a slot and before it stored that the schedule has moved on. The slot's entry
       was written with its execution in one transaction, so the next look finds it in the ledger and leaves it alone.
    2. Two processes fire at once, since one was frozen while it held the duty. The execution's id follows from the
       slot, so the second one finds it under another's lease, and nothing of its batch is written.
    3. The clock is set back. Slots are computed from the last one that is accounted for, so none fires twice; the next
       one is due when the clock says so.
    4. The schedule is paused, or published anew, meanwhile. :meth:`ScheduleStore.settle` keeps that change.
    """

    def __init__(
        self,
        *,
        store: ScheduleStore,
        authoring: Authoring,
        intake: Intake,
        canceller: Canceller,
        announcements: Announcements,
        clock: Clock,
    ) -> None:
        self._store = store
        self._authoring = authoring
        self._intake = intake
        self._canceller = canceller
        self._announcements = announcements
        self._clock = clock
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Look again whenever a workflow is published or changed, here or, where events say so, at another process."""

        async def listen() -> None:
            async with self._announcements.listen_to_changes() as events:
                async for _ in events:
                    self.look_again()

        task = asyncio.create_task(listen(), name="schedules-listening")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def look_again(self) -> None:
        """A schedule was made or changed: it may be the next that is due."""
        self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Return when the next schedule is due, or one was changed here, or after so many seconds."""
        try:
            following = await self._store.next_due()
        except StorageError as error:
            logger.warning("schedules could not be read: %s", error.message)
            following = None
        pause = seconds
        if following is not None:
            left = (following - self._clock.now()).total_seconds()
            pause = min(seconds, left if left > 0 else SHORTEST_PAUSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._changed.wait()
        self._changed.clear()

    async def fire_due(self) -> None:
        """Account for every slot that is due now.

        Raises:
            StorageError: the store failed; what is not accounted for yet is due at the next look.
        """
        while due := await self._store.due(now=self._clock.now(), limit=AT_ONCE):
            await self._fire(due)

    async def _fire(self, due: Sequence[Schedule]) -> None:
        now = self._clock.now()
        written = await self._store.accounted(due)
        ids = {each for schedule in due for each in schedule.recent}
        ids |= {entry.execution_id for entries in written.values() for entry in entries if entry.execution_id}
        states = await self._store.states(ids)
        reckoned = await asyncio.to_thread(
            lambda: [self._reckon(schedule, written.get(schedule.id, ()), now) for schedule in due]
        )
        looks = []
        for schedule in due:
            look = Look(schedule, states, [], [], is_running=False)
            for entry in written.get(schedule.id, ()):
                if entry.slot_at == schedule.waiting_slot_at:
                    look.schedule = replace(look.schedule, waiting_slot_at=None)
                if entry.execution_id is not None:
                    look.took(entry.execution_id)
            look.is_running = any(states.get(each, ExecutionState.DEAD) not in ENDS for each in look.schedule.recent)
            looks.append(look)
        await asyncio.gather(*(self._one(look, found, now) for look, found in zip(looks, reckoned, strict=True)))
        await self._store.settle([(look.schedule, look.entries) for look in looks])

    def _reckon(self, schedule: Schedule, written: Sequence[SlotEntry], now: datetime) -> Reckoned | None:
        """What is due; ``None`` where the parameters are none any more. It may take long for a slot each second."""
        try:
            parameters = ScheduleParameters.model_validate(schedule.parameters)
            times = parameters.times(schedule.timezone)
            found = times.until(schedule.last_slot_at, now, most=MOST_SLOTS)
        except Exception:  # one row's failure is that row's
            logger.exception("schedule %s cannot be read", schedule.id)
            return None
        policy = parameters.policy
        slots: list[Slot] = []
        for slot in found:
            if due_at(schedule.id, slot.at, policy.jitter) > now:
                break
            slots.append(slot)
        more_follow = len(slots) == MOST_SLOTS
        left = [slot for slot in slots if not any(e.slot_at <= slot.at <= (e.until_at or e.slot_at) for e in written)]
        done = accounted(left, policy, now=now, more_follow=more_follow)
        return Reckoned(parameters, times, done, slots[-1].at if slots else schedule.last_slot_at)

    async def _one(self, look: Look, reckoned: Reckoned | None, now: datetime) -> None:
        if reckoned is None:
            note = "its trigger cannot be read: publish the workflow again"
            look.schedule = look.schedule.paused(note, by=OURSELVES, now=now)
            return
        policy = reckoned.parameters.policy
        if self._has_failed_too_often(look, policy):
            self._pause(look, policy, now)
            return
        waiting = look.schedule.waiting_slot_at
        if waiting is not None and not look.is_running:
            await self._start(look, DueSlot(waiting, SlotOutcome.STARTED), reckoned, now)
            if not look.stopped:
                look.schedule = replace(look.schedule, waiting_slot_at=None)
        last = look.schedule.last_slot_at
        for slot in reckoned.slots:
            if slot.outcome not in STARTS:
                look.without_run.append(slot)
            else:
                await self._start_unless_it_overlaps(look, slot, reckoned, now)
            if look.stopped:
                break
            last = slot.at
        look.entries += merged(look.schedule, look.without_run, now=now)
        self._go_on(look, reckoned, last if look.stopped else reckoned.last, now)

    async def _start_unless_it_overlaps(self, look: Look, slot: DueSlot, reckoned: Reckoned, now: datetime) -> None:
        overlap = reckoned.parameters.overlap
        if look.is_running and overlap == "queue" and look.schedule.waiting_slot_at is None:
            look.schedule = replace(look.schedule, waiting_slot_at=slot.at)
            return
        if look.is_running and overlap in ("skip", "queue"):
            look.without_run.append(DueSlot(slot.at, SlotOutcome.SKIPPED, "overlap"))
            return
        if look.is_running and overlap == "cancel":
            await self._cancel_running(look)
        await self._start(look, slot, reckoned, now)

    async def _cancel_running(self, look: Look) -> None:
        for execution_id in look.schedule.recent:
            if look.states.get(execution_id) in ENDS:
                continue
            try:
                await self._canceller.cancel(look.schedule.owner, execution_id)
            except (IllegalTransitionError, ExecutionNotFoundError) as error:
                logger.info("execution %s is not cancelled by its schedule: %s", execution_id, error.message)

    async def _start(self, look: Look, slot: DueSlot, reckoned: Reckoned, now: datetime) -> None:
        """Start the slot's execution with its entry; where it is refused, that is in the ledger."""
        schedule = look.schedule
        entry = SlotEntry(
            schedule_id=schedule.id,
            slot_at=slot.at,
            outcome=slot.outcome,
            written_at=now,
            execution_id=execution_id_of(schedule.id, slot.at),
        )
        try:
            await self.start(schedule, entry, reckoned.parameters)
        except (QueueFullError, StorageError) as error:
            if isinstance(error, LeaseLostError):  # another process has started it
                look.took(execution_id_of(schedule.id, slot.at))
                return
            logger.warning("schedule %s: the slot %s is tried again: %s", schedule.id, slot.at, error.message)
            look.stopped = True
        except JobsprintError as error:
            look.entries.append(replace(entry, outcome=SlotOutcome.FAILED, reason=error.message, execution_id=None))
        else:
            look.took(execution_id_of(schedule.id, slot.at))

    async def start(self, schedule: Schedule, entry: SlotEntry, parameters: ScheduleParameters) -> None:
        """Start the execution of an entry, which is written with it.

        Raises:
            JobsprintError: it was refused, see :meth:`engine.executions.intake.Intake.accept`; there is no entry.
        """
        stored = await self._authoring.version(schedule.owner, schedule.workflow_id, "published")
        submission = Submission(
            trigger="schedule",
            initiator=Initiator("schedule", schedule.id),
            start_node=schedule.node,
            data=_item(schedule, entry, parameters),
            execution_id=entry.execution_id,
        )
        await self._intake.accept(self._authoring.compiled(stored), submission, slot=entry)

    @staticmethod
    def _has_failed_too_often(look: Look, policy: SchedulePolicy) -> bool:
        most = policy.pause_after_failures
        last = look.schedule.recent[-most:] if most is not None else ()
        return len(last) == most and all(look.states.get(each) in FAILURES for each in last)

    @staticmethod
    def _pause(look: Look, policy: SchedulePolicy, now: datetime) -> None:
        """The slots that are due from now on are skipped when somebody resumes it."""
        count = policy.pause_after_failures
        note = "its last run failed" if count == 1 else f"its last {count} runs failed"
        look.schedule = look.schedule.paused(note, by=OURSELVES, now=now)

    @staticmethod
    def _go_on(look: Look, reckoned: Reckoned, last: datetime, now: datetime) -> None:
        """Set the next slot, and when the schedule is due again."""
        schedule = replace(look.schedule, last_slot_at=last)
        following = reckoned.times.next_slot(last)
        if following is None and schedule.waiting_slot_at is None:
            look.schedule = schedule.ended("it has no further slot", by=OURSELVES, now=now)
            return
        due = due_at(schedule.id, following, reckoned.parameters.policy.jitter) if following is not None else None
        if look.stopped:
            due = now + AGAIN
        elif schedule.waiting_slot_at is not None:
            due = min(due, now + OVERLAP_LOOK) if due is not None else now + OVERLAP_LOOK
        look.schedule = replace(schedule, next_slot_at=following, due_at=due)


def _item(schedule: Schedule, entry: SlotEntry, parameters: ScheduleParameters) -> JsonObject:
    times = parameters.times(schedule.timezone)
    return {
        **parameters.input,
        "slot_at": utc_text(entry.slot_at),
        "local_time": entry.slot_at.astimezone(times.zone).isoformat(),
        "timezone": times.zone.key,
        "outcome": entry.outcome.value,
    }
