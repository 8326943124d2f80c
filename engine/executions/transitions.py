"""How an execution comes to a new state: stored, then dispatched or released, then announced, in this order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.announcements import Announcements
from engine.definitions.compiled import CompiledWorkflow
from engine.dispatch.local import Dispatch
from engine.dispatch.local_executions import LocalExecution, LocalExecutions
from engine.runs.run import Run
from workflow.executions import EncodedRecord, Execution, Record
from workflow.ports import Clock, ExecutionStore
from workflow.states import ExecutionEvent, ExecutionState


class Transitions:
    """Brings executions to new states. What a new state means is decided by the caller, who moved the execution."""

    def __init__(
        self,
        *,
        store: ExecutionStore,
        local: LocalExecutions,
        dispatch: Dispatch,
        announcements: Announcements,
        clock: Clock,
    ) -> None:
        self._store = store
        self._local = local
        self._dispatch = dispatch
        self._announcements = announcements
        self._clock = clock

    async def store(
        self, execution: Execution, records: Sequence[Record] = (), *, local: LocalExecution | None = None
    ) -> None:
        """Store an execution that was moved, wait until it is on the disk, and announce it.

        Raises:
            StorageError: it could not be stored (yet).
        """
        if local is not None:
            local.execution = execution
        self._store.save(execution, records)
        await self._store.committed(execution.id)
        if local is not None and not execution.is_active:
            await self.release(local)
        self._announcements.state_changed(execution)

    async def queue(self, local: LocalExecution, records: Sequence[Record] = ()) -> None:
        """Store an execution as queued together with its job, and dispatch it.

        Raises:
            StorageError: it could not be stored (yet); it is not dispatched.
        """
        execution = local.execution
        self._store.save(execution, records, job=self._dispatch.letter(execution, local.compiled))
        await self._store.committed(execution.id)
        await self._dispatch.add(local)
        self._announcements.state_changed(execution)

    def save(
        self, execution: Execution, records: Sequence[Record | EncodedRecord], *, compiled: CompiledWorkflow
    ) -> None:
        """Give an execution's new state to the store, a dead one with its dead letter; the next batch writes it."""
        letter = self._dispatch.letter(execution, compiled) if execution.state is ExecutionState.DEAD else None
        self._store.save(execution, records, job=letter)

    def ended(self, execution: Execution, event: ExecutionEvent, run: Run | None = None) -> Execution:
        """The execution moved to its end, with the output or the error of its run.

        Raises:
            IllegalTransitionError: it has ended already.
        """
        now = self._clock.now()
        ended = execution.moved(event, finished_at=now, wake_at=None)
        succeeded = ended.state is ExecutionState.SUCCEEDED
        return ended.changed(
            output=run.output() if run is not None and succeeded else None,
            error=run.error if run is not None else execution.error,
            notified_at=now if ended.state in (ExecutionState.FAILED, ExecutionState.DEAD) else None,
        )

    async def release(self, local: LocalExecution) -> None:
        """Forget an execution that ended or waits: what waits for it goes on, and the next of its workflow comes."""
        if self._local.discard(local):
            await self._dispatch.ended(local)

    async def drop(self, local: LocalExecution) -> None:
        """Forget an execution that was never stored or is another process's, and stop it where it runs."""
        if local.task is not None and local.task is not asyncio.current_task():
            local.task.cancel()
        await self.release(local)
