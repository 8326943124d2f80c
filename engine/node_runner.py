"""One run of one node: parameters evaluated, the work done, items paired, failures dealt with as it says.

Nothing escapes but cancellation: every other failure becomes an :class:`Outcome`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast

from engine import rehearsal
from engine.effects import EffectRun, FatalEffectError, Sleep, latest
from engine.expressions.evaluator import Evaluator, Row
from engine.expressions.scope import Scope
from engine.node_run import NodeStart, Outcome
from engine.node_type import AsyncNode, BatchNode, EffectNode, Emission, ItemNode, NodeCall
from engine.plan import PlanNode
from engine.run import Ancestry, Run
from workflow.definition import ERROR_OUTPUT
from workflow.errors import ExpressionError, JobsprintError, NodeError, NotAcceptedError
from workflow.executions import EffectKey, EffectResult, ErrorRecord, Execution, Mode
from workflow.items import Item, Items, JsonObject, Outputs, from_item
from workflow.ports import Clock, HttpClient

logger = logging.getLogger(__name__)


class ChildStarter(Protocol):
    """Starts other workflows; :class:`engine.children.Children` is the one there is."""

    async def ensure(
        self, parent_id: str, key: EffectKey, workflow_id: str, data: Any, *, mode: Mode, wait: bool
    ) -> Execution:
        """The item's execution as it is now, started if it is not there yet."""
        ...


@dataclass(slots=True, frozen=True)
class BoundChildren:
    """A :class:`ChildStarter` for one execution, as its nodes see it."""

    starter: ChildStarter
    parent: Execution

    async def ensure(self, key: EffectKey, workflow_id: str, data: Any, *, wait: bool) -> Execution:
        """The item's execution as it is now, started if it is not there yet."""
        return await self.starter.ensure(self.parent.id, key, workflow_id, data, mode=self.parent.mode, wait=wait)


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeRunner:
    """Runs nodes. ``start`` does what needs no waiting at once, and hands back the rest to be awaited."""

    evaluator: Evaluator
    http: HttpClient
    clock: Clock
    children: ChildStarter
    resume_url: Callable[[str], str | None]
    sleep: Sleep = asyncio.sleep

    def start(self, run: Run, start: NodeStart) -> Outcome | Awaitable[Outcome]:
        """The outcome, or what to await for it."""
        work = _Work(self, run, start)
        node = start.node
        if node.definition.disabled:
            return rehearsal.passed_on(start)
        if run.execution.mode == "test":
            rehearsed = rehearsal.in_test(start, run.execution)
            if rehearsed is not None:
                return rehearsed
        if node.takes_time:
            return work.finish_later()
        values = work.fast_values() if node.parameters.templates else []
        return work.finish_later() if values is None else work.finish(values)


Values = Sequence[Row]


