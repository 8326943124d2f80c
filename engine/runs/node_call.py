"""Implements the call that node types see: the items, parameters and ports of one run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.announcements import Announcements
from engine.definitions.compiled import CompiledNode
from engine.expressions.evaluator import Evaluator, Row
from engine.expressions.scope import ExpressionScope
from engine.node_api.node_call import WebhookResponse
from engine.node_api.ports import AiPorts, ChildStarter, Step
from engine.node_api.progress import ProgressReporter
from engine.runs.effect_steps import run_step_once, step_result
from engine.runs.effects import Sleep
from engine.runs.link_subjects import LinkSubject, NextQuestion, QuestionOf
from engine.runs.node_run import NodeStart
from engine.runs.run import Ancestry, Run
from workflow.actions import Actions
from workflow.audit import AuditLog
from workflow.chat import Asker
from workflow.executions import EffectKey, Execution, Resumption, Suspension
from workflow.items import Items, JsonObject
from workflow.ports import Clock, HttpClient


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeServices:
    """What node runs use. ``resume_url`` gives the link for an execution id and what the link is to answer; ``None``
    where no HTTP is served."""

    evaluator: Evaluator
    http: HttpClient
    clock: Clock
    children: ChildStarter
    resume_url: Callable[[str, LinkSubject], str | None]
    audit: AuditLog
    ai: AiPorts
    actions: Actions
    announcements: Announcements
    sleep: Sleep = asyncio.sleep


class NodeRunCall:
    """Implements :class:`~engine.node_api.node_call.NodeCall` for one run of one node."""

    __slots__ = ("_node", "_progress", "_run", "_services", "_start", "_values")

    def __init__(self, services: NodeServices, run: Run, start: NodeStart) -> None:
        self._services = services
        self._run = run
        self._start = start
        self._values: Sequence[Row] = ()
        self._progress: ProgressReporter | None = None
        self._node: CompiledNode = start.node

    @property
    def node(self) -> str:
        return self._node.name

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
        return self._services.http

    @property
    def ai(self) -> AiPorts:
        return self._services.ai

    @property
    def actions(self) -> Actions:
        return self._services.actions

    @property
    def asker(self) -> Asker:
        execution = self._run.execution
        return Asker(
            owner=execution.owner,
            user_id=execution.initiator.user_id,
            workflow_id=execution.workflow_id,
            execution_id=execution.id,
            node=self._node.name,
        )

    @property
    def raw(self) -> Mapping[str, Any]:
        return self._node.definition.parameters

    @property
    def common(self) -> Any:
        return self.parameters(0)

    def parameters(self, item_index: int) -> Any:
        parameters = self._node.parameters
        if parameters.constant is not None:
            return parameters.constant
        return parameters.fill(self._values[item_index], item_index)

    @property
    def progress(self) -> ProgressReporter:
        if self._progress is None:
            self._progress = ProgressReporter(self._services.announcements, self._run.execution, self._node.name)
        return self._progress

    def respond(self, response: WebhookResponse) -> None:
        self._run.answer(response)

    def effect_key(self, item_index: int) -> str:
        return f"{self._run.execution.id}:{self._node.name}:{self._start.run_index}:{item_index}"

    def item_key(self, item_index: int) -> EffectKey:
        return EffectKey(self._node.name, self._start.run_index, item_index)

    def resumption(self, item_index: int) -> Resumption | None:
        return self._run.journal.resumption(self.item_key(item_index))

    def suspension(self, item_index: int) -> Suspension | None:
        return self._run.journal.suspension(self.item_key(item_index))

    def done(self, item_index: int, step: str) -> Any:
        return step_result(self._run, self.item_key(item_index), step)

    async def once(self, item_index: int, step: Step, work: Callable[[], Awaitable[Any]]) -> Any:
        services = self._services
        return await run_step_once(
            self._run, self.item_key(item_index), step, work, audit=services.audit, clock=services.clock
        )

    async def start_child(
        self, item_index: int, workflow_id: str, data: Any, *, wait: bool, step: str = ""
    ) -> Execution:
        parent, key = self._run.execution, self.item_key(item_index)
        return await self._services.children.ensure(parent, key, workflow_id, data, wait=wait, step=step)

    def resume_url(self, item_index: int | None = None) -> str | None:
        journal = self._run.journal
        subject: LinkSubject
        if item_index is None:
            subject = NextQuestion(self._node.name, journal.suspended)
        else:
            key = self.item_key(item_index)
            before = journal.suspension(key)
            subject = QuestionOf(key, before.at if before is not None else None)
        return self._services.resume_url(self._run.execution.id, subject)

    async def run_script(self, source: str, each: bool) -> Sequence[Any]:
        return await self._services.evaluator.run_script(
            source, self.scope(), each=each, execution_id=self._run.execution.id
        )

    def _execution_in_scope(self) -> JsonObject:
        execution = self._run.execution
        seen = {"id": execution.id, "mode": execution.trigger}
        # Signing takes longer than most expressions, so only nodes that read the link get it.
        if any("resumeUrl" in template.source for template in self._node.parameters.templates):
            return {**seen, "resumeUrl": self.resume_url()}
        return seen

    def scope(self) -> ExpressionScope:
        """The data that expressions see in this run."""
        run, source = self._run, self._start.sources[0] if self._start.sources else None
        return ExpressionScope(
            items=[item.json for item in self._start.inputs[0]],
            nodes=Ancestry(run, self._start.sources),
            execution=self._execution_in_scope(),
            workflow={"id": run.compiled.workflow_id, "name": run.compiled.definition.name},
            run_index=self._start.run_index,
            prev_node={
                "name": source.node if source else None,
                "outputIndex": self._output_index(source) if source else 0,
                "runIndex": source.run_index if source else 0,
            },
            parameters=self._node.definition.parameters,
            vars={},
            now=self._start.now,
            timezone=run.compiled.definition.settings.timezone,
            seed=f"{run.execution.id}:{self._node.name}:{self._start.run_index}",
            owner=run.execution.owner,
        )

    def _output_index(self, source: Any) -> int:
        outputs = self._run.compiled.nodes[self._run.compiled.index_by_name[source.node]].outputs
        return outputs.index(source.output) if source.output in outputs else 0
