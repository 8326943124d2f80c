"""One run of one node: parameters evaluated, the work done, items paired, failures dealt with as it says.

Nothing escapes but cancellation: every other failure becomes an :class:`Outcome`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.expressions.evaluator import Evaluator, Row
from engine.expressions.scope import Scope
from engine.node_type import BatchNode, EffectNode, Emission, ItemNode, NodeCall
from engine.plan import PlanNode
from engine.run import Ancestry, Run, Sources
from workflow.definition import ERROR_OUTPUT
from workflow.errors import ExpressionError, JobsprintError, NodeError
from workflow.executions import ErrorRecord
from workflow.items import Item, Items, Outputs, Pair
from workflow.ports import Clock, HttpClient

logger = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class Outcome:
    """How a node run ended. With an ``error`` and outputs, the node's ``on_error`` let it go on."""

    outputs: Outputs
    error: ErrorRecord | None = None
    stops: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeRunner:
    """Runs nodes. ``start`` does what needs no waiting at once, and hands back the rest to be awaited."""

    evaluator: Evaluator
    http: HttpClient
    clock: Clock

    def start(
        self, run: Run, node: PlanNode, run_index: int, inputs: Sequence[Items], sources: Sources
    ) -> Outcome | Awaitable[Outcome]:
        """The outcome, or what to await for it."""
        work = _Work(self, run, node, run_index, inputs, sources)
        if node.definition.disabled:
            return Outcome(_passed_on(node, inputs))
        if node.type.has_effect:
            return work.finish_later()
        values = work.fast_values() if node.parameters.templates else []
        return work.finish_later() if values is None else work.finish(values)


def _passed_on(node: PlanNode, inputs: Sequence[Items]) -> Outputs:
    items = [
        Item(item.json, (Pair(place, index),)) for place, each in enumerate(inputs) for index, item in enumerate(each)
    ]
    return {node.outputs[0]: items}


Values = Sequence[Row]


