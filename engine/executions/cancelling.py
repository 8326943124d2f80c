"""Executions cancelled, wherever they run, and with them the children that they wait for."""

from __future__ import annotations

import logging

from engine.executions.control_checks import look_at, moved
from engine.executions.reader import ExecutionReader
from engine.executions.transitions import Transitions
from engine.executions.wakeups import Wakeups
from workflow.errors import ExecutionNotFoundError, IllegalTransitionError, JobsprintError
from workflow.executions import Execution
from workflow.ports import ExecutionStore
from workflow.states import FINISHED, ExecutionEvent, ExecutionState

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 30.0
"""How long a caller waits for another process to stop an execution."""
UNENDED = (ExecutionState.QUEUED, ExecutionState.WAITING, ExecutionState.DEAD)
"""States without a holder in which an execution can be cancelled."""
ATTEMPTS = 5
"""Further ones where its state changed under the first."""
ORPHANS_AT_ONCE = 200


class Canceller:
    """Ends executions that have not ended. Children of an execution that failed or was cancelled end with it."""

    def __init__(
        self, *, store: ExecutionStore, reader: ExecutionReader, wakeups: Wakeups, transitions: Transitions
    ) -> None:
        self._store = store
        self._reader = reader
        self._wakeups = wakeups
        self._transitions = transitions

    async def cancel(self, owner: str, execution_id: str) -> Execution:
        """End an execution, and what it waits for.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it has ended already.
        """
        async with self._wakeups.moving(execution_id):
            cancelled = await self._cancel(owner, execution_id)
        # Outside the lock: a child's end wakes its parent, which takes the parent's lock.
        await self.cancel_children(cancelled)
        return cancelled

    async def _cancel(self, owner: str, execution_id: str) -> Execution:
        """Try until it has ended.

        1. Its holder may store it as waiting before it reads the signal. Then nobody holds it, and the next attempt
           claims it, or finds that it was queued again and signals once more.
        2. The holder reads the signal between two attempts: then it is cancelled, as was wanted.
        """
        ended = await self._tried(owner, execution_id)
        for _ in range(ATTEMPTS):
            if ended.state not in UNENDED:
                break
            try:
                ended = await self._tried(owner, execution_id)
            except IllegalTransitionError:
                ended = await self._reader.get(owner, execution_id)
        if ended.state is not ExecutionState.CANCELLED:
            raise IllegalTransitionError(
                f"The execution {ended.state} before it could be cancelled."
                if ended.state in FINISHED
                else "The process that runs it was asked to stop it, and has not yet.",
                fix="Look at it.",
                next_call=look_at(execution_id),
            )
        return ended

    async def _tried(self, owner: str, execution_id: str) -> Execution:
        """How the execution stands after an attempt to end it."""
        moved(await self._reader.get(owner, execution_id), ExecutionEvent.CANCEL)
        local = await self._wakeups.local(execution_id)
        if local is not None and local.task is not None:
            # 1. It runs here. Its worker stores the end; it may come to another end first, which is looked at below.
            local.cancel()
            await local.finished.wait()
        elif local is not None:
            # 2. It is queued here and no worker has it. Its job is still in the queue: the worker that gets the job
            #    finds no local execution, or, where it reads the journal just now, the mark.
            local.is_cancelled_by_caller = True
            await self._transitions.store(self._transitions.ended(local.execution, ExecutionEvent.CANCEL), local=local)
        elif (claimed := await self._wakeups.claim_idle(owner, execution_id, UNENDED, is_cancelled=True)) is not None:
            # 3. It has no holder, and now this process is: no other one can move it meanwhile.
            await self._transitions.store(self._transitions.ended(claimed, ExecutionEvent.CANCEL))
        else:
            # 4. Another process is its holder and has got a signal.
            await self._reader.wait(owner, execution_id, timeout_seconds=CANCEL_SECONDS)
        return await self._reader.get(owner, execution_id)

    async def cancel_children(self, execution: Execution) -> None:
        """End the children that an execution waited for, and theirs. A failure is logged; :meth:`sweep` tries again.

        1. A child is being started as its parent ends: it was saved before the parent's end, so it is in the store by
           the time that end is, and is found here.
        2. The process is killed before this: the sweep of any process finds the children.
        """
        try:
            children = await self._store.unended_children(execution.id)
        except JobsprintError as error:
            logger.warning("the children of execution %s could not be read: %s", execution.id, error.message)
            return
        for child in children:
            await self._cancel_child(child)

    async def sweep(self) -> None:
        """End children whose parent has failed or was cancelled: what a killed process left.

        Raises:
            StorageError: the store cannot be asked.
        """
        for child in await self._store.orphans(limit=ORPHANS_AT_ONCE):
            await self._cancel_child(child)

    async def _cancel_child(self, child: Execution) -> None:
        try:
            await self.cancel(child.owner, child.id)
        except (IllegalTransitionError, ExecutionNotFoundError) as error:
            logger.info("execution %s need not be cancelled with its parent: %s", child.id, error.message)
        except JobsprintError as error:
            logger.warning("execution %s was not cancelled with its parent: %s", child.id, error.message)
