"""One run of one node: parameters evaluated, the work done, items paired, failures dealt with as it says.

Nothing escapes but cancellation: every other failure becomes an :class:`Outcome`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from engine.announcements import Announcements
from engine.definitions.plan import PlanNode
from engine.expressions.evaluator import Evaluator, Row
from engine.expressions.fast_values import FallThroughError
from engine.expressions.scope import Scope
from engine.node_api.item_loops import ItemLoop
from engine.node_api.node_type import (
    AsyncNode,
    BatchNode,
    EffectNode,
    Emission,
    ItemNode,
    WebhookResponse,
)
from engine.node_api.ports import AiPorts, ChildRunner, Part
from engine.node_api.progress import Teller
from engine.runs import mocks as rehearsal
from engine.runs.bound_children import BoundChildren, ChildStarter
from engine.runs.effect_steps import part_done, part_once
from engine.runs.effects import EffectRun, FatalEffectError, Sleep, latest
from engine.runs.node_run import NodeStart, Outcome
from engine.runs.run import Ancestry, Run
from workflow.actions import Actions
from workflow.audit import AuditLog
from workflow.chat import Asker
from workflow.definitions.definition import ERROR_OUTPUT
from workflow.errors import ExpressionError, JobsprintError, NodeError, NotAcceptedError
from workflow.executions import EffectKey, EffectResult, ErrorRecord, Resumption, Suspension
from workflow.items import Item, Items, JsonObject, Outputs, from_item
from workflow.ports import Clock, HttpClient

logger = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeRunner:
    """Runs nodes. ``start`` does what needs no waiting at once, and hands back the rest to be awaited."""

    evaluator: Evaluator
    http: HttpClient
    clock: Clock
    children: ChildStarter
    resume_url: Callable[[str], str | None]
    audit: AuditLog
    ai: AiPorts
    actions: Actions
    announcements: Announcements
    sleep: Sleep = asyncio.sleep

    def start(self, run: Run, start: NodeStart) -> Outcome | Awaitable[Outcome]:
        """The outcome, or what to await for it."""
        node = start.node
        if node.definition.disabled:
            return rehearsal.passed_on(start)
        if run.execution.mode == "test":
            rehearsed = rehearsal.in_test(start, run.execution)
            if rehearsed is not None:
                return rehearsed
        work = _Work(self, run, start)
        if node.takes_time:
            return work.finish_later()
        if node.loop is not None:
            outcome = work.loop(node.loop)
            if outcome is not None:
                return outcome
        if node.parameters.templates and not work.evaluate_fast():
            return work.finish_later()
        return work.finish()


class _Work:
    """One node run under way; the node's type sees it as a :class:`~engine.node_api.node_type.NodeCall`."""

    __slots__ = ("_run", "_runner", "_start", "_teller", "_values", "plan")

    def __init__(self, runner: NodeRunner, run: Run, start: NodeStart) -> None:
        self._runner = runner
        self._run = run
        self._start = start
        self._values: Sequence[Row] = ()
        self._teller: Teller | None = None
        self.plan: PlanNode = start.node

    # What the node's type sees.

    @property
    def node(self) -> str:
        return self.plan.name

    @property
    def owner(self) -> str:
        return self._run.execution.owner

    @property
    def inputs(self) -> Sequence[Items]:
        return self._start.inputs

    @property
    def items(self) -> Items:
        return self._start.inputs[0]

    @property
    def now(self) -> datetime:
        return self._start.now

    @property
    def http(self) -> HttpClient:
        return self._runner.http

    @property
    def children(self) -> ChildRunner:
        return BoundChildren(self._runner.children, self._run.execution)

    @property
    def ai(self) -> AiPorts:
        return self._runner.ai

    @property
    def actions(self) -> Actions:
        return self._runner.actions

    @property
    def asker(self) -> Asker:
        execution = self._run.execution
        return Asker(
            owner=execution.owner,
            user_id=execution.initiator.user_id,
            workflow_id=execution.workflow_id,
            execution_id=execution.id,
            node=self.plan.name,
        )

    @property
    def raw(self) -> Mapping[str, Any]:
        return self.plan.definition.parameters

    @property
    def common(self) -> Any:
        return self.parameters(0)

    def parameters(self, item_index: int) -> Any:
        parameters = self.plan.parameters
        if parameters.constant is not None:
            return parameters.constant
        return parameters.fill(self._values[item_index], item_index)

    @property
    def teller(self) -> Teller:
        if self._teller is None:
            self._teller = Teller(self._runner.announcements, self._run.execution, self.plan.name)
        return self._teller

    def respond(self, response: WebhookResponse) -> None:
        self._run.answer(response)

    def effect_key(self, item_index: int) -> str:
        return f"{self._run.execution.id}:{self.plan.name}:{self._start.run_index}:{item_index}"

    def item_key(self, item_index: int) -> EffectKey:
        return EffectKey(self.plan.name, self._start.run_index, item_index)

    def resumption(self, item_index: int) -> Resumption | None:
        return self._run.journal.resumption(self.item_key(item_index))

    def suspension(self, item_index: int) -> Suspension | None:
        return self._run.journal.suspension(self.item_key(item_index))

    def done(self, item_index: int, part: str) -> Any:
        return part_done(self._run, self.item_key(item_index), part)

    async def once(self, item_index: int, part: Part, work: Callable[[], Awaitable[Any]]) -> Any:
        runner = self._runner
        return await part_once(self._run, self.item_key(item_index), part, work, audit=runner.audit, clock=runner.clock)

    def resume_url(self) -> str | None:
        return self._runner.resume_url(self._run.execution.id)

    async def run_script(self, source: str, each: bool) -> Sequence[Any]:
        return await self._runner.evaluator.run_script(
            source, self._scope(), each=each, execution_id=self._run.execution.id
        )

    # How it is run.

    def loop(self, loop: ItemLoop) -> Outcome | None:
        """What the compiled loop gives; ``None`` where it leaves the run to the general way."""
        try:
            outputs = loop.run(self.items, self._scope() if loop.reads_scope else None)
        except (FallThroughError, JobsprintError):
            return None
        return Outcome(outputs, self._start.now)

    def evaluate_fast(self) -> bool:
        """Evaluate the templates in Python; whether that could be done."""
        values = self._runner.evaluator.try_fast(self.plan.parameters.templates, self._scope())
        if values is None:
            return False
        self._values = values
        return True

    async def finish_later(self) -> Outcome:
        """Evaluate what needs JavaScript, within the node's time limit, and do what waits."""
        try:
            if self.plan.parameters.templates:
                async with asyncio.timeout(self.plan.definition.timeout_seconds):
                    self._values = await self._runner.evaluator.evaluate(
                        self.plan.parameters.templates, self._scope(), execution_id=self._run.execution.id
                    )
        except ExpressionError as error:
            return self._failed(error)
        except TimeoutError:
            return self._failed(self._too_slow())
        kind = self.plan.type
        if isinstance(kind, EffectNode):
            if self._run.execution.mode == "plan":
                return await rehearsal.planned(kind, self, self._start, self._run)
            return await self._run_effects(kind)
        return await self._run_async(kind) if isinstance(kind, AsyncNode) else self.finish()

    async def _run_async(self, kind: AsyncNode[Any]) -> Outcome:
        try:
            async with asyncio.timeout(self.plan.definition.timeout_seconds):
                return Outcome(await kind.run(self), self._start.now)
        except TimeoutError:
            return self._failed(self._too_slow())
        except Exception as error:
            return self._failed(error)

    def _too_slow(self) -> NodeError:
        return NodeError(
            f"The node took longer than {self.plan.definition.timeout_seconds} s.",
            code="node_timeout",
            fix="Raise the node's timeout_seconds, or give it less to do.",
        )

    def finish(self) -> Outcome:
        """Do work that does not wait."""
        kind = self.plan.type
        try:
            if self.plan.is_item_node:
                return self._run_items(cast(ItemNode[Any], kind))
            return Outcome(cast(BatchNode[Any], kind).run(self), self._start.now)
        except Exception as error:
            return self._failed(error)

    def _run_items(self, kind: ItemNode[Any]) -> Outcome:
        outputs: Outputs = {}
        first_error: ErrorRecord | None = None
        for index, item in enumerate(self.items):
            try:
                emission = kind.run_item(item, self.parameters(index), self)
            except Exception as error:
                record = self._record(error, index)
                if self.plan.definition.on_error == "stop":
                    return Outcome({}, self._start.now, record, stops=True)
                first_error = first_error or record
                emission = self._emission_of(item, record)
            if emission is not None:
                outputs.setdefault(emission.output, []).append(Item(emission.json, from_item(index)))
        return Outcome(outputs, self._start.now, first_error)

    async def _run_effects(self, kind: EffectNode[Any]) -> Outcome:
        """All items, some at once, in order; with ``on_error: stop`` the first failure ends the rest."""
        effects = EffectRun(
            run=self._run,
            node=self.plan.name,
            definition=self.plan.definition,
            run_index=self._start.run_index,
            kind=kind,
            call=self,
            clock=self._runner.clock,
            sleep=self._runner.sleep,
            audit=self._runner.audit,
            concurrency=self._concurrency(kind),
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
            return Outcome({}, self._start.now, min(fatal, key=lambda record: record.item_index or 0), stops=True)
        now = latest(self._start.now, results)
        if any(result is None for result in results):
            return Outcome({}, now, waits=True)
        return self._emitted(kind, [result for result in results if result is not None], now)

    def _emitted(self, kind: EffectNode[Any], results: Sequence[EffectResult], now: datetime) -> Outcome:
        outputs: Outputs = {}
        first_error: ErrorRecord | None = None
        for index, result in enumerate(results):
            if result.error is not None:
                first_error = first_error or result.error
                emission = self._emission_of(self.items[index], result.error)
            else:
                emission = kind.emission(result.result or {}, self.plan.outputs)
            outputs.setdefault(emission.output, []).append(Item(emission.json, from_item(index)))
        return Outcome(outputs, now, first_error)

    def _concurrency(self, kind: EffectNode[Any]) -> int:
        """What the first item says whose parameters are good; the others fail one by one."""
        for index in range(len(self.items)):
            with contextlib.suppress(JobsprintError):
                return kind.concurrency(self.parameters(index))
        return 1

    def _execution_in_scope(self) -> JsonObject:
        execution = self._run.execution
        seen = {"id": execution.id, "mode": execution.trigger}
        # Signing takes longer than most expressions, so only those who ask for the link get it.
        if any("resumeUrl" in template.source for template in self.plan.parameters.templates):
            return {**seen, "resumeUrl": self.resume_url()}
        return seen

    def _scope(self) -> Scope:
        run, source = self._run, self._start.sources[0] if self._start.sources else None
        return Scope(
            items=[item.json for item in self._start.inputs[0]],
            nodes=Ancestry(run, self._start.sources),
            execution=self._execution_in_scope(),
            workflow={"id": run.plan.workflow_id, "name": run.plan.definition.name},
            run_index=self._start.run_index,
            prev_node={
                "name": source.node if source else None,
                "outputIndex": self._output_index(source) if source else 0,
                "runIndex": source.run_index if source else 0,
            },
            parameters=self.plan.definition.parameters,
            vars={},
            now=self._start.now,
            timezone=run.plan.definition.settings.timezone,
            seed=f"{run.execution.id}:{self.plan.name}:{self._start.run_index}",
        )

    def _output_index(self, source: Any) -> int:
        outputs = self._run.plan.nodes[self._run.plan.index_by_name[source.node]].outputs
        return outputs.index(source.output) if source.output in outputs else 0

    def _emission_of(self, item: Item, record: ErrorRecord) -> Emission:
        """The failed item on its way on: as it was, with what went wrong in its field ``error``."""
        output = ERROR_OUTPUT if self.plan.definition.on_error == "error_output" else self.plan.outputs[0]
        return Emission(output, {**item.json, "error": record.to_json()})

    def _failed(self, error: Exception) -> Outcome:
        """The node failed as a whole: its ``on_error`` holds for every item of the first input."""
        record = self._record(error, None)
        if self.plan.definition.on_error == "stop":
            return Outcome({}, self._start.now, record, stops=True)
        emissions = [self._emission_of(item, record) for item in self.items]
        items = [Item(emission.json, from_item(index)) for index, emission in enumerate(emissions)]
        return Outcome({emissions[0].output: items} if emissions else {}, self._start.now, record)

    def _record(self, error: Exception, item_index: int | None) -> ErrorRecord:
        if isinstance(error, NodeError):
            code, transient = error.node_code, error.transient
            item_index = error.item_index if error.item_index is not None else item_index
        elif isinstance(error, ExpressionError):
            code, transient, item_index = error.expression_code, False, error.item_index
        elif isinstance(error, JobsprintError):
            code, transient = error.code, False
        else:
            logger.error("node type %s failed unexpectedly", self.plan.type.name, exc_info=error)
            return ErrorRecord(
                code="node_bug",
                message=f"The node type {self.plan.type.name!r} failed unexpectedly: {error!r:.300}",
                node=self.plan.name,
                item_index=item_index,
                fix="This is a fault of the node type, not of the workflow; the server's log has the traceback.",
            )
        return ErrorRecord(
            code=code,
            message=error.message,
            node=self.plan.name,
            item_index=item_index,
            pointer=error.pointer,
            fix=error.fix,
            transient=transient,
        )
