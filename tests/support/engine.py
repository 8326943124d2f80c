"""The engine without server, store and queue: definitions in, finished runs out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from engine.announcements import Announcements
from engine.definitions.compiled import CompiledWorkflow, compile_workflow
from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import WorkerPool
from engine.expressions.scope import ExpressionScope, NodeView
from engine.node_api.ports import AiPorts
from engine.nodes.registry import NodeRegistry
from engine.runs.executor import Executor
from engine.runs.journal import Journal
from engine.runs.node_call import NodeServices
from engine.runs.node_runner import NodeRunner
from engine.runs.run import Run
from engine.runs.submission import input_items
from storage.events.in_process import InProcessEventBus
from tests.support.actions import ScriptedActions
from tests.support.ai import KeptConversations, ScriptedModels
from tests.support.audit import KeptAuditLog
from workflow.actions import Action
from workflow.credentials import StoredCredential
from workflow.definitions.checks import check_definition
from workflow.errors import ExpressionError, WorkflowNotFoundError
from workflow.executions import Execution, NodeRun, Record
from workflow.identity import LOCAL_ACTOR, LOCAL_ID
from workflow.ports import HttpClient, StoredWorkflow
from workflow.states import ExecutionState

NOON = datetime(2024, 1, 6, 12, 0, tzinfo=UTC)


class FixedClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        """Noon of a day in 2024, or what ``at`` was set to."""
        return self.at


@dataclass(slots=True, frozen=True)
class Finished:
    """A run that has ended, in the form that tests ask about."""

    run: Run
    state: ExecutionState

    def items(self, node: str, output: str = "main") -> list[dict[str, Any]]:
        """The JSON of everything that the node's runs gave on the output."""
        return [item.json for run in self.run.runs.get(node, []) for item in run.outputs.get(output, [])]

    def only_run(self, node: str) -> NodeRun:
        """The node's only run."""
        (run,) = self.run.runs[node]
        return run

    @property
    def order(self) -> list[str]:
        """The nodes in the order in which they ended."""
        return [run.node for run in self.run.order]


@dataclass(slots=True, kw_only=True)
class EngineHarness:
    """Compiles and executes definitions."""

    registry: NodeRegistry
    pool: WorkerPool
    evaluator: Evaluator
    http: HttpClient
    clock: FixedClock = field(default_factory=FixedClock)
    slept: list[float] = field(default_factory=list)
    children: Any = None
    audit: KeptAuditLog = field(default_factory=KeptAuditLog)
    models: ScriptedModels = field(default_factory=ScriptedModels)
    prompts: Any = None
    conversations: Any = field(default_factory=KeptConversations)
    vectors: Any = None
    actions: ScriptedActions = field(default_factory=ScriptedActions)
    bus: InProcessEventBus = field(default_factory=InProcessEventBus)

    @property
    def ai(self) -> AiPorts:
        """What AI nodes work with."""
        return AiPorts(models=self.models, prompts=self.prompts, conversations=self.conversations, vectors=self.vectors)

    def compiled(self, document: Mapping[str, Any]) -> CompiledWorkflow:
        """The compiled definition; it must have no error."""
        report = check_definition(document, self.registry)
        assert report.definition is not None, [finding.to_json() for finding in report.findings]
        stored = StoredWorkflow(
            id="w", owner=LOCAL_ID, version=1, definition=report.definition, created_at=NOON, updated_at=NOON
        )
        return compile_workflow(stored, registry=self.registry, evaluator=self.evaluator)

    def start(
        self,
        document: Mapping[str, Any],
        data: Any = None,
        *,
        recorded: Sequence[Record] = (),
        saved: list[Record] | None = None,
        **members: Any,
    ) -> tuple[Run, Executor]:
        """A run that is ready to be executed; what its journal saves goes to ``saved``."""
        compiled = self.compiled(document)
        execution = Execution(
            id="e",
            owner=LOCAL_ID,
            initiator=LOCAL_ACTOR.initiator,
            workflow_id="w",
            workflow_name=compiled.definition.name,
            workflow_version=1,
            state=ExecutionState.RUNNING,
            trigger="manual",
            start_node=compiled.trigger(node=None).name,
            input=data,
            created_at=NOON,
            **members,
        )
        kept = saved if saved is not None else []

        async def committed() -> None:
            """Everything is on the disk at once."""

        journal = Journal(
            recorded=recorded,
            save=kept.extend,
            committed=committed,
            durability=compiled.definition.settings.durability,
        )
        run = Run(execution=execution, compiled=compiled, journal=journal, clock_offset=(NOON, time.perf_counter()))
        runner = NodeRunner(
            NodeServices(
                evaluator=self.evaluator,
                http=self.http,
                clock=self.clock,
                sleep=self.sleep,
                children=self.children or NoChildren(),
                resume_url=lambda execution_id, subject: f"http://here/resume/{execution_id}",
                audit=self.audit,
                ai=self.ai,
                actions=self.actions,
                announcements=Announcements(bus=self.bus, clock=self.clock, new_id=lambda: "event"),
            )
        )
        return run, Executor(run, runner, lambda node_run: None)

    async def sleep(self, seconds: float) -> None:
        """Time passes at once."""
        self.slept.append(seconds)

    async def execute(self, document: Mapping[str, Any], data: Any = None, **options: Any) -> Finished:
        """Execute as far as it goes."""
        run, executor = self.start(document, data, **options)
        return Finished(run, await executor.execute(input_items(data)))

    async def node(self, node_type: str, parameters: Mapping[str, Any], data: Any, **settings: Any) -> Finished:
        """Execute a trigger and one node named ``node`` behind it."""
        return await self.execute(
            {
                "name": "one node",
                "nodes": {
                    "start": {"type": "manual"},
                    "node": {"type": node_type, "parameters": dict(parameters), **settings},
                },
                "connections": [["start", "node"]],
            },
            data,
        )


