"""Steps of effects, each done once: a step's result is on the disk before anything depends on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from engine.node_api.ports import Step
from engine.runs.effect_audit import EffectAudit
from engine.runs.run import Run
from workflow.audit import AuditLog
from workflow.executions import EffectKey, EffectStep
from workflow.ports import Clock


def step_result(run: Run, key: EffectKey, name: str) -> Any:
    """The step's result; ``None`` where it is not done."""
    found = run.journal.step(key, name)
    return found.result if found is not None else None


async def run_step_once(
    run: Run, key: EffectKey, step: Step, work: Callable[[], Awaitable[Any]], *, audit: AuditLog, clock: Clock
) -> Any:
    """Do the step unless it is done; its result, JSON that is not null. The audit log notes a step with a target.

    Raises:
        Exception: the work failed.
    """
    found = step_result(run, key, step.name)
    if found is not None:
        return found
    if step.target is None:
        result = await work()
    else:
        notes = EffectAudit(
            audit=audit,
            execution=run.execution,
            key=key,
            kind=step.kind,
            target=step.target,
            credential=step.credential,
            attempt=1,
        )
        result = await notes.around(work)
    run.journal.note(EffectStep(key=key, at=clock.now(), step=step.name, result=result))
    await run.journal.secure()
    return result
