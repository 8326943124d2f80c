"""Parts of effects, each done once: what a part came to is on the disk before anything depends on it."""

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
    """What the part came to; ``None`` where it is not done."""
    found = run.journal.step(key, name)
    return found.result if found is not None else None


async def run_step_once(
    run: Run, key: EffectKey, part: Step, work: Callable[[], Awaitable[Any]], *, audit: AuditLog, clock: Clock
) -> Any:
    """What the part comes to, as JSON that is not null. Where it leaves the process, the audit log is told.

    Raises:
        Exception: the work failed.
    """
    found = step_result(run, key, part.name)
    if found is not None:
        return found
    if part.target is None:
        result = await work()
    else:
        notes = EffectAudit(
            audit=audit,
            execution=run.execution,
            key=key,
            kind=part.kind,
            target=part.target,
            credential=part.credential,
            attempt=1,
        )
        result = await notes.around(work)
    run.journal.note(EffectStep(key=key, at=clock.now(), step=part.name, result=result))
    await run.journal.secure()
    return result
