"""The worker loop: take a job, run its execution, store the end, acknowledge."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from engine.authoring import Authoring
from engine.executions import ExecutionService, LiveExecution, input_items
from engine.executor import Executor
from engine.expressions.evaluator import Evaluator
from engine.node_runner import NodeRunner
from engine.plan import Plan
from engine.run import Run
from workflow.errors import JobsprintError, WorkflowNotFoundError
from workflow.executions import ErrorRecord, Execution, NodeRun
from workflow.ports import Clock, Delivery, JobQueue
from workflow.states import ExecutionState

logger = logging.getLogger(__name__)


class Worker:
    """Runs executions, at most ``concurrency`` at once."""

    def __init__(
        self,
        *,
        queue: JobQueue,
        service: ExecutionService,
        authoring: Authoring,
        runner: NodeRunner,
        evaluator: Evaluator,
        clock: Clock,
        concurrency: int,
        shutdown_grace_seconds: float,
    ) -> None:
        self._queue = queue
        self._service = service
        self._authoring = authoring
        self._runner = runner
        self._evaluator = evaluator
        self._clock = clock
        self._concurrency = concurrency
        self._grace_seconds = shutdown_grace_seconds
        self._running: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Take up what a former process left, and work until the context is left.

        On leaving, no more jobs are taken; those under way have the grace time, then they are handed back.
        """
        await self._take_up()
        consumers = [asyncio.create_task(self._consume(), name=f"worker-{n}") for n in range(self._concurrency)]
        try:
            yield
        finally:
            idle = [task for task in consumers if task not in self._running]
            for task in idle:
                task.cancel()
            if self._running:
                await asyncio.wait(set(self._running), timeout=self._grace_seconds)
            for task in consumers:
                task.cancel()
            await asyncio.gather(*consumers, return_exceptions=True)

    async def _take_up(self) -> None:
        """Queue again what was accepted and not started; end what was cut off in the middle."""
        for execution in await self._service.executions.unfinished():
            if execution.state is ExecutionState.RUNNING:
                error = ErrorRecord(
                    code="interrupted",
                    message="The server stopped while this execution ran.",
                    fix="Look at what it did with inspect_execution, then run it again.",
                )
                await self._service.end(replace(execution, error=error), ExecutionState.FAILED, live=None)
            else:
                await self._queue_again(execution)

    async def _queue_again(self, execution: Execution) -> None:
        try:
            stored = await self._authoring.workflows.get(execution.workflow_id, execution.workflow_version)
        except WorkflowNotFoundError as error:
            record = ErrorRecord(code=error.code, message="The workflow was deleted before the execution started.")
            await self._service.end(replace(execution, error=record), ExecutionState.FAILED, live=None)
        else:
            await self._service.readmit(execution, timeout_seconds=stored.definition.settings.timeout_seconds)

    async def _consume(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a consumer runs in a task of its own")
        async for delivery in self._queue.consume():
            self._running.add(task)
            try:
                await self._work(delivery)
            finally:
                self._running.discard(task)

    async def _work(self, delivery: Delivery) -> None:
        live = self._service.live(delivery.job.execution_id)
        if live is None:  # cancelled while it was queued
            await delivery.acknowledge()
            return
        live.task = asyncio.create_task(self._run(live), name=f"execution-{live.execution.id}")
        try:
            await asyncio.shield(live.task)
        except asyncio.CancelledError:
            if not live.task.done():  # this worker stops: give the execution back
                live.task.cancel()
                await asyncio.wait([live.task])
                await self._service.executions.hand_back(live.execution.id)
                await delivery.hand_back()
                self._service.retire(live)
            if not live.is_cancelled_by_caller:
                raise
        except Exception as error:
            logger.exception("execution %s could not be brought to an end", live.execution.id)
            await self._give_up(live, error)
        await delivery.acknowledge()

    async def _give_up(self, live: LiveExecution, error: Exception) -> None:
        """Store the end of an execution whose results could not be stored."""
        record = ErrorRecord(
            code=error.code if isinstance(error, JobsprintError) else "internal_error",
            message=f"The execution's results could not be stored: {error!s:.300}",
        )
        try:
            await self._service.end(replace(live.execution, error=record), ExecutionState.FAILED, live=live)
        except Exception:
            logger.exception("execution %s stays as running until the next start", live.execution.id)
            self._service.retire(live)

    async def _run(self, live: LiveExecution) -> None:
        now = self._clock.now()
        if not await self._service.executions.start(live.execution.id, now=now):
            self._service.retire(live)
            return
        execution = live.execution = replace(live.execution, state=ExecutionState.RUNNING, started_at=now)
        self._service.announcements.state_changed(execution)
        try:
            stored = await self._authoring.workflows.get(execution.workflow_id, execution.workflow_version)
            plan = self._authoring.plan(stored)
        except JobsprintError as error:
            record = ErrorRecord(code=error.code, message=error.message, fix=error.fix)
            await self._service.end(replace(execution, error=record), ExecutionState.FAILED, live=live)
            return
        run = live.run = Run(
            execution=execution,
            plan=plan,
            on_answer=live.answer,
            clock_offset=(now, time.perf_counter()),
        )
        try:
            state = await self._execute(run)
        except asyncio.CancelledError:
            if not live.is_cancelled_by_caller:
                raise
            state = ExecutionState.CANCELLED
        finally:
            self._evaluator.forget(execution.id)
        await self._service.end(execution, state, live=live, run=run)

    async def _execute(self, run: Run) -> ExecutionState:
        limit = run.plan.definition.settings.timeout_seconds
        executor = Executor(run, self._runner, self._announcer(run.execution, run.plan))
        try:
            async with asyncio.timeout(limit):
                return await executor.execute(input_items(run.execution.input))
        except TimeoutError:
            run.error = ErrorRecord(
                code="execution_timeout",
                message=f"The execution took longer than {limit} s.",
                fix="Raise settings.timeout_seconds of the workflow, or give it less to do.",
            )
            return ExecutionState.FAILED

    def _announcer(self, execution: Execution, plan: Plan) -> Callable[[NodeRun], None]:
        finished = 0

        def announce(node_run: NodeRun) -> None:
            nonlocal finished
            finished += 1
            self._service.announcements.node_finished(
                execution, node_run, finished=finished, total=max(finished, len(plan.nodes))
            )

        return announce