class NoCredentials:
    """A workspace without any."""

    async def of_workspace(self, owner: str) -> Sequence[StoredCredential]:
        """None."""
        return []


@dataclass(slots=True, frozen=True)
class NamedConnections:
    """A workspace with connections of these names, whose actions are unknown."""

    names: Sequence[str] = ()

    async def connections(self, owner: str) -> Sequence[Any]:
        """Their names."""
        return [SimpleNamespace(name=name) for name in self.names]

    async def actions(self, owner: str, connection: str | None = None) -> Sequence[Action]:
        """None."""
        return []


class NoChildren:
    """An engine alone has no other workflows."""

    async def ensure(
        self, parent: Execution, key: Any, workflow_id: str, data: Any, *, wait: bool, step: str = ""
    ) -> Execution:
        """There are none."""
        raise WorkflowNotFoundError(workflow_id)


class NoOtherNodes:
    """An execution in which nothing has run yet."""

    names: Sequence[str] = ()

    def view(self, name: str) -> NodeView:
        """There is none."""
        raise ExpressionError(f"There is no node {name!r}.", code="unknown_node")


class Nodes:
    """Other nodes with the items given; item ``i`` here comes from their item ``i``."""

    def __init__(self, items: Mapping[str, list[dict[str, Any]]]) -> None:
        self._items = items

    @property
    def names(self) -> Sequence[str]:
        """Those that have items."""
        return list(self._items)

    def view(self, name: str) -> NodeView:
        """The node's items."""
        if name not in self._items:
            raise ExpressionError(f"There is no node {name!r}.", code="unknown_node")
        return NodeView(name=name, items=self._items[name], paired_index=lambda index: index)


def scope_of(items: list[dict[str, Any]], **members: Any) -> ExpressionScope:
    """A scope with these items and sensible rest."""
    defaults: dict[str, Any] = {
        "nodes": NoOtherNodes(),
        "execution": {"id": "e", "mode": "manual"},
        "workflow": {"id": "w", "name": "test"},
        "run_index": 0,
        "prev_node": {"name": "start", "outputIndex": 0, "runIndex": 0},
        "parameters": {},
        "vars": {},
        "now": NOON,
        "timezone": "UTC",
        "seed": "seed",
    }
    return ExpressionScope(items=items, **{**defaults, **members})
