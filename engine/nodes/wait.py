"""A pause: for a time, until a time, or until a request to the resume link."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from pydantic import AwareDatetime, Field, model_validator

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode, SuspendError
from engine.node_api.parameters import Parameters
from workflow.items import Item, JsonObject

LONGEST_SECONDS = 366 * 24 * 3600


class WaitParameters(Parameters):
    """Give one of seconds, until and for_call; with for_call, seconds is how long to wait at most."""

    seconds: float | None = Field(default=None, ge=0, le=LONGEST_SECONDS)
    until: AwareDatetime | None = Field(default=None, description="ISO 8601 with offset.")
    for_call: bool = Field(default=False, description="Wait for a request to $execution.resumeUrl.")

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.until is not None and (self.for_call or self.seconds is not None):
            raise ValueError("until goes with neither seconds nor for_call")
        if self.until is None and self.seconds is None and not self.for_call:
            raise ValueError("give seconds, until or for_call")
        return self


class Wait(EffectNode[WaitParameters]):
    """Waits, also while the server restarts, then passes its items on.

    After a call the item has resume: {data, by}; if the time is over first, {by: "timer"}.
    """

    name = "wait"
    title = "Wait"
    group = "flow"
    keywords = ("delay", "sleep", "pause", "timer", "until", "resume", "callback")
    example = {"seconds": 3600}
    parameter_model = WaitParameters
    unfit_for_try = "it waits, and a try ends with the call"

    def outside_source(self, parameters: Mapping[str, Any]) -> str | None:
        return "the caller of the resume link" if parameters.get("for_call") else None

    def concurrency(self, parameters: WaitParameters) -> int:
        return 1_000_000  # items that wait do no work

    async def run_item(
        self, index: int, item: Item, parameters: WaitParameters, call: NodeCall[WaitParameters]
    ) -> JsonObject:
        resumption = call.resumption(index)
        if resumption is not None:
            if not parameters.for_call:
                return item.json
            return {**item.json, "resume": {"by": resumption.by, "data": resumption.data}}
        if parameters.for_call:
            details = {"resume_url": call.resume_url(index)}
            raise SuspendError("call", wake_at=_later(call.now, parameters.seconds), details=details)
        wake_at = parameters.until if parameters.until is not None else _later(call.now, parameters.seconds)
        raise SuspendError("timer", wake_at=wake_at)


def _later(moment: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else moment + timedelta(seconds=seconds)
