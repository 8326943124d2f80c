"""Tries: a definition that runs once, in the memory of this process, and is stored nowhere.

An agent tries a node or more to see the shape of what they give before it builds on it. A try ends with the call that
asks for it; effects happen as in any execution, and are in the audit log.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.definitions.authoring import Authoring
from engine.definitions.compiled import CompiledWorkflow, compile_workflow
from engine.executions.reader import Inspection
from engine.nodes.manual import Manual
from engine.nodes.registry import NodeRegistry
from engine.runs.executor import Executor
from engine.runs.journal import Journal, Unsaved, attempts_in, effects_in
from engine.runs.node_runner import NodeRunner
from engine.runs.run import Run
from engine.runs.submission import Submission, input_items
from workflow.audit import AuditLog
from workflow.errors import ErrorKind, InvalidArgumentsError, InvalidDefinitionError, JobsprintError
from workflow.executions import ErrorRecord, Execution
from workflow.findings import Finding, listed, pointer
from workflow.identity import Actor
from workflow.ports import Clock, NewId, StoredWorkflow
from workflow.states import ExecutionEvent, ExecutionState

MOST_AT_ONCE = 5
"""Tries of one workspace that run at once: they are in the memory of the process that serves everybody."""
SHORTEST_SECONDS = 1.0
NAME, TRIGGER = "try", "start"


class TooManyTriesError(JobsprintError):
    """The workspace has as many tries at work as it may.

    Attributes:
        retry_after_seconds: when to try again.
    """

    code = "too_many_tries"
    kind = ErrorKind.OVERLOADED

    def __init__(self, *, retry_after_seconds: int = 1) -> None:
        super().__init__(
            f"{MOST_AT_ONCE} tries of this workspace are at work already.",
            fix="Wait for one to end, or store the workflow (create_workflow) and run that.",
        )
        self.retry_after_seconds = retry_after_seconds


@dataclass(slots=True, frozen=True)
class Tried:
    """What a try came to; its execution is stored nowhere. ``assumed`` says what was added to the definition so that it
    can run, ``warnings`` what its check found."""

    inspection: Inspection
    assumed: str | None
    warnings: Sequence[Finding]


class Tries:
    """Runs definitions that are not stored."""

    def __init__(
        self, *, authoring: Authoring, runner: NodeRunner, audit: AuditLog, clock: Clock, new_id: NewId
    ) -> None:
        self._authoring = authoring
        self._runner = runner
        self._audit = audit
        self._clock = clock
        self._new_id = new_id
        self._at_work: Counter[str] = Counter()

    async def run(self, actor: Actor, document: Any, submission: Submission, *, seconds: float) -> Tried:
        """Run the definition to its end, for so many seconds at most.

        A definition without a trigger begins at a manual one in front of the nodes that no connection leads to; one
        without connections runs its nodes in the order in which they stand.

        Raises:
            InvalidDefinitionError: a finding is an error.
            InvalidArgumentsError: a node cannot be tried, or the input is not of the form it must have.
            NodeNotFoundError: there is no such trigger.
            TooManyTriesError: the workspace has too many at work.
        """
        owner = actor.workspace_id
        document, assumed = completed(document, self._authoring.registry)
        report = await self._authoring.check(owner, document)
        if report.definition is None:
            raise InvalidDefinitionError(report.findings)
        now = self._clock.now()
        stored = StoredWorkflow(
            id=self._new_id(), owner=owner, version=1, definition=report.definition, created_at=now, updated_at=now
        )
        compiled = compile_workflow(stored, registry=self._authoring.registry, evaluator=self._authoring.evaluator)
        _refuse_unfit(compiled, submission)
        if self._at_work[owner] >= MOST_AT_ONCE:
            raise TooManyTriesError
        self._at_work[owner] += 1
        try:
            self._audit.note(actor, "execution.tried", f"execution:{stored.id}", {"name": report.definition.name})
            inspection = await self._executed(compiled, submission, max(seconds, SHORTEST_SECONDS))
        finally:
            self._at_work[owner] -= 1
            self._authoring.evaluator.forget(stored.id)
            await self._audit.written()
        return Tried(inspection, assumed, report.findings)

    async def _executed(self, compiled: CompiledWorkflow, submission: Submission, seconds: float) -> Inspection:
        started = self._clock.now()
        execution = Execution(
            id=compiled.workflow_id,
            owner=compiled.owner,
            workflow_id=compiled.workflow_id,
            workflow_name=compiled.definition.name,
            workflow_version=compiled.version,
            state=ExecutionState.RUNNING,
            trigger="manual",
            start_node=compiled.trigger(node=submission.start_node, type_name=Manual.name).name,
            input=submission.data,
            created_at=started,
            started_at=started,
            initiator=submission.initiator,
            mode=submission.mode,
            pins=submission.pins,
        )
        journal = Journal(recorded=(), save=_forget, committed=_at_once, durability="none")
        run = Run(execution=execution, compiled=compiled, journal=journal, clock_offset=(started, time.perf_counter()))
        items = input_items(submission.data)
        try:
            state = await Executor(run, self._runner, lambda node_run: None).execute(items, timeout_seconds=seconds)
        except TimeoutError:
            state = ExecutionState.FAILED
            run.error = ErrorRecord(
                code="execution_timeout",
                message=f"The try took longer than {seconds:g} s.",
                fix="Give it more wait_seconds (50 at most), or store the workflow and run that: it goes on by itself.",
            )
        if state is ExecutionState.WAITING:
            waits = next(iter(run.waiting.values()))
            run.error = ErrorRecord(
                code="try_cannot_wait",
                message=f"Node {waits.key.node!r} waits ({waits.kind}), and a try ends with the call.",
                node=waits.key.node,
                fix="Store the workflow with create_workflow and run that, or take mode test.",
            )
        event = ExecutionEvent.FAIL if run.error is not None else ExecutionEvent.SUCCEED
        ended = execution.moved(
            event,
            finished_at=self._clock.now(),
            error=run.error,
            output=run.output() if run.error is None else None,
        )
        records = journal.records
        found = Inspection(ended, list(run.order), attempts=attempts_in(records), effects=effects_in(records))
        run.close()
        return found


def completed(document: Any, registry: NodeRegistry) -> tuple[Any, str | None]:
    """The definition with what it lacks to run, and what was added in words. One that has a trigger, or that is none,
    stays as it is: the check says what is wrong with it."""
    nodes = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(nodes, dict) or not nodes or not all(isinstance(node, dict) for node in nodes.values()):
        return document, None
    made = document if "name" in document else {"name": NAME, **document}
    kinds = [registry.get(str(node.get("type"))) for node in nodes.values()]
    if any(kind is not None and kind.is_trigger for kind in kinds):
        return made, None
    trigger = next(name for name in (TRIGGER, *(f"{TRIGGER} {n}" for n in range(2, 10_000))) if name not in nodes)
    made = {**made, "nodes": {trigger: {"type": Manual.name}, **nodes}}
    connections = document.get("connections")
    if not connections:
        names = [trigger, *nodes]
        made["connections"] = [[names[place], names[place + 1]] for place in range(len(nodes))]
        order = f", and ran the nodes in the order in which they stand: {listed(list(nodes))}" if len(nodes) > 1 else ""
        return made, f"Added a manual trigger {trigger!r}{order}."
    if not isinstance(connections, list):
        return made, None
    targets = {str(pair[1]) for pair in connections if isinstance(pair, list | tuple) and len(pair) == 2}
    led_to = {name for name in nodes if any(target == name or target.startswith(f"{name}.") for target in targets)}
    made["connections"] = [*([trigger, name] for name in nodes if name not in led_to), *connections]
    return made, f"Added a manual trigger {trigger!r} in front of what no connection leads to."


def _refuse_unfit(compiled: CompiledWorkflow, submission: Submission) -> None:
    """Let pass a workflow whose nodes can all run within one call.

    Raises:
        InvalidArgumentsError: one cannot.
    """
    for node in compiled.nodes:
        why = node.type.unfit_for_try
        is_mocked = submission.mode == "test" and node.type.has_effect and node.type.is_mocked_in_tests
        if why is None or node.definition.disabled or is_mocked:
            continue
        raise InvalidArgumentsError(
            f"Node {node.name!r} of type {node.type.name} cannot be tried: {why}.",
            pointer=pointer("definition", "nodes", node.name),
            fix="Leave it out of the try, take mode test (where it is mocked), or store the workflow and run that.",
        )


def _forget(records: Sequence[Unsaved]) -> None:
    """A try stores nothing."""


async def _at_once() -> None:
    """A try has nothing to wait for."""
