"""Runs a plan: decides which node runs when, with which items.

Every edge of the graph is open until its source can send nothing more. A node takes what its edges bring
edge by edge, in the order of the definition's connections, one run per delivery; a node that waits for all
inputs runs once, when all its edges have closed. So which items a run gets never depends on timing, although
branches that wait for the world outside run at the same time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from engine.loops import LoopBody
from engine.node_run import NodeStart, Outcome
from engine.node_runner import NodeRunner
from engine.nodes.loop import BATCH, DONE, LoopParameters
from engine.plan import PlanNode
from engine.run import Run, Sources
from workflow.executions import NodeRun, RunKey
from workflow.items import Item, Items, Outputs, Pair, Source
from workflow.states import ExecutionState

INLINE_SECONDS = 0.005
"""How long pure nodes may run on without letting the event loop turn: five milliseconds are not felt elsewhere."""


BEFORE_EVERYTHING = datetime(1, 1, 1, tzinfo=UTC)


class Delivery(NamedTuple):
    """Items on an edge, and the execution's own time when they were sent."""

    source: Source | None
    items: Items
    time: datetime


class _Started(NamedTuple):
    """A node run under way."""

    start: NodeStart
    counter: float


@dataclass(slots=True)
class _NodeProgress:
    """How far a node is: the edge of the first input it reads now, and its runs so far."""

    edge: int = 0
    runs: int = 0
    is_running: bool = False
    is_waiting: bool = False
    is_done: bool = False


@dataclass(slots=True)
class _LoopProgress:
    """How far a loop is with the items it was given last; ``None`` between two deliveries."""

    items: Items | None = None
    source: Source | None = None
    time: datetime = BEFORE_EVERYTHING
    position: int = 0
    results: Items = field(default_factory=list)


