"""Runs a compiled workflow: decides which node runs when, and with which items.

An edge is open until its source can send nothing more. A node reads its edges one after the other, in the order of
the definition's connections, and runs once for each arrival of items; a node that waits for all inputs runs once,
when all its edges are closed. So the items of a run never depend on timing, although branches with effects run at the
same time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, cast

from engine.definitions.compiled import CompiledNode
from engine.definitions.loops import LoopBody
from engine.node_api.node_traits import RunsWithoutItems
from engine.nodes.loop import BATCH, DONE, LoopParameters
from engine.runs.journal import is_large
from engine.runs.node_run import NodeStart, Outcome
from engine.runs.node_runner import NodeRunner
from engine.runs.run import Run, Sources
from workflow.executions import NodeRun, RunKey
from workflow.items import Item, ItemOrigin, Items, Outputs, Pair
from workflow.states import ExecutionState

INLINE_SECONDS = 0.005
"""How long pure nodes may run before the event loop gets a turn: other requests do not notice five milliseconds."""


_NO_EDGE = -1
BEFORE_EVERYTHING = datetime(1, 1, 1, tzinfo=UTC)


class Arrival(NamedTuple):
    """Items on an edge, and the execution's own time when they were sent."""

    source: ItemOrigin | None
    items: Items
    time: datetime


class _NodeProgress:
    """The progress of a node: the edge of its first input that it reads now, and the number of its runs.

    ``is_idle``: it may start a run, since it neither runs, nor waits, nor is done. ``is_ready``: it is queued.
    ``has_run``: it has run, in this round of the loop around it where there is one.
    """

    __slots__ = ("edge", "has_run", "is_idle", "is_ready", "runs")

    def __init__(self, runs: int = 0) -> None:
        self.edge = 0
        self.runs = runs
        self.has_run = False
        self.is_idle = True
        self.is_ready = False


@dataclass(slots=True)
class _LoopProgress:
    """The progress of a loop through the items that arrived last; ``items`` is ``None`` before the next arrive."""

    items: Items | None = None
    source: ItemOrigin | None = None
    time: datetime = BEFORE_EVERYTHING
    position: int = 0
    results: Items = field(default_factory=list)


