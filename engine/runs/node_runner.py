"""One run of one node: evaluates its parameters, runs its type, sets the items' origin, applies ``on_error``.

Every failure becomes an :class:`Outcome`, except cancellation and :class:`~workflow.errors.NotAcceptedError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Any, cast

from engine.expressions.fast_values import FallThroughError
from engine.node_api.item_failures import ItemResult, ItemsFailedError
from engine.node_api.item_loops import ItemLoop
from engine.node_api.node_call import WebhookResponse
from engine.node_api.node_traits import MakesItems
from engine.node_api.node_type import (
    AsyncNode,
    BatchNode,
    EffectNode,
    Emission,
    ItemNode,
)
from engine.runs import mocks
from engine.runs.effects import EffectRun, FatalEffectError, latest
from engine.runs.journal import LARGE_ITEMS
from engine.runs.node_call import NodeRunCall, NodeServices
from engine.runs.node_run import NodeStart, Outcome
from engine.runs.run import Run
from engine.runs.turns import Aside, Turns
from workflow.definitions.definition import ERROR_OUTPUT
from workflow.errors import ExpressionError, JobsprintError, NodeError, NotAcceptedError
from workflow.executions import EffectResult, ErrorRecord
from workflow.items import Item, Outputs, from_item

logger = logging.getLogger(__name__)

LOOKED_AT = 100
"""Items whose parameters are looked at for the concurrency of all."""


class _NoProgress:
    """Reports nothing."""

    is_followed = False

    def report(self, note: str) -> None:
        """Nobody follows."""


_NO_PROGRESS = _NoProgress()


class NodeRunner:
    """Runs nodes. ``start`` runs pure nodes immediately, and returns an awaitable for the others."""

    def __init__(self, services: NodeServices) -> None:
        self._services = services
        self._aside = Aside()

    def start(self, run: Run, start: NodeStart) -> Outcome | Awaitable[Outcome]:
        """The outcome, or an awaitable of it."""
        node = start.node
        if node.definition.disabled:
            return mocks.passed_on(start)
        if run.execution.mode == "test":
            mocked = mocks.in_test(start, run.execution)
            if mocked is not None:
                return mocked
        if self._is_large(start):
            return _LargeWork(self._services, run, start).run_aside(self._aside)
        work = _NodeWork(self._services, run, start)
        if node.takes_time:
            return work.finish_later()
        if node.loop is not None:
            outcome = work.loop(node.loop)
            if outcome is not None:
                return outcome
        if node.parameters.templates and not work.evaluate_fast():
            return work.finish_later()
        return work.finish()

    def _is_large(self, start: NodeStart) -> bool:
        """Whether a run that does not wait would keep others waiting for long."""
        node, inputs = start.node, start.inputs
        if node.takes_time:
            return False
        if (len(inputs[0]) if len(inputs) == 1 else sum(map(len, inputs))) > LARGE_ITEMS:
            return True
        if node.is_item_node or not isinstance(node.type, MakesItems):
            return False
        return node.type.may_make(inputs, node.definition.parameters) > LARGE_ITEMS


class _NodeWork(NodeRunCall):
    """One run of one node."""

    __slots__ = ()

    def loop(self, loop: ItemLoop) -> Outcome | None:
        """Run the compiled loop; ``None`` where it met a value that it does not cover."""
        try:
            outputs = loop.run(self.items, self.scope() if loop.reads_scope else None)
        except (FallThroughError, JobsprintError):
            return None
        return Outcome(outputs, self._start.now)

    def evaluate_fast(self) -> bool:
        """Evaluate the templates in Python; false where they need JavaScript."""
        values = self._services.evaluator.try_fast(self._node.parameters.templates, self.scope())
        if values is None:
            return False
        self._values = values
        return True

    async def finish_later(self) -> Outcome:
        """Evaluate templates in JavaScript, within the node's time limit, then run the node."""
        failed = await self.evaluate()
        if failed is not None:
            return failed
        kind = self._node.type
        if isinstance(kind, EffectNode):
            if self._run.execution.mode == "plan":
                return await mocks.planned(kind, self, self._start, self._run)
            return await self._run_effects(kind)
        return await self._run_async(kind) if isinstance(kind, AsyncNode) else self.finish()

    async def evaluate(self) -> Outcome | None:
        """Evaluate templates, in JavaScript where they need that; the outcome where that failed."""
        try:
            if self._node.parameters.templates:
                async with asyncio.timeout(self._node.definition.timeout_seconds):
                    self._values = await self._services.evaluator.evaluate(
                        self._node.parameters.templates, self.scope(), execution_id=self._run.execution.id
                    )
        except ExpressionError as error:
            return self._failed(error)
        except TimeoutError:
            return self._failed(self._too_slow())
        return None

    async def _run_async(self, kind: AsyncNode[Any]) -> Outcome:
        try:
            async with asyncio.timeout(self._node.definition.timeout_seconds):
                return Outcome(await kind.run(self), self._start.now)
        except TimeoutError:
            return self._failed(self._too_slow())
        except Exception as error:
            return self._failed(error)

    def _too_slow(self) -> NodeError:
        return NodeError(
            f"The node took longer than {self._node.definition.timeout_seconds} s.",
            code="node_timeout",
            fix="Raise the node's timeout_seconds, or give it less to do.",
        )

    def finish(self) -> Outcome:
        """Run a node that does not wait."""
        kind = self._node.type
        try:
            if self._node.is_item_node:
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
                if self._node.definition.on_error == "stop":
                    return Outcome({}, self._start.now, record, stops=True)
                first_error = first_error or record
                emission = self._emission_of(item, record)
            if emission is not None:
                outputs.setdefault(emission.output, []).append(Item(emission.json, from_item(index)))
        return Outcome(outputs, self._start.now, first_error)

    async def _run_effects(self, kind: EffectNode[Any]) -> Outcome:
        """Run the effects of all items; with ``on_error: stop`` the first failure cancels the others."""
        effects = EffectRun(
            run=self._run,
            node=self._node.name,
            definition=self._node.definition,
            run_index=self._start.run_index,
            kind=kind,
            call=self,
            clock=self._services.clock,
            sleep=self._services.sleep,
            audit=self._services.audit,
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
        return await self._emitted(kind, [result for result in results if result is not None], now)

    async def _emitted(self, kind: EffectNode[Any], results: Sequence[EffectResult], now: datetime) -> Outcome:
        outputs: Outputs = {}
        first_error: ErrorRecord | None = None
        turns = Turns()
        for index, result in enumerate(results):
            await turns.next()
            if result.error is not None:
                first_error = first_error or result.error
                emission = self._emission_of(self.items[index], result.error)
            else:
                emission = kind.emission(result.result or {}, self._node.outputs)
            outputs.setdefault(emission.output, []).append(Item(emission.json, from_item(index)))
        return Outcome(outputs, now, first_error)

    def _concurrency(self, kind: EffectNode[Any]) -> int:
        """The concurrency by the parameters of the first item whose parameters are valid."""
        for index in range(min(len(self.items), LOOKED_AT)):
            with contextlib.suppress(JobsprintError):
                return kind.concurrency(self.parameters(index))
        return 1

    def _emission_of(self, item: Item, record: ErrorRecord) -> Emission:
        """The failed item to send on: as it came, with the failure in its field ``error``."""
        output = ERROR_OUTPUT if self._node.definition.on_error == "error_output" else self._node.outputs[0]
        return Emission(output, {**item.json, "error": record.to_json()})

    def _failed(self, error: Exception) -> Outcome:
        """The node failed as a whole: ``on_error`` applies to every item of the first input."""
        if isinstance(error, ItemsFailedError):
            return self._partly_failed(error.results)
        record = self._record(error, None)
        if self._node.definition.on_error == "stop":
            return Outcome({}, self._start.now, record, stops=True)
        emissions = [self._emission_of(item, record) for item in self.items]
        items = [Item(emission.json, from_item(index)) for index, emission in enumerate(emissions)]
        return Outcome({emissions[0].output: items} if emissions else {}, self._start.now, record)

    def _partly_failed(self, results: Sequence[ItemResult]) -> Outcome:
        """Single items failed: ``on_error`` applies to them, and the others go on."""
        outputs: Outputs = {}
        first_error: ErrorRecord | None = None
        for index, (item, result) in enumerate(zip(self.items, results, strict=True)):
            if isinstance(result, Exception):
                record = self._record(result, index)
                if self._node.definition.on_error == "stop":
                    return Outcome({}, self._start.now, record, stops=True)
                first_error = first_error or record
                emissions: Sequence[Emission] = [self._emission_of(item, record)]
            else:
                emissions = result
            for emission in emissions:
                outputs.setdefault(emission.output, []).append(Item(emission.json, from_item(index)))
        return Outcome(outputs, self._start.now, first_error)

    def _record(self, error: Exception, item_index: int | None) -> ErrorRecord:
        if isinstance(error, NodeError):
            code, transient = error.node_code, error.transient
            item_index = error.item_index if error.item_index is not None else item_index
        elif isinstance(error, ExpressionError):
            code, transient, item_index = error.expression_code, False, error.item_index
        elif isinstance(error, JobsprintError):
            code, transient = error.code, False
        else:
            logger.error("node type %s failed unexpectedly", self._node.type.name, exc_info=error)
            return ErrorRecord(
                code="node_bug",
                message=f"The node type {self._node.type.name!r} failed unexpectedly: {error!r:.300}",
                node=self._node.name,
                item_index=item_index,
                fix="This is a fault of the node type, not of the workflow; the server's log has the traceback.",
            )
        return ErrorRecord(
            code=code,
            message=error.message,
            node=self._node.name,
            item_index=item_index,
            pointer=error.pointer,
            fix=error.fix,
            transient=transient,
        )


class _LargeWork(_NodeWork):
    """A run that computes in a thread, where nothing of the event loop is touched.

    The answer to a webhook request waits until the thread has ended, and nobody follows progress.
    """

    __slots__ = ("_answers",)

    def __init__(self, services: NodeServices, run: Run, start: NodeStart) -> None:
        super().__init__(services, run, start)
        self._answers: list[WebhookResponse] = []

    @property
    def progress(self) -> Any:
        return _NO_PROGRESS

    def respond(self, response: WebhookResponse) -> None:
        self._answers.append(response)

    async def run_aside(self, aside: Aside) -> Outcome:
        """Run the node in a thread, and its expressions in JavaScript where they need that."""
        outcome = await aside.run(self._compute) or await self.evaluate()
        if outcome is None:
            outcome = await aside.run(self.finish)
        for answer in self._answers:
            self._run.answer(answer)
        return outcome

    def _compute(self) -> Outcome | None:
        """The outcome, or ``None`` where the expressions need JavaScript."""
        if self._node.loop is not None:
            outcome = self.loop(self._node.loop)
            if outcome is not None:
                return outcome
        if self._node.parameters.templates and not self.evaluate_fast():
            return None
        return self.finish()
