"""Plans that runs are approved by: what somebody was shown that a run would do, for one run, for a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from workflow.errors import ErrorKind, JobsprintError, NextCall
from workflow.items import JsonObject

LASTS = timedelta(hours=1)
"""How long a plan can be used: what it was approved for may not be wanted any more later."""
MOST_DIFFERENCES = 5
LONGEST_VALUE = 80
"""Characters of a value in a difference."""


@dataclass(slots=True, frozen=True, kw_only=True)
class StoredPlan:
    """A plan as it is kept: ``hash`` names it in its workspace, ``effects`` are those that were shown. ``used_by`` had
    it run, at ``used_at``, with this idempotency key if any. Times are UTC."""

    owner: str
    hash: str
    workflow_id: str
    effects: Sequence[JsonObject]
    made_by: str
    made_at: datetime
    used_by: str | None = None
    used_at: datetime | None = None
    used_key: str | None = None


class PlanStore(Protocol):
    """Plans by workspace and hash."""

    async def add(self, plan: StoredPlan) -> None:
        """Keep a plan, unused, in place of the one of this hash."""
        ...

    async def get(self, owner: str, plan_hash: str) -> StoredPlan | None:
        """The plan of this hash."""
        ...

    async def use(self, plan: StoredPlan, *, by: str, at: datetime, key: str | None) -> bool:
        """Note that the plan is used; false where it is already, or was made anew, since it was read."""
        ...

    async def release(self, plan: StoredPlan) -> None:
        """The run did not start: the plan can be used again."""
        ...

    async def prune(self, *, made_before: datetime) -> int:
        """Delete plans that are older; how many that was."""
        ...


class PlanChangedError(JobsprintError):
    """A run would now do something else than what was planned; nothing was started."""

    code = "plan_changed"
    kind = ErrorKind.CONFLICT

    def __init__(self, differences: Sequence[str], *, plan_again: NextCall) -> None:
        what = f" {'; '.join(differences)}." if differences else ""
        super().__init__(
            f"A run would now do something else than what was planned.{what} Nothing was started.",
            pointer="/plan_hash",
            fix="Plan again with the same input, look at what has changed, and execute with the new plan_hash.",
            next_call=plan_again,
        )


class PlanUsedError(JobsprintError):
    """A run was started by this plan before: a plan is for one run."""

    code = "plan_used"
    kind = ErrorKind.CONFLICT

    def __init__(self, *, plan_again: NextCall) -> None:
        super().__init__(
            "This plan was used before, and a plan is for one run. Nothing was started.",
            pointer="/plan_hash",
            fix="Plan again and have that approved. To get the run that it started, send the same idempotency_key.",
            next_call=plan_again,
        )


class PlanExpiredError(JobsprintError):
    """The plan is too old, or was never made here."""

    code = "plan_expired"
    kind = ErrorKind.CONFLICT

    def __init__(self, *, plan_again: NextCall) -> None:
        super().__init__(
            f"There is no such plan of the last {LASTS // timedelta(minutes=1)} minutes. Nothing was started.",
            pointer="/plan_hash",
            fix="Plan again and have that approved.",
            next_call=plan_again,
        )


def differences(then: Sequence[JsonObject], now: Sequence[JsonObject]) -> list[str]:
    """How the effects of now differ from those that were planned, in a few sentences without a full stop."""
    found: list[str] = []
    known = {_place(effect): effect for effect in then}
    for effect in now:
        planned = known.pop(_place(effect), None)
        where = f"node {effect['node']!r}, item {effect['item_index']}"
        if planned is None:
            found.append(f"{where}: its effect was not planned")
        else:
            found += [
                f"{where}: {name} was {_shown(old)}, now {_shown(new)}" for name, old, new in _changed(planned, effect)
            ]
    found += [f"node {node!r}, item {item}: its effect is gone" for node, item in known]
    if len(found) > MOST_DIFFERENCES:
        return [*found[:MOST_DIFFERENCES], f"and {len(found) - MOST_DIFFERENCES} more differences"]
    return found or ["the input or the version is another one"]


def _place(effect: JsonObject) -> tuple[str, int]:
    return effect["node"], effect["item_index"]


def _changed(planned: JsonObject, effect: JsonObject) -> list[tuple[str, Any, Any]]:
    then, now = _flat(planned), _flat(effect)
    return [(name, then.get(name), now.get(name)) for name in {**then, **now} if then.get(name) != now.get(name)]


def _flat(effect: JsonObject) -> Mapping[str, Any]:
    """The members of an effect, those of its parameters among them."""
    parameters = effect.get("parameters")
    rest = {name: value for name, value in effect.items() if name != "parameters"}
    return {**rest, **(parameters if isinstance(parameters, dict) else {})}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