@dataclass(slots=True)
class Executor:
    """Executes one run from its trigger to its end."""

    run: Run
    runner: NodeRunner
    on_node_finished: Callable[[NodeRun], None]
    _waiting: list[list[Arrival]] = field(init=False)
    _closed: list[bool] = field(init=False)
    _progress: list[_NodeProgress] = field(init=False)
    _loops: dict[int, _LoopProgress] = field(init=False)
    _ready: deque[int] = field(default_factory=deque)
    _tasks: dict[asyncio.Task[Outcome], NodeStart] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waiting = [[] for _ in self.run.compiled.edges]
        self._closed = [False] * len(self.run.compiled.edges)
        self._progress = [_NodeProgress() for _ in self.run.compiled.nodes]
        self._loops = {loop: _LoopProgress() for loop in self.run.compiled.bodies}

    async def execute(self, items: Items, *, timeout_seconds: float | None = None) -> ExecutionState:
        """Run to the end, starting with ``items`` at the execution's trigger; the run holds the results.

        Returns:
            ``SUCCEEDED``, ``FAILED``, or ``WAITING`` where only items that wait are left.

        Raises:
            TimeoutError: it took longer than ``timeout_seconds``; active node runs are recorded as cancelled.
            asyncio.CancelledError: the caller was cancelled; active node runs are recorded as cancelled.
        """
        try:
            self._begin(items)
            # Most executions are over by now: no node of theirs waits, so they need no timer.
            if not self._is_over:
                async with asyncio.timeout(timeout_seconds):
                    await self._go_on()
        finally:
            if self._tasks:
                await self._cancel_tasks()
        if self.run.error is not None:
            return ExecutionState.FAILED
        return ExecutionState.WAITING if self.run.waiting else ExecutionState.SUCCEEDED

    @property
    def _is_over(self) -> bool:
        return self.run.error is not None or not (self._ready or self._tasks)

    def _begin(self, items: Items) -> None:
        """Start at the trigger, and run the nodes that need not wait."""
        start = self.run.compiled.index_by_name[self.run.execution.start_node]
        for root in self.run.compiled.roots:
            if root != start:
                self._wake(root)
        self._start(self.run.compiled.nodes[start], [items], (None,), self.run.execution.created_at)
        if not self.run.journal.secures_every_node:
            self._turn()

    def _turn(self) -> None:
        """Advance the ready nodes, until none is ready or ``INLINE_SECONDS`` are over."""
        ready, nodes = self._ready, self.run.compiled.nodes
        ends = time.perf_counter() + INLINE_SECONDS
        while ready and self.run.error is None:
            self._advance(nodes[ready.popleft()])
            if ready and time.perf_counter() > ends:
                return

    async def _go_on(self) -> None:
        while not self._is_over:
            if self._ready and self.run.journal.secures_every_node:
                await self.run.journal.secure()
                self._advance(self.run.compiled.nodes[self._ready.popleft()])
            elif self._ready:
                await asyncio.sleep(0)
                self._turn()
            else:
                done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda each: self._tasks[each].node.index):
                    self._finish(self._tasks.pop(task), task.result())
                    if self.run.order and is_large(self.run.order[-1]):
                        self.run.journal.holds_large = True
                if self.run.journal.holds_large:
                    await self.run.journal.prepare()
                    self.run.journal.save()

    def _wake(self, index: int) -> None:
        """Queue the node for :meth:`_advance`, unless it cannot start a run or is queued already."""
        progress = self._progress[index]
        if progress.is_idle and not progress.is_ready:
            progress.is_ready = True
            self._ready.append(index)

    def _advance(self, node: CompiledNode) -> None:
        """Start the node's next run if its items have arrived."""
        progress = self._progress[node.index]
        progress.is_ready = False
        if not progress.is_idle:
            return
        body = self.run.compiled.bodies.get(node.index)
        if body is not None:
            self._advance_loop(node, body)
        elif node.type.waits_for_all_inputs:
            self._advance_join(node, progress)
        else:
            edge = self._next_edge(node, progress)
            if edge == _NO_EDGE:
                self._start(node, [[]], (None,), self.run.execution.created_at)
            elif edge is not None:
                arrival = self._waiting[edge].pop(0)
                self._start(node, [arrival.items], (arrival.source,), arrival.time)

    def _next_edge(self, node: CompiledNode, progress: _NodeProgress) -> int | None:
        """The edge with the items of the node's next run; where none can come any more, the node ends.

        ``_NO_EDGE``: it runs without items.
        """
        edges = node.edges_in[0] if node.edges_in else ()
        while progress.edge < len(edges):
            edge = edges[progress.edge]
            if self._waiting[edge]:
                return edge
            if not self._closed[edge]:
                return None
            progress.edge += 1
        if not progress.has_run and isinstance(node.type, RunsWithoutItems) and self._runs_empty(node):
            return _NO_EDGE
        self._end(node, progress)
        return None

    def _runs_empty(self, node: CompiledNode) -> bool:
        """Whether a node to which no items came runs all the same: not in a part of the workflow that the trigger does
        not lead to, nor in a loop without a round."""
        if node.definition.disabled or not cast(RunsWithoutItems, node.type).runs_without_items(
            node.definition.parameters
        ):
            return False
        around = self.run.compiled.enclosing.get(node.index)
        if around is not None and self._loops[around.loop].items is None:
            return False
        return self.run.leads_to(node)

    def _advance_join(self, node: CompiledNode, progress: _NodeProgress) -> None:
        if not all(self._closed[edge] for edges in node.edges_in for edge in edges):
            return
        if any(self._waiting[edge] for edges in node.edges_in for edge in edges):
            self._start_joined(node)
        else:
            self._end(node, progress)

    def _end(self, node: CompiledNode, progress: _NodeProgress, leaving: Iterable[int] = ()) -> None:
        """The node will not run again: close its edges, and for a loop the edges that ``leave`` its body."""
        progress.is_idle = False
        self._close(node, node.every_edge_out)
        if leaving:
            self._close(node, leaving)

    def _close(self, node: CompiledNode, edges: Iterable[int]) -> None:
        """Close edges: no more items come over them, in this round of the loop around the node where there is one.

        Edges that leave that loop stay open, since the next round may use them. They close with the loop.
        """
        around = self.run.compiled.enclosing.get(node.index)
        for edge in edges:
            if around is None or edge in around.inner:
                self._closed[edge] = True
                self._wake(self.run.compiled.edges[edge].target)

    def _advance_loop(self, node: CompiledNode, body: LoopBody) -> None:
        """Start the next round when all items of the last one have come back: the next batch, or the next arrival."""
        progress, state = self._progress[node.index], self._loops[node.index]
        if state.items is not None:
            if not all(self._closed[edge] for edge in body.back):
                return
            for edge in node.edges_in[0]:
                if edge in body.back:
                    while self._waiting[edge]:
                        arrival = self._waiting[edge].pop(0)
                        state.results += [Item(item.json) for item in arrival.items]
                        state.time = max(state.time, arrival.time)
            if state.position < len(state.items):
                self._go_round(node, body, state)
                return
            self._emit(node, {DONE: state.results}, (None,), state.time)
            state.items = None
        forward = [edge for edge in node.edges_in[0] if edge not in body.back]
        while progress.edge < len(forward):
            edge = forward[progress.edge]
            if self._waiting[edge]:
                arrival = self._waiting[edge].pop(0)
                self._loops[node.index] = _LoopProgress(arrival.items, arrival.source, arrival.time)
                self._go_round(node, body, self._loops[node.index])
                return
            if not self._closed[edge]:
                return
            progress.edge += 1
        self._end(node, progress, body.leaving)

    def _go_round(self, node: CompiledNode, body: LoopBody, state: _LoopProgress) -> None:
        """Open the body's edges again and send the next batch over them."""
        for edge in body.inner:
            self._closed[edge] = False
        for index in body.nodes:
            self._progress[index] = _NodeProgress(self._progress[index].runs)
            if index in self._loops:
                self._loops[index] = _LoopProgress()
        size = LoopParameters.model_validate(node.definition.parameters).batch_size
        first = state.position
        batch = (state.items or [])[first : first + size]
        state.position += len(batch)
        items = [Item(item.json, (Pair(0, first + place),)) for place, item in enumerate(batch)]
        self._emit(node, {BATCH: items}, (state.source,), state.time)
        for edges in node.edges_out.values():
            for edge in edges:
                if edge in body.inner:
                    self._closed[edge] = True
        for index in sorted(body.nodes):
            self._wake(index)

    def _emit(self, node: CompiledNode, outputs: Outputs, sources: Sources, time_: datetime) -> None:
        """A run of a loop node, which only sends batches and collects results."""
        progress = self._progress[node.index]
        start = NodeStart(node, progress.runs, [[]], sources, time_, time.perf_counter())
        progress.runs += 1
        recorded = self.run.journal.run(RunKey(node.name, start.run_index))
        if recorded is not None:
            self.run.record(recorded)
        else:
            recorded = self._record(start, Outcome(outputs, time_))
            if is_large(recorded):
                self.run.journal.holds_large = True
        self._pass_on(node, recorded)

    def _start_joined(self, node: CompiledNode) -> None:
        """Run a node that waits for all its inputs, with all items that arrived at each."""
        inputs: list[Items] = []
        sources: list[ItemOrigin | None] = []
        now = self.run.execution.created_at
        for edges in node.edges_in:
            arrivals = [arrival for edge in edges for arrival in self._waiting[edge]]
            for edge in edges:
                self._waiting[edge].clear()
            inputs.append([item for arrival in arrivals for item in arrival.items])
            # Items of several arrivals have no single origin; those of one arrival keep theirs.
            sources.append(arrivals[0].source if len(arrivals) == 1 else None)
            now = max([now, *(arrival.time for arrival in arrivals)])
        self._start(node, inputs, tuple(sources), now)

    def _start(self, node: CompiledNode, inputs: Sequence[Items], sources: Sources, now: datetime) -> None:
        progress = self._progress[node.index]
        start = NodeStart(node, progress.runs, inputs, sources, now, time.perf_counter())
        progress.runs += 1
        progress.is_idle = False
        progress.has_run = True
        recorded = self.run.journal.run(RunKey(node.name, start.run_index))
        if recorded is not None:
            self.run.record(recorded)
            self._pass_on(node, recorded)
            return
        outcome = self.runner.start(self.run, start)
        if isinstance(outcome, Outcome):
            self._finish(start, outcome)
        else:
            self.run.running[node.name] = start.run_index
            self._tasks[asyncio.ensure_future(outcome)] = start

    def _finish(self, start: NodeStart, outcome: Outcome) -> None:
        if self.run.running:
            self.run.running.pop(start.node.name, None)
        if outcome.waits:
            return
        node_run = self._record(start, outcome)
        if outcome.stops:
            self.run.error = outcome.error
            return
        self._pass_on(start.node, node_run)

    def _pass_on(self, node: CompiledNode, node_run: NodeRun) -> None:
        """Send the run's items over the edges, and queue the node again if it may have another run."""
        for output, items in node_run.outputs.items():
            if items:
                source = ItemOrigin(node.name, node_run.run_index, output)
                arrival = Arrival(source, items, node_run.logical_time)
                for edge in node.edges_out.get(output, ()):
                    self._waiting[edge].append(arrival)
                    self._wake(self.run.compiled.edges[edge].target)
        progress = self._progress[node.index]
        progress.is_idle = True
        is_ordinary = node.index not in self.run.compiled.bodies and not node.type.waits_for_all_inputs
        if not is_ordinary or self._next_edge(node, progress) is not None:
            self._wake(node.index)

    def _record(self, start: NodeStart, outcome: Outcome | None) -> NodeRun:
        node_run = NodeRun(
            node=start.node.name,
            run_index=start.run_index,
            status="cancelled" if outcome is None else "failed" if outcome.stops else "succeeded",
            started_at=self.run.moment(start.counter),
            duration_ms=(time.perf_counter() - start.counter) * 1000,
            items_in=sum(map(len, start.inputs)),
            logical_time=outcome.logical_time if outcome is not None else start.now,
            sources=start.sources,
            outputs=outcome.outputs if outcome is not None else {},
            error=outcome.error if outcome is not None else None,
        )
        self.run.record(node_run)
        self.run.journal.note(node_run)
        self.on_node_finished(node_run)
        return node_run

    async def _cancel_tasks(self) -> None:
        """Cancel the active node runs, and wait for their end."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task, start in self._tasks.items():
            self.run.running.pop(start.node.name, None)
            outcome = None if task.cancelled() or task.exception() is not None else task.result()
            if outcome is None or not outcome.waits:
                self._record(start, outcome)
        self._tasks.clear()
