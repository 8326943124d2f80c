"""How a stored execution becomes active in this process: by its job, or to be queued again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.dispatch.local_executions import LocalExecution, LocalExecutions
from engine.executions.transitions import Transitions
from engine.node_api.node_call import WebhookResponse
from workflow.errors import WorkflowNotFoundError
from workflow.executions import ErrorRecord, Execution, Record
from workflow.messages import Job
from workflow.ports import Clock, ExecutionStore
from workflow.sharing import Leases
from workflow.states import ExecutionEvent


class ExecutionClaims:
    """Gives claimed executions their compiled workflows. One whose workflow is gone ends as failed."""

    def __init__(
        self,
        *,
        authoring: Authoring,
        store: ExecutionStore,
        local: LocalExecutions,
        leases: Leases,
        transitions: Transitions,
        announcements: Announcements,
        clock: Clock,
    ) -> None:
        self._authoring = authoring
        self._store = store
        self._local = local
        self._leases = leases
        self._transitions = transitions
        self._announcements = announcements
        self._clock = clock

    async def claim_local(self, job: Job) -> LocalExecution | None:
        """The execution of a job of this process's own queue; ``None`` where it was cancelled while it was queued."""
        return self._local.get(job.execution_id)

    async def claim_brokered(self, job: Job) -> LocalExecution | None:
        """The execution of a job that a broker has brought, claimed; ``None`` where there is nothing to do for it.

        Raises:
            StorageError: the store cannot be asked.
        """
        claimed = await self._leases.claim_queued(job.execution_id, now=self._clock.now())
        if claimed is None:
            return None
        execution = claimed.execution
        if claimed.is_cancelled:
            await self._transitions.store(self._transitions.ended(execution, ExecutionEvent.CANCEL))
            return None
        try:
            local = await self._loaded(execution)
        except WorkflowNotFoundError:
            return None  # it has failed
        limit = local.compiled.definition.settings.concurrency
        if limit is not None and not await self._leases.admit(execution, job, limit=limit.limit):
            return None
        if local.compiled.responds and execution.trigger == "webhook":
            local.on_answer = partial(self._announce_answer, local)
        self._local.add(local)
        return local

    async def requeue(
        self, execution: Execution, records: Sequence[Record] = (), *, recorded: Sequence[Record] | None = None
    ) -> LocalExecution:
        """Store a claimed execution, moved to queued, together with new ``records`` of its journal, and dispatch it.

        ``recorded`` is its whole journal where the caller has read it and nothing can have been added since.

        Raises:
            WorkflowNotFoundError: its workflow is gone; the execution has failed.
            StorageError: it could not be stored (yet).
        """
        local = await self._loaded(execution)
        if recorded is not None:
            local.recorded = recorded
        await self._transitions.queue(local, records)
        return local

    async def _loaded(self, execution: Execution) -> LocalExecution:
        """The execution with its compiled workflow. Only one that nobody has begun is known to have no journal.

        Raises:
            WorkflowNotFoundError: its workflow is gone; the execution has failed.
            StorageError: the store failed; it can be done again.
        """
        workflows = self._authoring.workflows
        try:
            stored = await workflows.get(execution.owner, execution.workflow_id, execution.workflow_version)
        except WorkflowNotFoundError as error:
            record = ErrorRecord(
                code=error.code,
                message="The workflow was deleted before the execution went on.",
                fix="Create it again, and run that.",
            )
            failed = self._transitions.ended(execution.changed(error=record), ExecutionEvent.FAIL)
            await self._transitions.store(failed)
            raise
        is_new = execution.started_at is None and execution.rerun_of is None
        return LocalExecution(execution, self._authoring.compiled(stored), recorded=() if is_new else None)

    def _announce_answer(self, local: LocalExecution, answer: WebhookResponse) -> None:
        kept = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        local.execution = local.execution.changed(answer=kept)
        self._store.save(local.execution)
        self._announcements.answered(local.execution)