@dataclass(slots=True)
class _Work:
    """One node run under way."""

    runner: NodeRunner
    run: Run
    node: PlanNode
    run_index: int
    inputs: Sequence[Items]
    sources: Sources

    def fast_values(self) -> Values | None:
        """The templates' values where Python can give them all; ``None`` where JavaScript has to."""
        return self.runner.evaluator.try_fast(self.node.parameters.templates, self._scope())

    async def finish_later(self) -> Outcome:
        """Evaluate what needs JavaScript and do what waits, within the node's time limit."""
        try:
            async with asyncio.timeout(self.node.definition.timeout_seconds):
                return await self._finish_later()
        except TimeoutError:
            return self._failed(
                NodeError(
                    f"The node took longer than {self.node.definition.timeout_seconds} s.",
                    code="node_timeout",
                    transient=True,
                    fix="Raise the node's timeout_seconds, or give it less to do.",
                )
            )

    async def _finish_later(self) -> Outcome:
        values: Values = []
        if self.node.parameters.templates:
            try:
                values = await self.runner.evaluator.evaluate(
                    self.node.parameters.templates, self._scope(), execution_id=self.run.execution.id
                )
            except ExpressionError as error:
                return self._failed(error)
        kind = self.node.type
        if not isinstance(kind, EffectNode):
            return self.finish(values)
        return await self._run_effects(kind, values)

    def finish(self, values: Values) -> Outcome:
        """Do work that does not wait."""
        kind, call = self.node.type, self._call(values)
        try:
            if isinstance(kind, ItemNode):
                return self._run_items(kind, call)
            if isinstance(kind, BatchNode):
                return Outcome(kind.run(call))
        except Exception as error:
            return self._failed(error)
        raise TypeError(f"{kind!r} is none of ItemNode, BatchNode, EffectNode")

    def _run_items(self, kind: ItemNode[Any], call: NodeCall[Any]) -> Outcome:
        outputs: Outputs = {}
        first_error: ErrorRecord | None = None
        for index, item in enumerate(call.items):
            try:
                emission = kind.run_item(item, call.parameters(index), call)
            except Exception as error:
                record = self._record(error, index)
                if self.node.definition.on_error == "stop":
                    return Outcome({}, record, stops=True)
                first_error = first_error or record
                emission = self._emission_of(item, record)
            if emission is not None:
                outputs.setdefault(emission.output, []).append(Item(emission.json, (Pair(0, index),)))
        return Outcome(outputs, first_error)

    async def _run_effects(self, kind: EffectNode[Any], values: Values) -> Outcome:
        """All items, ``concurrency`` at once, in order; with ``on_error: stop`` the first failure ends the rest."""
        call = self._call(values)
        limit = asyncio.Semaphore(self._concurrency(kind, call))
        stops = self.node.definition.on_error == "stop"

        async def one(index: int, item: Item) -> Emission | ErrorRecord:
            async with limit:
                try:
                    json = await kind.run_item(index, item, call.parameters(index), call)
                    return Emission(self.node.outputs[0], json)
                except Exception as error:
                    record = self._record(error, index)
                    if stops:
                        raise _StopError(record) from error
                    return record

        fatal: list[ErrorRecord] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(index, item)) for index, item in enumerate(call.items)]
        except* _StopError as failures:
            fatal = [failure.record for failure in failures.exceptions if isinstance(failure, _StopError)]
        if fatal:
            return Outcome({}, min(fatal, key=lambda record: record.item_index or 0), stops=True)
        outputs: Outputs = {}
        first_error: ErrorRecord | None = None
        for index, task in enumerate(tasks):
            result = task.result()
            if isinstance(result, ErrorRecord):
                first_error = first_error or result
                result = self._emission_of(call.items[index], result)
            outputs.setdefault(result.output, []).append(Item(result.json, (Pair(0, index),)))
        return Outcome(outputs, first_error)

    def _concurrency(self, kind: EffectNode[Any], call: NodeCall[Any]) -> int:
        """What the first item says whose parameters are good; the others fail one by one."""
        for index in range(len(call.items)):
            with contextlib.suppress(JobsprintError):
                return kind.concurrency(call.parameters(index))
        return 1

    def _call(self, values: Values) -> NodeCall[Any]:
        parameters = self.node.parameters

        def parameters_for(index: int) -> Any:
            if parameters.constant is not None:
                return parameters.constant
            return parameters.fill(values[index], index)

        return NodeCall(
            node=self.node.name,
            inputs=self.inputs,
            parameters=parameters_for,
            now=self.runner.clock.now(),
            http=self.runner.http,
            respond=self.run.answer,
            effect_key=self._effect_key,
        )

    def _effect_key(self, item_index: int) -> str:
        """``{execution}:{node}:{run}:{item}``: the same again when the effect is repeated."""
        return f"{self.run.execution.id}:{self.node.name}:{self.run_index}:{item_index}"

    def _scope(self) -> Scope:
        run, source = self.run, self.sources[0] if self.sources else None
        return Scope(
            items=[item.json for item in self.inputs[0]],
            nodes=Ancestry(run, self.sources),
            execution={"id": run.execution.id, "mode": run.execution.trigger},
            workflow={"id": run.plan.workflow_id, "name": run.plan.definition.name},
            run_index=self.run_index,
            prev_node={
                "name": source.node if source else None,
                "outputIndex": self._output_index(source) if source else 0,
                "runIndex": source.run_index if source else 0,
            },
            parameters=self.node.definition.parameters,
            vars={},
            now=self.runner.clock.now(),
            timezone=run.plan.definition.settings.timezone,
            seed=f"{run.execution.id}:{self.node.name}:{self.run_index}",
        )

    def _output_index(self, source: Any) -> int:
        outputs = self.run.plan.nodes[self.run.plan.index_by_name[source.node]].outputs
        return outputs.index(source.output) if source.output in outputs else 0

    def _emission_of(self, item: Item, record: ErrorRecord) -> Emission:
        """The failed item on its way on: as it was, with what went wrong in its field ``error``."""
        output = ERROR_OUTPUT if self.node.definition.on_error == "error_output" else self.node.outputs[0]
        return Emission(output, {**item.json, "error": record.to_json()})

    def _failed(self, error: Exception) -> Outcome:
        """The node failed as a whole: its ``on_error`` holds for every item of the first input."""
        record = self._record(error, None)
        if self.node.definition.on_error == "stop":
            return Outcome({}, record, stops=True)
        emissions = [self._emission_of(item, record) for item in self.inputs[0]]
        items = [Item(emission.json, (Pair(0, index),)) for index, emission in enumerate(emissions)]
        return Outcome({emissions[0].output: items} if emissions else {}, record)

    def _record(self, error: Exception, item_index: int | None) -> ErrorRecord:
        if isinstance(error, NodeError):
            code, transient = error.node_code, error.transient
            item_index = error.item_index if error.item_index is not None else item_index
        elif isinstance(error, ExpressionError):
            code, transient, item_index = error.expression_code, False, error.item_index
        elif isinstance(error, JobsprintError):
            code, transient = error.code, False
        else:
            logger.error("node type %s failed unexpectedly", self.node.type.name, exc_info=error)
            return ErrorRecord(
                code="node_bug",
                message=f"The node type {self.node.type.name!r} failed unexpectedly: {error!r:.300}",
                node=self.node.name,
                item_index=item_index,
                fix="This is a fault of the node type, not of the workflow; the server's log has the traceback.",
            )
        return ErrorRecord(
            code=code,
            message=error.message,
            node=self.node.name,
            item_index=item_index,
            pointer=error.pointer,
            fix=error.fix,
            transient=transient,
        )


class _StopError(Exception):
    """Carries a failure out of a task group, so that the group ends the other items' tasks."""

    def __init__(self, record: ErrorRecord) -> None:
        super().__init__(record.message)
        self.record = record
