"""One local execution: run until it ends or waits, its new state stored, and what follows from that."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from engine.announcements import Announcements
from engine.dispatch.local_executions import LocalExecution, LocalExecutions
from engine.dispatch.milestones import Milestone, Milestones
from engine.executions.follow_up import FollowUp
from engine.executions.transitions import Transitions
from engine.runs.executor import Executor
from engine.runs.journal import STORE_RETRY_SECONDS, Journal
from engine.runs.node_runner import NodeRunner
from engine.runs.run import Run
from engine.runs.submission import input_items
from workflow.errors import JobsprintError, LeaseLostError, NotAcceptedError, StorageError
from workflow.executions import ErrorRecord, Execution, NodeRun, Record
from workflow.lost_data import LostDataError
from workflow.ports import Clock, ExecutionStore
from workflow.states import ExecutionEvent, ExecutionState

logger = logging.getLogger(__name__)

RECORDS_AT_ONCE = 10_000
"""Records of a journal that are gone through before other executions go on: some milliseconds."""
_ENDS = {
    ExecutionState.SUCCEEDED: ExecutionEvent.SUCCEED,
    ExecutionState.FAILED: ExecutionEvent.FAIL,
    ExecutionState.CANCELLED: ExecutionEvent.CANCEL,
}


class LocalRuns:
    """Runs local executions, each in the task of the consumer that got its job.

    ``forget`` is called with the id of an execution that does not run any more, so that what was prepared for its
    expressions can go.
    """

    def __init__(
        self,
        *,
        store: ExecutionStore,
        local: LocalExecutions,
        transitions: Transitions,
        follow_up: FollowUp,
        runner: NodeRunner,
        announcements: Announcements,
        clock: Clock,
        milestones: Milestones,
        forget: Callable[[str], None],
    ) -> None:
        self._store = store
        self._local = local
        self._transitions = transitions
        self._follow_up = follow_up
        self._runner = runner
        self._announcements = announcements
        self._clock = clock
        self._milestones = milestones
        self._forget = forget

    async def run(self, local: LocalExecution, task: asyncio.Task[None]) -> bool:
        """Run an execution until it ends or waits, and store that; ``False`` where the lease was lost.

        To cancel the execution is to cancel ``task``, which this runs in.

        Raises:
            asyncio.CancelledError: this process stops; the lease lets another one go on.
        """
        local.task = task
        try:
            await self._run(local, task)
        except asyncio.CancelledError:
            # Three reasons for one exception, told apart by what the canceller left behind:
            # 1. It was dropped (not accepted, or the lease is lost): it is not local any more.
            if self._local.get(local.execution.id) is None:
                task.uncancel()
            # 2. A caller cancelled it while its journal was being read; while it runs, _execute deals with that.
            elif local.is_cancelled_by_caller:
                task.uncancel()
                await self._end(local, self._transitions.ended(local.execution, ExecutionEvent.CANCEL))
            # 3. This process stops.
            else:
                raise
        except NotAcceptedError:
            await self._transitions.drop(local)
        except LeaseLostError as error:
            logger.warning("%s", error.message)
            await self._transitions.drop(local)
            return False
        except Exception as error:
            logger.exception("execution %s could not be brought to an end", local.execution.id)
            await self._give_up(local, error)
        finally:
            local.task = None
        return True

    async def _run(self, local: LocalExecution, task: asyncio.Task[None]) -> None:
        started_at = local.execution.started_at or self._clock.now()
        local.execution = local.execution.moved(ExecutionEvent.CLAIM, started_at=started_at)
        self._announcements.state_changed(local.execution)
        recorded = local.recorded if local.recorded is not None else await self._recorded(local)
        await self._milestones.reached(Milestone.JOURNAL_READ, local.execution.id)
        try:
            while True:
                run = await self._new_run(local, recorded)
                local.run = run
                state = await self._execute(local, run, task)
                if state is not ExecutionState.WAITING or not local.was_resumed:
                    async with local.storing:
                        local.task = None  # from here on there is nothing to cancel
                        settled = await self._settled(local, run, state)
                    if settled is not None:
                        # Outside the lock: a parent or an answer that is woken now may want this execution.
                        return await self._follow_up.after_stored(settled, signals_seen=local.signals_seen)
                    local.task = task
                recorded = await self._recorded(local)
        finally:
            self._forget(local.execution.id)
            if local.run is not None:
                local.run.close()

    async def _recorded(self, local: LocalExecution) -> Sequence[Record]:
        """The journal, with all that has happened until now.

        It waits for the store as long as it takes, since without the journal effects would happen again.
        """
        execution_id = local.execution.id
        while True:
            if local.run is not None and local.run.journal.holds_large:
                await local.run.journal.prepare()
            # A resumption that comes while the journal is being read may be missing in what was read: the mark is
            # cleared before and looked at after, and the journal is read again.
            local.was_resumed = False
            if local.run is not None:
                self._store.save(local.execution, local.run.journal.flush())
            try:
                recorded = await self._store.journal(execution_id)
            except StorageError as error:
                logger.warning("execution %s waits for its journal: %s", execution_id, error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)
                continue
            if not local.was_resumed:
                return recorded

    async def _new_run(self, local: LocalExecution, recorded: Sequence[Record]) -> Run:
        """The run that goes on from a journal; one of very many records is gone through in parts.

        A resumption that comes between two parts is not in this run; ``was_resumed`` has the journal read again.
        """
        store, execution_id = self._store, local.execution.id
        journal = Journal(
            recorded=recorded[:RECORDS_AT_ONCE],
            save=lambda records: store.save(local.execution, records),
            committed=lambda: store.committed(execution_id),
            encode=store.encode,
            durability=local.compiled.definition.settings.durability,
        )
        for start in range(RECORDS_AT_ONCE, len(recorded), RECORDS_AT_ONCE):
            await asyncio.sleep(0)
            journal.remember(recorded[start : start + RECORDS_AT_ONCE])
        return Run(
            execution=local.execution,
            compiled=local.compiled,
            journal=journal,
            on_answer=local.answer,
            clock_offset=(self._clock.now(), time.perf_counter()),
        )

    async def _execute(self, local: LocalExecution, run: Run, task: asyncio.Task[None]) -> ExecutionState:
        executor = Executor(run, self._runner, self._announcer(local, run))
        try:
            limit = self._seconds_left(local)
            return await executor.execute(input_items(run.execution.input), timeout_seconds=limit)
        except TimeoutError:
            settings = local.compiled.definition.settings
            waiting = ", waiting included" if settings.timeout_seconds is not None else ""
            run.error = ErrorRecord(
                code="execution_timeout",
                message=f"The execution took longer than {settings.longest_run_seconds:g} s{waiting}.",
                fix="Raise settings.timeout_seconds of the workflow, or give it less to do.",
            )
            return ExecutionState.FAILED
        except asyncio.CancelledError:
            if not local.is_cancelled_by_caller:
                raise
            task.uncancel()
            return ExecutionState.CANCELLED
        except ExceptionGroup as group:
            # Items of a node run side by side; where one finds that the execution is not ours, it is not.
            not_ours = group.subgroup((NotAcceptedError, LeaseLostError))
            if not_ours is None:
                raise
            raise _first(not_ours) from group

    def _seconds_left(self, local: LocalExecution) -> float:
        """How long the execution may run from now on.

        Raises:
            TimeoutError: its time ran out while it waited.
        """
        deadline = _deadline(local)
        if deadline is None:
            return local.compiled.definition.settings.longest_run_seconds
        seconds = (deadline - self._clock.now()).total_seconds()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    async def _settled(self, local: LocalExecution, run: Run, state: ExecutionState) -> Execution | None:
        """Store how far it has come, and release it. ``None`` where it goes on here.

        Raises:
            NotAcceptedError: it was never accepted.
            JobsprintError: what it came to cannot be stored.
        """
        before = local.execution
        if state is ExecutionState.WAITING:
            # It is woken at the latest when its time runs out, to fail then.
            moments = [moment for moment in (run.wake_at, _deadline(local)) if moment is not None]
            settled = before.moved(ExecutionEvent.SUSPEND, wake_at=min(moments, default=None))
        elif state is ExecutionState.FAILED and _is_dead_letter(before, run):
            settled = self._transitions.ended(before, ExecutionEvent.BURY, run)
        else:
            settled = self._transitions.ended(before, _ENDS[state], run)
        handler = await self._follow_up.handler_of(settled, local.compiled)
        if run.journal.holds_large:
            await run.journal.prepare()
        local.execution = settled
        try:
            # 1. The end, its dead letter and its error workflow are saved in one turn of the loop, so one batch writes
            #    them: a process that is killed leaves all of them or none.
            self._transitions.save(settled, run.journal.flush(), compiled=local.compiled)
            if handler is not None:
                await self._follow_up.start_handler(handler, settled)
            await self._milestones.reached(Milestone.RUN_SAVED, settled.id)
            if local.compiled.definition.settings.durability != "none":
                await self._committed(settled.id)
        except (NotAcceptedError, LeaseLostError, asyncio.CancelledError):
            raise
        except Exception:
            local.execution = before  # it has not come to this state
            raise
        await self._milestones.reached(Milestone.RUN_STORED, settled.id)
        # 2. Alone, a resumption can have come during the commit. It went into the journal behind the suspension; here
        #    the execution goes on as if the resumption had come a moment earlier. Nobody was told that it waits.
        # 3. After this look nothing awaits before it is released, so no resumption can be missed.
        if state is ExecutionState.WAITING and local.was_resumed:
            local.execution = settled.moved(ExecutionEvent.GO_ON, wake_at=None)
            return None
        await self._transitions.release(local)
        self._announcements.state_changed(settled)
        return settled

    async def _committed(self, execution_id: str) -> None:
        """Wait for the disk for as long as it takes: the results are worth it."""
        while True:
            try:
                return await self._store.committed(execution_id)
            except (NotAcceptedError, LeaseLostError):
                raise
            except StorageError as error:
                logger.warning("execution %s waits to be stored: %s", execution_id, error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)

    async def _give_up(self, local: LocalExecution, error: Exception) -> None:
        """Store the end of an execution whose results could not be stored."""
        is_lost = isinstance(error, LostDataError)
        record = ErrorRecord(
            code=error.code if isinstance(error, JobsprintError) else "internal_error",
            message=str(error) if is_lost else f"The execution's results could not be stored: {error!s:.300}",
            fix=error.fix if isinstance(error, JobsprintError) else "The server's log has the details; report them.",
        )
        failed = self._transitions.ended(local.execution.changed(error=record), ExecutionEvent.FAIL)
        await self._end(local, failed)

    async def _end(self, local: LocalExecution, ended: Execution) -> None:
        """Store an end that no run has come to."""
        try:
            await self._transitions.store(ended, local=local)
        except Exception:
            logger.exception("execution %s stays as running until the next start", local.execution.id)
            await self._transitions.release(local)
        else:
            await self._follow_up.after_stored(ended, signals_seen=local.signals_seen)

    def _announcer(self, local: LocalExecution, run: Run) -> Callable[[NodeRun], None]:
        def announce(node_run: NodeRun) -> None:
            finished = len(run.order)
            self._announcements.node_finished(
                local.execution, node_run, finished=finished, total=max(finished, len(local.compiled.nodes))
            )

        return announce


def _deadline(local: LocalExecution) -> datetime | None:
    """When the execution's time runs out, waiting included; ``None`` where its workflow sets no time."""
    settings, started_at = local.compiled.definition.settings, local.execution.started_at
    if settings.timeout_seconds is None or started_at is None:
        return None
    return started_at + timedelta(seconds=settings.timeout_seconds)


def _is_dead_letter(execution: Execution, run: Run) -> bool:
    """Whether nobody watches and trying again later may help: its retries are spent (docs/contract.md, "Failure")."""
    return execution.trigger != "manual" and run.error is not None and run.error.transient


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first single exception in a group of groups."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
