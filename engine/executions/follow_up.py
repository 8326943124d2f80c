"""What follows from an execution's end: its error workflow runs, its parent goes on, its user is notified."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.definitions.compiled import CompiledWorkflow
from engine.executions.cancelling import Canceller
from engine.executions.intake import Intake
from engine.executions.wakeups import Wakeups
from engine.runs.journal import STORE_RETRY_SECONDS
from engine.runs.submission import Submission
from workflow.errors import JobsprintError, StorageError
from workflow.executions import Execution, Parent
from workflow.sharing import Leases, Signal
from workflow.states import ExecutionState

logger = logging.getLogger(__name__)


class FollowUp:
    """Called by the worker when an execution ends or begins to wait, and again when that is stored."""

    def __init__(
        self,
        *,
        authoring: Authoring,
        intake: Intake,
        wakeups: Wakeups,
        canceller: Canceller,
        leases: Leases,
        announcements: Announcements,
        on_waiting: Callable[[], None],
        deepest: int,
    ) -> None:
        self._authoring = authoring
        self._intake = intake
        self._wakeups = wakeups
        self._canceller = canceller
        self._leases = leases
        self._announcements = announcements
        self._on_waiting = on_waiting
        self._deepest = deepest

    async def after_stored(self, execution: Execution, *, signals_seen: int) -> None:
        """Do what follows from a state that is stored. A failure is logged: it does not touch the execution itself.

        ``signals_seen`` counts the signals for it that this process has processed.
        """
        if execution.state is ExecutionState.WAITING:
            self._on_waiting()
            # 1. A signal that came before the commit was stored for us, the holder, and nobody else will look at it:
            #    it is found here, since the count in the store is then higher than ours.
            # 2. After the commit there is no holder: what wakes the execution then claims it and queues it.
            if any(signal.times > signals_seen for signal in await self._signals(execution)):
                await self._wake(execution)
            return
        if execution.parent is not None:
            await self._wake_parent(execution.owner, execution.parent)
        if execution.state in (ExecutionState.FAILED, ExecutionState.CANCELLED):
            # A dead one keeps its children: redriven, it goes on with them.
            await self._canceller.cancel_children(execution)
        if execution.state in (ExecutionState.FAILED, ExecutionState.DEAD):
            self._announcements.user_notified(execution)

    async def _wake(self, execution: Execution) -> None:
        """Let an execution go on that was stored as waiting although a signal had come for it. The signal must not be
        lost, so this tries until the store works."""
        while True:
            try:
                return await self._wakeups.wake_signalled(execution)
            except StorageError as error:
                logger.warning("execution %s waits to go on: %s", execution.id, error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)
            except JobsprintError as error:
                return logger.info("execution %s need not go on: %s", execution.id, error.message)

    async def _signals(self, execution: Execution) -> Sequence[Signal]:
        """The signals for an execution, as many as came until it was stored as waiting."""
        while True:
            try:
                return await self._leases.signals(execution.id)
            except StorageError as error:
                logger.warning("signals for execution %s could not be read: %s", execution.id, error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)

    async def _wake_parent(self, owner: str, parent: Parent) -> None:
        """Wake the parent's item. Where that fails, the parent finds out when it looks after its child."""
        try:
            await self._wakeups.wake(owner, parent.execution_id, parent.key, data=None, by="child")
        except JobsprintError as error:
            logger.info("execution %s was not woken by its child's end: %s", parent.execution_id, error.message)

    async def handler_of(self, execution: Execution, compiled: CompiledWorkflow) -> CompiledWorkflow | None:
        """The error workflow that is to run after this end, if any."""
        workflow_id = compiled.definition.settings.error_workflow
        if execution.state not in (ExecutionState.FAILED, ExecutionState.DEAD) or workflow_id is None:
            return None
        if workflow_id == execution.workflow_id:
            return None
        if execution.depth >= self._deepest:
            logger.warning("execution %s starts no error workflow: these call each other without an end", execution.id)
            return None
        try:
            return await self._authoring.compiled_in_use(execution.owner, workflow_id)
        except JobsprintError as error:
            logger.warning("the error workflow of execution %s cannot run: %s", execution.id, error.message)
            return None

    async def start_handler(self, handler: CompiledWorkflow, execution: Execution) -> None:
        """Submit the error workflow. Called as the end is noted, so that both reach the disk in one batch."""
        data = {
            "execution": {"id": execution.id, "status": execution.state.value, "trigger": execution.trigger},
            "workflow": {"id": execution.workflow_id, "name": execution.workflow_name},
            "error": execution.error.to_json() if execution.error is not None else None,
        }
        try:
            submission = Submission(
                trigger="workflow",
                initiator=execution.initiator,
                data=data,
                mode=execution.mode,
                root=execution.root or execution.id,
                depth=execution.depth + 1,
            )
            await self._intake.accept_along(handler, submission, follows=execution.id)
        except JobsprintError as error:
            logger.warning("the error workflow of execution %s could not run: %s", execution.id, error.message)
