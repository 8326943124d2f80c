"""Executions looked at and followed, wherever they run. Nothing here moves one on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from engine.announcements import Announcements
from engine.dispatch.local_executions import LocalExecution, LocalExecutions
from engine.dispatch.remote import RemoteExecutions
from engine.runs.journal import attempts_in, effects_in, node_runs_in, waited_ms_in, waiting_in
from workflow.errors import ExecutionNotFoundError
from workflow.execution_figures import ExecutionFigures, ExecutionFilter, LatestRun, Rerun
from workflow.executions import EffectResult, Execution, NodeRun, Record, Suspension
from workflow.ports import ExecutionStore, Page
from workflow.states import ACTIVE_STATES, FINISHED, ExecutionState


class NodeProgress(NamedTuple):
    """A node run has ended: the ``finished``-th of ``total``; ``None`` where the total is not known. With a ``note``
    the node still works, and the note says how far it is."""

    node: str
    finished: int
    total: int | None
    note: str | None = None


LARGE_RECORDS = 10_000
"""A journal of more records than this is gone through in a thread: it takes 0.5 µs for each."""


@dataclass(slots=True, frozen=True)
class Inspection:
    """An execution and its node runs. ``running`` names the nodes at work, ``retrying`` those between two attempts with
    the reason, ``waiting`` what waits, also while other parts run or are queued; ``attempts`` has the most tries that
    an effect of a node took, where that was more than one, ``waited_ms`` how long nothing was done but wait,
    ``effects`` what effects came to, ``reruns`` what was started from it."""

    execution: Execution
    node_runs: Sequence[NodeRun]
    running: Sequence[str] = ()
    retrying: Sequence[tuple[str, str]] = ()
    waiting: Sequence[Suspension] = ()
    attempts: Mapping[str, int] = field(default_factory=dict)
    waited_ms: float = 0.0
    reruns: Sequence[Rerun] = ()
    effects: Sequence[EffectResult] = ()


class ExecutionReader:
    """Reads executions from memory where they are local, else from the store.

    An execution belongs to the workspace of its workflow. Methods take the workspace that asks (``owner``); executions
    of other workspaces do not exist for it. ``remote`` follows what other processes run; ``None`` where there are none.
    """

    def __init__(
        self,
        *,
        store: ExecutionStore,
        local: LocalExecutions,
        remote: RemoteExecutions | None,
        announcements: Announcements,
    ) -> None:
        self._store = store
        self._local = local
        self._remote = remote
        self._announcements = announcements

    async def get(self, owner: str, execution_id: str) -> Execution:
        """The execution as it is now.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        local = self._local.of(owner, execution_id)
        return local.execution if local is not None else await self._store.get(owner, execution_id)

    async def recorded(self, owner: str, execution_id: str) -> tuple[Execution, Sequence[Record]]:
        """The execution and its journal, read once: from memory where it runs here, else from the store.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        local = self._local.of(owner, execution_id)
        if local is None:
            return await self._store.recorded(owner, execution_id)
        if local.run is not None:
            return local.execution, local.run.journal.records
        return local.execution, await self._store.journal(execution_id)

    async def inspect(self, owner: str, execution_id: str) -> Inspection:
        """The execution and its node runs so far.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        local = self._local.of(owner, execution_id)
        if local is not None and local.run is not None:
            run = local.run
            return Inspection(
                local.execution,
                list(run.order),
                tuple(run.running),
                tuple(run.retrying.items()),
                run.journal.waiting(),
                attempts_in(run.journal.records),
                waited_ms_in(run.journal.records),
                effects=effects_in(run.journal.records),
            )
        execution, records = await self.recorded(owner, execution_id)
        if len(records) > LARGE_RECORDS:
            found = await asyncio.to_thread(_inspection, execution, list(records))
        else:
            found = _inspection(execution, records)
        has_failed = execution.state in (ExecutionState.FAILED, ExecutionState.DEAD)
        return replace(found, reruns=await self._store.reruns(execution_id)) if has_failed else found

    async def latest(self, owner: str, workflow_ids: Collection[str]) -> Mapping[str, LatestRun]:
        """The last execution of each of these workflows; see the store's port."""
        return await self._store.latest(owner, workflow_ids)

    async def waiting(self, owner: str, execution_id: str) -> Sequence[Suspension]:
        """What waits in the execution now, also while other parts of it run.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        execution, records = await self.recorded(owner, execution_id)
        if len(records) > LARGE_RECORDS:
            return await asyncio.to_thread(waiting_of, execution, list(records))
        return waiting_of(execution, records)

    async def owner_of(self, execution_id: str) -> str:
        """The workspace of an execution, for a caller that has only a link to it.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        local = self._local.get(execution_id)
        return local.execution.owner if local is not None else await self._store.owner_of(execution_id)

    async def page(self, where: ExecutionFilter, *, limit: int, cursor: str | None) -> Page[Execution]:
        """Executions, newest first; see the store."""
        return await self._store.page(where, limit=limit, cursor=cursor)

    async def figures(self, where: ExecutionFilter) -> ExecutionFigures:
        """Executions counted and measured; see the store."""
        return await self._store.figures(where)

    def progress(self, owner: str, execution_id: str) -> NodeProgress | None:
        """How far a local execution is: its latest node run."""
        local = self._local.of(owner, execution_id)
        if local is None or local.run is None or not local.run.order:
            return None
        finished = len(local.run.order)
        return NodeProgress(local.run.order[-1].node, finished, max(finished, len(local.compiled.nodes)))

    async def wait(self, owner: str, execution_id: str, *, timeout_seconds: float) -> None:
        """Return when the execution has ended or waits, or when the time is over. Never cancels it."""
        local = self._local.of(owner, execution_id)
        if timeout_seconds <= 0:
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                if local is not None:
                    await local.finished.wait()
                elif self._remote is not None:
                    async with aclosing(self._remote.steps(owner, execution_id, has_details=False)) as steps:
                        async for _ in steps:
                            continue
        except (TimeoutError, ExecutionNotFoundError):
            return

    async def woken(self, owner: str, execution_id: str, *, timeout_seconds: float) -> None:
        """Return when an execution that waits goes on, or when the time is over.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        execution = await self.get(owner, execution_id)
        async with self._announcements.listen(execution.workflow_id) as events:
            # 1. It went on before we listened: no event of that comes any more, so the state is read once more here.
            # 2. It goes on after we listened: the event comes.
            if (await self.get(owner, execution_id)).state is not ExecutionState.WAITING:
                return
            try:
                async with asyncio.timeout(timeout_seconds):
                    while (await anext(events)).data.get("executionId") != execution_id:
                        continue
            except TimeoutError:
                return

    async def follow(self, owner: str, execution_id: str, *, timeout_seconds: float) -> AsyncIterator[NodeProgress]:
        """Each node run as it ends, those that have ended first, and what nodes at work report meanwhile, until the
        execution ends or waits or time is over."""
        local = self._local.of(owner, execution_id)
        if local is not None:
            steps = self._follow_local(local, timeout_seconds)
        elif self._remote is not None and timeout_seconds > 0:
            steps = self._follow_remote(self._remote, owner, execution_id, timeout_seconds)
        else:
            return
        async with aclosing(steps):
            async for step in steps:
                yield step

    async def _follow_local(self, local: LocalExecution, timeout_seconds: float) -> AsyncGenerator[NodeProgress]:
        execution_id, total = local.execution.id, len(local.compiled.nodes)
        async with self._announcements.listen(local.execution.workflow_id) as events:
            done = list(local.run.order) if local.run is not None else []
            finished = len(done)
            for count, node_run in enumerate(done, 1):
                yield NodeProgress(node_run.node, count, max(count, total))
            try:
                async with asyncio.timeout(timeout_seconds):
                    while not local.finished.is_set():
                        data = (await anext(events)).data
                        if data.get("executionId") != execution_id:
                            continue
                        if "note" in data:
                            yield NodeProgress(data["node"], finished, max(finished, total), data["note"])
                        elif "node" in data:
                            finished = data["finished"]
                            yield NodeProgress(data["node"], data["finished"], data["total"])
                        elif data["status"] not in ACTIVE_STATES:
                            return
            except TimeoutError:
                return

    async def _follow_remote(
        self, remote: RemoteExecutions, owner: str, execution_id: str, timeout_seconds: float
    ) -> AsyncGenerator[NodeProgress]:
        finished, total = 0, None
        try:
            async with asyncio.timeout(timeout_seconds), aclosing(remote.steps(owner, execution_id)) as steps:
                async for data in steps:
                    if "note" in data:
                        yield NodeProgress(data["node"], finished, total, data["note"])
                    elif "node" in data and data["finished"] > finished:
                        finished, total = data["finished"], data.get("total")
                        yield NodeProgress(data["node"], finished, total)
        except (TimeoutError, ExecutionNotFoundError):
            return


def _inspection(execution: Execution, records: Sequence[Record]) -> Inspection:
    return Inspection(
        execution,
        node_runs_in(records),
        waiting=waiting_of(execution, records),
        attempts=attempts_in(records),
        waited_ms=waited_ms_in(records),
        effects=effects_in(records),
    )


def waiting_of(execution: Execution, records: Sequence[Record]) -> Sequence[Suspension]:
    """What waits in an execution with this journal; nothing does where it has ended or is dead."""
    has_ended = execution.state in FINISHED or execution.state is ExecutionState.DEAD
    return () if has_ended else waiting_in(records)
