"""How a stored execution comes into this process's hands: by its job, or to be moved on."""

from __future__ import annotations

from functools import partial

from engine.definitions.authoring import Authoring
from engine.dispatch.local_executions import LocalExecution
from engine.executions.service import ExecutionService
from engine.node_api.node_call import WebhookResponse
from workflow.errors import WorkflowNotFoundError
from workflow.executions import ErrorRecord, Execution
from workflow.messages import Job
from workflow.ports import Clock
from workflow.sharing import Leases
from workflow.states import ExecutionState


class ExecutionClaims:
    """Puts executions together with their plans. What cannot have one any more ends as failed."""

    def __init__(self, *, authoring: Authoring, service: ExecutionService, leases: Leases, clock: Clock) -> None:
        self._authoring = authoring
        self._service = service
        self._leases = leases
        self._clock = clock

    async def queued_here(self, job: Job) -> LocalExecution | None:
        """The execution of a job that this process has in hand; ``None`` where it was cancelled while it was queued."""
        return self._service.local.get(job.execution_id)

    async def take(self, job: Job) -> LocalExecution | None:
        """Take an execution in hand whose job a broker has brought; ``None`` where there is nothing to do for it.

        Raises:
            StorageError: the store cannot be asked.
        """
        taken = await self._leases.claim_queued(job.execution_id, now=self._clock.now())
        if taken is None:
            return None
        execution = taken.execution
        if taken.is_cancelled:
            await self._service.move(self._service.ended(execution, ExecutionState.CANCELLED, None), [], local=None)
            return None
        try:
            local = await self.in_hand(execution)
        except WorkflowNotFoundError as error:
            await self.fail_orphan(execution, error)
            return None
        limit = local.compiled.definition.settings.concurrency
        if limit is not None and not await self._leases.admit(execution, job, limit=limit.limit):
            return None
        if local.compiled.responds and execution.trigger == "webhook":
            local.on_answer = partial(self._announce_answer, local)
        self._service.local.add(local)
        return local

    async def fail_orphan(self, execution: Execution, error: WorkflowNotFoundError) -> None:
        """End an execution whose workflow is there no more.

        Raises:
            StorageError: the store failed; it can be done again.
        """
        record = ErrorRecord(
            code=error.code,
            message="The workflow was deleted before the execution went on.",
            fix="Create it again, and run that.",
        )
        failed = self._service.ended(execution.changed(error=record), ExecutionState.FAILED, None)
        await self._service.move(failed, [], local=None)

    def _announce_answer(self, local: LocalExecution, answer: WebhookResponse) -> None:
        kept = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        local.execution = local.execution.changed(answer=kept)
        self._service.store.save(local.execution)
        self._service.announcements.answered(local.execution)

    async def in_hand(self, execution: Execution) -> LocalExecution:
        """The execution with its plan. Only one that nobody has begun is known to have no journal."""
        stored = await self._authoring.workflows.get(execution.owner, execution.workflow_id, execution.workflow_version)
        is_new = execution.started_at is None and execution.rerun_of is None
        return LocalExecution(execution, self._authoring.compiled(stored), recorded=() if is_new else None)
