"""When the schedules of a definition fire, before and after it is published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.nodes.schedule import ScheduleParameters
from workflow.items import JsonObject
from workflow.schedules.schedules import ScheduleTrigger
from workflow.schedules.times import ScheduleTimes

NEXT_SHOWN = 3


def next_firings(times: ScheduleTimes, after: datetime, count: int = NEXT_SHOWN) -> list[str]:
    """The next moments at which it fires, with the offset of its time zone."""
    return [at.astimezone(times.zone).isoformat() for at in times.next_firings(after, count)]


def foreseen_firings(triggers: Sequence[ScheduleTrigger], *, now: datetime) -> dict[str, JsonObject]:
    """By trigger: when it fires in words, and its next firings if it is published now."""
    shown: dict[str, JsonObject] = {}
    for trigger in triggers:
        times = ScheduleParameters.model_validate(trigger.parameters).times(trigger.timezone)
        shown[trigger.node] = {"when": times.words(), "next": next_firings(times, now)}
    return shown
