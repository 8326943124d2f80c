"""The worker loop: take a job, run its execution as far as it goes, store that, acknowledge."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from engine.dispatch.local_executions import LocalExecution
from engine.executions.follow_up import FollowUp
from engine.executions.service import ExecutionService
from engine.expressions.evaluator import Evaluator
from engine.runs.executor import Executor
from engine.runs.journal import STORE_RETRY_SECONDS, Journal
from engine.runs.node_runner import NodeRunner
from engine.runs.run import Run
from engine.runs.submission import input_items
from workflow.errors import JobsprintError, LeaseLostError, NotAcceptedError, StorageError
from workflow.executions import ErrorRecord, Execution, NodeRun, Record
from workflow.messages import Job
from workflow.ports import Clock
from workflow.sharing import Delivery, JobQueue
from workflow.states import ExecutionState

logger = logging.getLogger(__name__)


class Worker:
    """Runs executions, at most ``concurrency`` at once.

    ``take`` gives the execution of a job, in hand; ``None`` where it need not run any more.
    """

    def __init__(
        self,
        *,
        queue: JobQueue,
        take: Callable[[Job], Awaitable[LocalExecution | None]],
        service: ExecutionService,
        aftermath: FollowUp,
        runner: NodeRunner,
        evaluator: Evaluator,
        clock: Clock,
        concurrency: int,
        shutdown_grace_seconds: float,
    ) -> None:
        self._queue = queue
        self._take = take
        self._service = service
        self._aftermath = aftermath
        self._runner = runner
        self._evaluator = evaluator
        self._clock = clock
        self._concurrency = concurrency
        self._grace_seconds = shutdown_grace_seconds
        self._busy: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work until the context is left; executions under way then have the grace time, and go on elsewhere."""
        consumers = [asyncio.create_task(self._consume(), name=f"worker-{n}") for n in range(self._concurrency)]
        try:
            yield
        finally:
            await self._queue.stop()
            for task in consumers:
                if task not in self._busy:
                    task.cancel()
            if self._busy:
                await asyncio.wait(set(self._busy), timeout=self._grace_seconds)
            for task in consumers:
                task.cancel()
            await asyncio.gather(*consumers, return_exceptions=True)

    async def _consume(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a consumer runs in a task of its own")
        async for delivery in self._queue.consume():
            self._busy.add(task)
            try:
                await self._work(delivery, task)
            finally:
                self._busy.discard(task)
            if task.cancelling():  # it was told to stop in the same breath as the execution
                return

    async def _work(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        """Run an execution in this consumer's own task; whoever cancels the execution cancels that."""
        local = await self._taken(delivery)
        if local is None:
            return
        local.task = task
        try:
            await self._run(local, task)
        except asyncio.CancelledError:
            if self._service.local.get(local.execution.id) is None:
                task.uncancel()  # it was dropped
            elif local.is_cancelled_by_caller:  # while its journal was being read
                task.uncancel()
                await self._end(local, self._service.ended(local.execution, ExecutionState.CANCELLED, None))
            else:
                raise  # this worker stops: its lease lets another one go on
        except NotAcceptedError:
            await self._service.drop(local)
        except LeaseLostError as error:
            logger.warning("%s", error.message)
            await self._service.drop(local)
            await delivery.hand_back()  # should nobody have it after all
            return
        except Exception as error:
            logger.exception("execution %s could not be brought to an end", local.execution.id)
            await self._give_up(local, error)
        finally:
            local.task = None
        await delivery.acknowledge()

    async def _taken(self, delivery: Delivery) -> LocalExecution | None:
        """The execution of a job, in hand; ``None`` where there is nothing to do for the job (any more)."""
        while True:
            try:
                local = await self._take(delivery.job)
            except StorageError as error:
                logger.warning("a job waits for the store: %s", error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)
            except Exception:
                logger.exception("execution %s could not be begun", delivery.job.execution_id)
                if not await delivery.retry():
                    logger.warning("execution %s is a dead letter of the queue", delivery.job.execution_id)
                return None
            else:
                if local is None:
                    await delivery.acknowledge()
                return local

    async def _run(self, local: LocalExecution, task: asyncio.Task[None]) -> None:
        execution = local.execution
        local.execution = execution.changed(
            state=ExecutionState.RUNNING, started_at=execution.started_at or self._clock.now()
        )
        self._service.announcements.state_changed(local.execution)
        recorded = local.recorded if local.recorded is not None else await self._recorded(local)
        try:
            while True:
                run = local.run = self._new_run(local, recorded)
                state = await self._execute(local, run, task)
                if state is not ExecutionState.WAITING or not local.was_resumed:
                    async with local.storing:
                        local.task = None  # there is nothing to cancel
                        settled = await self._settled(local, run, state)
                    if settled is not None:
                        return await self._aftermath.after_stored(settled, signals_seen=local.signals_seen)
                    local.task = task
                recorded = await self._recorded(local)
        finally:
            self._evaluator.forget(execution.id)

    async def _recorded(self, local: LocalExecution) -> Sequence[Record]:
        """The journal, with all that has happened until now.

        It waits as long as it takes, since without the journal effects would happen again; and it reads again where
        something happened while it read, or that would be asked for once more.
        """
        execution_id = local.execution.id
        while True:
            local.was_resumed = False
            if local.run is not None:
                self._service.store.save(local.execution, local.run.journal.flush())
            try:
                recorded = await self._service.store.journal(execution_id)
            except StorageError as error:
                logger.warning("execution %s waits for its journal: %s", execution_id, error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)
                continue
            if not local.was_resumed:
                return recorded

    def _new_run(self, local: LocalExecution, recorded: Sequence[Record]) -> Run:
        store, execution_id = self._service.store, local.execution.id
        journal = Journal(
            recorded=recorded,
            save=lambda records: store.save(local.execution, records),
            committed=lambda: store.committed(execution_id),
            durability=local.compiled.definition.settings.durability,
        )
        return Run(
            execution=local.execution,
            compiled=local.compiled,
            journal=journal,
            on_answer=local.answer,
            clock_offset=(self._clock.now(), time.perf_counter()),
        )

    async def _execute(self, local: LocalExecution, run: Run, task: asyncio.Task[None]) -> ExecutionState:
        limit = run.compiled.definition.settings.timeout_seconds
        executor = Executor(run, self._runner, self._announcer(local, run))
        try:
            return await executor.execute(input_items(run.execution.input), timeout_seconds=limit)
        except TimeoutError:
            run.error = ErrorRecord(
                code="execution_timeout",
                message=f"The execution took longer than {limit} s.",
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

    async def _settled(self, local: LocalExecution, run: Run, state: ExecutionState) -> Execution | None:
        """Store how far it has come, and let go of it. ``None`` where it is still in hand: it was told what it waits
        for while that was being stored, so it goes on.

        Raises:
            NotAcceptedError: it was never accepted.
            JobsprintError: what it came to cannot be stored.
        """
        if state is ExecutionState.WAITING:
            settled = local.execution.changed(state=state, wake_at=run.wake_at)
        else:
            if state is ExecutionState.FAILED and self._is_dead_letter(local, run):
                state = ExecutionState.DEAD
            settled = self._service.ended(local.execution, state, run)
        local.execution = settled
        handler = await self._aftermath.handler_of(settled, local.compiled)
        dead_letter = self._service.dispatch.letter(settled, local.compiled) if state is ExecutionState.DEAD else None
        self._service.store.save(settled, run.journal.flush(), job=dead_letter)
        if handler is not None:
            await self._aftermath.start_handler(handler, settled)
        if local.compiled.definition.settings.durability != "none":
            await self._committed(settled.id)
        if state is ExecutionState.WAITING and local.was_resumed:
            local.execution = settled.changed(state=ExecutionState.RUNNING, wake_at=None)
            return None
        await self._service.retire(local)
        self._service.announcements.state_changed(settled)
        return settled

    async def _committed(self, execution_id: str) -> None:
        """Wait for the disk for as long as it takes: the results are worth it."""
        while True:
            try:
                return await self._service.store.committed(execution_id)
            except (NotAcceptedError, LeaseLostError):
                raise
            except StorageError as error:
                logger.warning("execution %s waits to be stored: %s", execution_id, error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)

    @staticmethod
    def _is_dead_letter(local: LocalExecution, run: Run) -> bool:
        """Whether nobody watches and trying again later may help: its retries are spent (contract "Failure")."""
        return local.execution.trigger != "manual" and run.error is not None and run.error.transient

    async def _give_up(self, local: LocalExecution, error: Exception) -> None:
        """Store the end of an execution whose results could not be stored."""
        record = ErrorRecord(
            code=error.code if isinstance(error, JobsprintError) else "internal_error",
            message=f"The execution's results could not be stored: {error!s:.300}",
            fix=error.fix if isinstance(error, JobsprintError) else "The server's log has the details; report them.",
        )
        await self._end(local, self._service.ended(local.execution.changed(error=record), ExecutionState.FAILED, None))

    async def _end(self, local: LocalExecution, ended: Execution) -> None:
        """Store an end that no run has come to."""
        try:
            await self._service.move(ended, [], local=local)
        except Exception:
            logger.exception("execution %s stays as running until the next start", local.execution.id)
            await self._service.retire(local)

    def _announcer(self, local: LocalExecution, run: Run) -> Callable[[NodeRun], None]:
        def announce(node_run: NodeRun) -> None:
            finished = len(run.order)
            self._service.announcements.node_finished(
                local.execution, node_run, finished=finished, total=max(finished, len(local.compiled.nodes))
            )

        return announce


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first single exception in a group of groups."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