@dataclass(slots=True)
class _Work:
    """One node run under way."""

    runner: NodeRunner
    run: Run
    start: NodeStart

    @property
    def node(self) -> PlanNode:
        return self.start.node

    def fast_values(self) -> Values | None:
        """The templates' values where Python can give them all; ``None`` where JavaScript has to."""
        return self.runner.evaluator.try_fast(self.node.parameters.templates, self._scope())

    async def finish_later(self) -> Outcome:
        """Evaluate what needs JavaScript, within the node's time limit, and do what waits."""
        values: Values = []
        try:
            if self.node.parameters.templates:
                async with asyncio.timeout(self.node.definition.timeout_seconds):
                    values = await self.runner.evaluator.evaluate(
                        self.node.parameters.templates, self._scope(), execution_id=self.run.execution.id
                    )
        except ExpressionError as error:
            return self._failed(error)
        except TimeoutError:
            return self._failed(self._too_slow())
        kind = self.node.type
        if isinstance(kind, EffectNode):
            if self.run.execution.mode == "plan":
                return rehearsal.planned(kind, self._call(values), self.start, self.run)
            return await self._run_effects(kind, values)
        return await self._run_async(kind, values) if isinstance(kind, AsyncNode) else self.finish(values)

    async def _run_async(self, kind: AsyncNode[Any], values: Values) -> Outcome:
        try:
            async with asyncio.timeout(self.node.definition.timeout_seconds):
                return Outcome(await kind.run(self._call(values)), self.start.now)
        except TimeoutError:
            return self._failed(self._too_slow())
        except Exception as error:
            return self._failed(error)

    def _too_slow(self) -> NodeError:
        return NodeError(
            f"The node took longer than {self.node.definition.timeout_seconds} s.",
            code="node_timeout",
            fix="Raise the node's timeout_seconds, or give it less to do.",
        )

    def finish(self, values: Values) -> Outcome:
        """Do work that does not wait."""
        kind, call = self.node.type, self._call(values)
        try:
            if self.node.is_item_node:
                return self._run_items(cast(ItemNode[Any], kind), call)
            return Outcome(cast(BatchNode[Any], kind).run(call), self.start.now)
        except Exception as error:
            return self._failed(error)

    def _run_items(self, kind: ItemNode[Any], call: NodeCall[Any]) -> Outcome:
        outputs: Outputs = {}
        first_error: ErrorRecord | None = None
        for index, item in enumerate(call.items):
            try:
                emission = kind.run_item(item, call.parameters(index), call)
            except Exception as error:
                record = self._record(error, index)
                if self.node.definition.on_error == "stop":
                    return Outcome({}, self.start.now, record, stops=True)
                first_error = first_error or record
                emission = self._emission_of(item, record)
            if emission is not None:
                outputs.setdefault(emission.output, []).append(Item(emission.json, from_item(index)))
        return Outcome(outputs, self.start.now, first_error)

    async def _run_effects(self, kind: EffectNode[Any], values: Values) -> Outcome:
        """All items, some at once, in order; with ``on_error: stop`` the first failure ends the rest."""
        call = self._call(values)
        effects = EffectRun(
            run=self.run,
            node=self.node.name,
            definition=self.node.definition,
            run_index=self.start.run_index,
            kind=kind,
            call=call,
            clock=self.runner.clock,
            sleep=self.runner.sleep,
            concurrency=self._concurrency(kind, call),
            record_of=self._record,
        )
        fatal: list[ErrorRecord] = []
        refused: list[BaseException] = []
        results: list[EffectResult | None] = []
        try:
            results = await effects.perform()
        except* FatalEffectError as failures:
            fatal = [failure.record for failure in failures.exceptions if isinstance(failure, FatalEffectError)]
        except* NotAcceptedError as failures:
            refused = list(failures.exceptions)
        if refused:
            raise refused[0]
        if fatal:
            return Outcome({}, self.start.now, min(fatal, key=lambda record: record.item_index or 0), stops=True)
        now = latest(self.start.now, results)
        if any(result is None for result in results):
            return Outcome({}, now, waits=True)
        return self._emitted(kind, call.items, [result for result in results if result is not None], now)

    def _emitted(self, kind: EffectNode[Any], items: Items, results: Sequence[EffectResult], now: datetime) -> Outcome:
        outputs: Outputs = {}
        first_error: ErrorRecord | None = None
        for index, result in enumerate(results):
            if result.error is not None:
                first_error = first_error or result.error
                emission = self._emission_of(items[index], result.error)
            else:
                emission = kind.emission(result.result or {}, self.node.outputs)
            outputs.setdefault(emission.output, []).append(Item(emission.json, from_item(index)))
        return Outcome(outputs, now, first_error)

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
            inputs=self.start.inputs,
            parameters=parameters_for,
            now=self.start.now,
            http=self.runner.http,
            respond=self.run.answer,
            effect_key=self._effect_key,
            resumption=lambda index: self.run.journal.resumption(self._item_key(index)),
            item_key=self._item_key,
            resume_url=self._resume_url,
            children=BoundChildren(self.runner.children, self.run.execution),
            run_script=self._run_script,
        )

    def _effect_key(self, item_index: int) -> str:
        """``{execution}:{node}:{run}:{item}``: the same again when the effect is repeated."""
        return f"{self.run.execution.id}:{self.node.name}:{self.start.run_index}:{item_index}"

    def _resume_url(self) -> str | None:
        return self.runner.resume_url(self.run.execution.id)

    def _execution_in_scope(self) -> JsonObject:
        execution = self.run.execution
        seen = {"id": execution.id, "mode": execution.trigger}
        # Signing takes longer than most expressions, so only those who ask for the link get it.
        if any("resumeUrl" in template.source for template in self.node.parameters.templates):
            return {**seen, "resumeUrl": self._resume_url()}
        return seen

    def _item_key(self, item_index: int) -> EffectKey:
        return EffectKey(self.node.name, self.start.run_index, item_index)

    async def _run_script(self, source: str, each: bool) -> Sequence[Any]:
        return await self.runner.evaluator.run_script(
            source, self._scope(), each=each, execution_id=self.run.execution.id
        )

    def _scope(self) -> Scope:
        run, source = self.run, self.start.sources[0] if self.start.sources else None
        return Scope(
            items=[item.json for item in self.start.inputs[0]],
            nodes=Ancestry(run, self.start.sources),
            execution=self._execution_in_scope(),
            workflow={"id": run.plan.workflow_id, "name": run.plan.definition.name},
            run_index=self.start.run_index,
            prev_node={
                "name": source.node if source else None,
                "outputIndex": self._output_index(source) if source else 0,
                "runIndex": source.run_index if source else 0,
            },
            parameters=self.node.definition.parameters,
            vars={},
            now=self.start.now,
            timezone=run.plan.definition.settings.timezone,
            seed=f"{run.execution.id}:{self.node.name}:{self.start.run_index}",
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
            return Outcome({}, self.start.now, record, stops=True)
        emissions = [self._emission_of(item, record) for item in self.start.inputs[0]]
        items = [Item(emission.json, from_item(index)) for index, emission in enumerate(emissions)]
        return Outcome({emissions[0].output: items} if emissions else {}, self.start.now, record)

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