@dataclass(slots=True)
class Executor:
    """Executes one run from its trigger to its end."""

    run: Run
    runner: NodeRunner
    on_node_finished: Callable[[NodeRun], None]
    _waiting: list[deque[Delivery]] = field(init=False)
    _closed: list[bool] = field(init=False)
    _progress: list[_NodeProgress] = field(init=False)
    _loops: dict[int, _LoopProgress] = field(init=False)
    _ready: deque[int] = field(default_factory=deque)
    _tasks: dict[asyncio.Task[Outcome], _Started] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waiting = [deque() for _ in self.run.plan.edges]
        self._closed = [False] * len(self.run.plan.edges)
        self._progress = [_NodeProgress() for _ in self.run.plan.nodes]
        self._loops = {loop: _LoopProgress() for loop in self.run.plan.bodies}

    async def execute(self, items: Items) -> ExecutionState:
        """Run to the end, starting with ``items`` at the execution's trigger; the run holds the results.

        Returns:
            ``SUCCEEDED``, ``FAILED``, or ``WAITING`` where nothing is left to do until something happens.

        Raises:
            asyncio.CancelledError: the caller was cancelled; node runs under way are recorded as cancelled.
        """
        start = self.run.plan.index_by_name[self.run.execution.start_node]
        for node in self.run.plan.nodes:
            if node.index != start:
                self._ready.append(node.index)
        self._start(self.run.plan.nodes[start], [items], (None,), self.run.execution.created_at)
        self._ready.append(start)
        try:
            await self._loop()
        finally:
            await self._cancel_tasks()
        if self.run.error is not None:
            return ExecutionState.FAILED
        return ExecutionState.WAITING if self.run.waiting else ExecutionState.SUCCEEDED

    async def _loop(self) -> None:
        turn_ends = time.perf_counter() + INLINE_SECONDS
        while self.run.error is None:
            while self._ready and self.run.error is None:
                if self.run.journal.secures_every_node:
                    await self.run.journal.secure()
                self._advance(self.run.plan.nodes[self._ready.popleft()])
                if time.perf_counter() > turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = time.perf_counter() + INLINE_SECONDS
            if not self._tasks or self.run.error is not None:
                return
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            turn_ends = time.perf_counter() + INLINE_SECONDS
            for task in sorted(done, key=lambda each: self._tasks[each].start.node.index):
                self._finish(self._tasks.pop(task), task.result())

    def _advance(self, node: PlanNode) -> None:
        """Start the node's next run if its input is there; close what lies behind it if nothing more can come."""
        progress = self._progress[node.index]
        if progress.is_running or progress.is_waiting or progress.is_done:
            return
        body = self.run.plan.bodies.get(node.index)
        if body is not None:
            self._advance_loop(node, body)
            return
        if node.type.waits_for_all_inputs:
            if not all(self._closed[edge] for edges in node.edges_in for edge in edges):
                return
            if any(self._waiting[edge] for edges in node.edges_in for edge in edges):
                self._start_joined(node)
                return
        elif node.edges_in:
            edges = node.edges_in[0]
            while progress.edge < len(edges):
                edge = edges[progress.edge]
                if self._waiting[edge]:
                    delivery = self._waiting[edge].popleft()
                    self._start(node, [delivery.items], (delivery.source,), delivery.time)
                    return
                if not self._closed[edge]:
                    return
                progress.edge += 1
        progress.is_done = True
        self._close(node, [edge for edges in node.edges_out.values() for edge in edges])

    def _close(self, node: PlanNode, edges: Iterable[int]) -> None:
        """Nothing more comes over these edges, for this round of the loop that the node lies in, if in any.

        Ways out of that loop stay open: the next round may use them. They close with the loop.
        """
        around = self.run.plan.enclosing.get(node.index)
        for edge in edges:
            if around is None or edge in around.inner:
                self._closed[edge] = True
                self._ready.append(self.run.plan.edges[edge].target)

    def _advance_loop(self, node: PlanNode, body: LoopBody) -> None:
        """Go round with the next batch, or on with the next items, when what is under way has come back."""
        progress, state = self._progress[node.index], self._loops[node.index]
        if state.items is not None:
            if not all(self._closed[edge] for edge in body.back):
                return
            for edge in node.edges_in[0]:
                if edge in body.back:
                    while self._waiting[edge]:
                        delivery = self._waiting[edge].popleft()
                        state.results += [Item(item.json) for item in delivery.items]
                        state.time = max(state.time, delivery.time)
            if state.position < len(state.items):
                self._go_round(node, body, state)
                return
            self._emit(node, {DONE: state.results}, (None,), state.time)
            state.items = None
        forward = [edge for edge in node.edges_in[0] if edge not in body.back]
        while progress.edge < len(forward):
            edge = forward[progress.edge]
            if self._waiting[edge]:
                delivery = self._waiting[edge].popleft()
                self._loops[node.index] = _LoopProgress(delivery.items, delivery.source, delivery.time)
                self._go_round(node, body, self._loops[node.index])
                return
            if not self._closed[edge]:
                return
            progress.edge += 1
        progress.is_done = True
        own = [edge for edges in node.edges_out.values() for edge in edges]
        self._close(node, [*own, *body.leaving])

    def _go_round(self, node: PlanNode, body: LoopBody, state: _LoopProgress) -> None:
        """Open the body afresh and send the next batch into it."""
        for edge in body.inner:
            self._closed[edge] = False
        for index in body.nodes:
            self._progress[index] = _NodeProgress(runs=self._progress[index].runs)
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
        self._ready += sorted(body.nodes)

    def _emit(self, node: PlanNode, outputs: Outputs, sources: Sources, time_: datetime) -> None:
        """A run of a loop node: it does no work of its own but to part and to gather."""
        progress = self._progress[node.index]
        start = NodeStart(node, progress.runs, [[]], sources, time_)
        progress.runs += 1
        recorded = self.run.journal.run(RunKey(node.name, start.run_index))
        if recorded is not None:
            self.run.record(recorded)
        else:
            recorded = self._record(_Started(start, time.perf_counter()), Outcome(outputs, time_))
        self._pass_on(node, recorded)

    def _start_joined(self, node: PlanNode) -> None:
        """Run a node that waits for all its inputs, with everything that came for each."""
        inputs: list[Items] = []
        sources: list[Source | None] = []
        now = self.run.execution.created_at
        for edges in node.edges_in:
            deliveries = [delivery for edge in edges for delivery in self._waiting[edge]]
            for edge in edges:
                self._waiting[edge].clear()
            inputs.append([item for delivery in deliveries for item in delivery.items])
            # Items of several deliveries have no one source; a single delivery keeps its own.
            sources.append(deliveries[0].source if len(deliveries) == 1 else None)
            now = max([now, *(delivery.time for delivery in deliveries)])
        self._start(node, inputs, tuple(sources), now)

    def _start(self, node: PlanNode, inputs: Sequence[Items], sources: Sources, now: datetime) -> None:
        progress = self._progress[node.index]
        start = NodeStart(node, progress.runs, inputs, sources, now)
        progress.runs += 1
        recorded = self.run.journal.run(RunKey(node.name, start.run_index))
        if recorded is not None:
            self.run.record(recorded)
            self._pass_on(node, recorded)
            return
        progress.is_running = True
        started = _Started(start, time.perf_counter())
        outcome = self.runner.start(self.run, start)
        if isinstance(outcome, Outcome):
            self._finish(started, outcome)
        else:
            self.run.running[node.name] = start.run_index
            self._tasks[asyncio.ensure_future(outcome)] = started

    def _finish(self, started: _Started, outcome: Outcome) -> None:
        node = started.start.node
        progress = self._progress[node.index]
        progress.is_running = False
        self.run.running.pop(node.name, None)
        if outcome.waits:
            progress.is_waiting = True
            return
        node_run = self._record(started, outcome)
        if outcome.stops:
            self.run.error = outcome.error
            return
        self._pass_on(node, node_run)

    def _pass_on(self, node: PlanNode, node_run: NodeRun) -> None:
        for output, items in node_run.outputs.items():
            if items:
                source = Source(node.name, node_run.run_index, output)
                delivery = Delivery(source, items, node_run.logical_time)
                for edge in node.edges_out.get(output, ()):
                    self._waiting[edge].append(delivery)
                    self._ready.append(self.run.plan.edges[edge].target)
        self._ready.append(node.index)

    def _record(self, started: _Started, outcome: Outcome | None) -> NodeRun:
        start = started.start
        node_run = NodeRun(
            node=start.node.name,
            run_index=start.run_index,
            status="cancelled" if outcome is None else "failed" if outcome.stops else "succeeded",
            started_at=self.run.moment(started.counter),
            duration_ms=(time.perf_counter() - started.counter) * 1000,
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
        """End the node runs that are still under way, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task, started in self._tasks.items():
            self.run.running.pop(started.start.node.name, None)
            outcome = None if task.cancelled() or task.exception() is not None else task.result()
            if outcome is None or not outcome.waits:
                self._record(started, outcome)
        self._tasks.clear()
