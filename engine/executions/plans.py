"""Runs by plan: somebody is shown what a run would do, and then exactly that runs, once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson

from engine.definitions.compiled import CompiledWorkflow
from engine.executions.intake import Requested
from engine.runs.dry_run import ExecutionPlan, Planner
from engine.runs.submission import Submission
from workflow.audit import AuditLog
from workflow.errors import JobsprintError, NextCall
from workflow.identity import Actor
from workflow.items import JsonObject
from workflow.messages import utc_text
from workflow.plans import (
    LASTS,
    PlanChangedError,
    PlanExpiredError,
    PlanStore,
    PlanUsedError,
    StoredPlan,
    differences,
)
from workflow.ports import Clock
from workflow.redaction import redacted

SHOWN_INPUT_BYTES = 1_000
"""The largest input that an error repeats."""
KEPT_BYTES = 64 << 10
"""The largest effects that are kept to be compared; of larger ones only the hash is."""


class Plans:
    """Makes plans, and has runs started by them.

    A plan is for one run and lasts an hour. It is approved by the actor whose call names its hash: the audit log keeps
    who that was, who made the plan, and the execution.
    """

    def __init__(self, *, planner: Planner, store: PlanStore, audit: AuditLog, clock: Clock) -> None:
        self._planner = planner
        self._store = store
        self._audit = audit
        self._clock = clock

    async def make(
        self, actor: Actor, compiled: CompiledWorkflow, *, start_node: str | None, data: object, is_first_page: bool
    ) -> ExecutionPlan:
        """The plan of a run with this input, kept for that run. Further pages of it do not make it anew.

        Raises:
            InvalidArgumentsError, NodeNotFoundError: see the planner.
        """
        plan = await self._planner.plan(compiled, start_node=start_node, data=data)
        if is_first_page:
            effects = _shown(plan)
            is_small = len(orjson.dumps(effects, default=str)) <= KEPT_BYTES
            await self._store.prune(made_before=self._clock.now() - LASTS)
            await self._store.add(
                StoredPlan(
                    owner=actor.workspace_id,
                    hash=plan.hash,
                    workflow_id=compiled.workflow_id,
                    effects=effects if is_small else (),
                    made_by=actor.user_id,
                    made_at=self._clock.now(),
                )
            )
        return plan

    async def started(
        self,
        actor: Actor,
        compiled: CompiledWorkflow,
        submission: Submission,
        start: Callable[[], Awaitable[Requested]],
        *,
        plan_hash: str,
        key: str | None,
    ) -> Requested:
        """What ``start`` gives, where the run would do what the plan says.

        1. Two calls use a plan at once: one marks it as used, and the other is refused.
        2. The run is refused (no room): the plan can be used again.
        3. The process is killed in between: the plan counts as used, though no run began. Planning again costs nothing.

        Raises:
            PlanChangedError, PlanExpiredError, PlanUsedError: nothing was started.
            JobsprintError: see :meth:`engine.executions.intake.ExecutionRequests.request`.
        """
        again = _plan_again(compiled, submission)
        stored = await self._checked(actor, compiled, submission, plan_hash, again)
        if stored.used_at is not None:
            if key is None or key != stored.used_key:
                raise PlanUsedError(plan_again=again)
            return await start()  # the same request once more, which gets the run that it started
        if not await self._store.use(stored, by=actor.user_id, at=self._clock.now(), key=key):
            raise PlanUsedError(plan_again=again)
        try:
            requested = await start()
        except JobsprintError:
            await self._store.release(stored)
            raise
        details: JsonObject = {"plan": plan_hash, "planned_by": stored.made_by, "planned_at": utc_text(stored.made_at)}
        self._audit.note(actor, "execution.approved", f"execution:{requested.execution_id}", details)
        await self._audit.written()
        return requested

    async def _checked(
        self, actor: Actor, compiled: CompiledWorkflow, submission: Submission, plan_hash: str, again: NextCall
    ) -> StoredPlan:
        now = await self._planner.plan(compiled, start_node=submission.start_node, data=submission.data)
        stored = await self._store.get(actor.workspace_id, plan_hash)
        if now.hash != plan_hash:
            found = differences(stored.effects, _shown(now)) if stored is not None and stored.effects else []
            raise PlanChangedError(found, plan_again=again)
        if stored is None or self._clock.now() - stored.made_at > LASTS:
            raise PlanExpiredError(plan_again=again)
        return stored


def _shown(plan: ExecutionPlan) -> list[JsonObject]:
    """The effects without secrets."""
    return [redacted(effect.to_json()) for effect in plan.effects]


def _plan_again(compiled: CompiledWorkflow, submission: Submission) -> NextCall:
    arguments: JsonObject = {"workflow_id": compiled.workflow_id}
    data = submission.data
    if data is not None and len(orjson.dumps(data)) <= SHOWN_INPUT_BYTES:
        arguments["input"] = data
    return NextCall("plan_execution", arguments)
