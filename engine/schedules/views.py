"""How schedules are shown, to agents and programs alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engine.definitions.firings import next_firings
from engine.nodes.schedule import ScheduleParameters
from workflow.items import JsonObject
from workflow.messages import utc_text
from workflow.schedules.schedules import Schedule, ScheduleState, SlotEntry, SlotOutcome

_REASONS = {
    "overlap": "the run before went on",
    "paused": "the schedule was paused",
    "excluded": "its date is left out",
    "late": "no server fired it in time",
}


def schedule_json(
    schedule: Schedule,
    *,
    now: datetime,
    latest: SlotEntry | None = None,
    counts: Mapping[SlotOutcome, int] | None = None,
) -> JsonObject:
    """A schedule: when it fires in words, the next firings in its time zone, its latest slot, what became of all."""
    times = ScheduleParameters.model_validate(schedule.parameters).times(schedule.timezone)
    shown: JsonObject = {
        "schedule_id": schedule.id,
        "workflow_id": schedule.workflow_id,
        "trigger": schedule.node,
        "state": schedule.state.value,
        "when": times.words(),
    }
    if schedule.state is ScheduleState.ACTIVE:
        shown["next"] = next_firings(times, max(schedule.last_slot_at, now))
    if schedule.note is not None:
        shown |= {"note": schedule.note, "changed_at": utc_text(schedule.changed_at), "changed_by": schedule.changed_by}
    if schedule.waiting_slot_at is not None:
        shown["waits_for_run"] = utc_text(schedule.waiting_slot_at)
    if latest is not None:
        shown["last"] = entry_json(latest)
    if counts:
        shown["slots"] = {outcome.value: count for outcome, count in counts.items()}
    return shown


def entry_json(entry: SlotEntry) -> JsonObject:
    """An entry of the ledger, with a sentence where no execution started."""
    shown: JsonObject = {"slot_at": utc_text(entry.slot_at), "outcome": entry.outcome.value}
    if entry.count > 1 and entry.until_at is not None:
        shown |= {"until": utc_text(entry.until_at), "count": entry.count}
    if entry.execution_id is not None:
        shown["execution_id"] = entry.execution_id
    if entry.reason is not None:
        shown["reason"] = _REASONS.get(entry.reason, entry.reason)
    return shown
