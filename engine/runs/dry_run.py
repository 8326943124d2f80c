"""Dry runs: which effects an execution would have, with all parameters that can be known beforehand."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from engine.definitions.compiled import CompiledWorkflow
from engine.runs.executor import Executor
from engine.runs.journal import Journal, Unsaved
from engine.runs.node_runner import NodeRunner
from engine.runs.run import PlannedEffect, Run
from engine.runs.submission import input_items
from workflow.executions import ErrorRecord, Execution
from workflow.identity import NOBODY
from workflow.ports import Clock
from workflow.states import ExecutionState


@dataclass(slots=True, frozen=True)
class ExecutionPlan:
    """``effects`` in the order in which they would happen, ``nodes`` that would run, ``error`` if it would fail.

    Nodes behind an effect get its mocked result, since the real one is unknown. ``hash`` changes with the effects, the
    input and the workflow's version.
    """

    effects: Sequence[PlannedEffect]
    nodes: Sequence[str]
    error: ErrorRecord | None
    hash: str


class Planner:
    """Executes in memory and without effects, to find the effects that would happen."""

    def __init__(self, *, runner: NodeRunner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def plan(self, compiled: CompiledWorkflow, *, start_node: str | None, data: object) -> ExecutionPlan:
        """The plan of an execution with this input.

        Raises:
            InvalidArgumentsError: the input is neither an object nor a list of objects.
            NodeNotFoundError: there is no such trigger.
        """
        execution = Execution(
            id="plan",
            owner=compiled.owner,
            workflow_id=compiled.workflow_id,
            workflow_name=compiled.definition.name,
            workflow_version=compiled.version,
            state=ExecutionState.RUNNING,
            trigger="manual",
            start_node=compiled.trigger(node=start_node, type_name="manual").name,
            input=data,
            created_at=self._clock.now(),
            initiator=NOBODY,
            mode="plan",
        )
        journal = Journal(recorded=(), save=_forget, committed=_at_once, durability="none")
        run = Run(
            execution=execution,
            compiled=compiled,
            journal=journal,
            clock_offset=(execution.created_at, time.perf_counter()),
        )
        await Executor(run, self._runner, lambda node_run: None).execute(input_items(data))
        nodes = list(dict.fromkeys(node_run.node for node_run in run.order))
        content = {
            "workflow": [compiled.workflow_id, compiled.version],
            "input": data,
            "effects": [effect.to_json() for effect in run.planned],
        }
        digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
        return ExecutionPlan(run.planned, nodes, run.error, digest[:32])


def _forget(records: Sequence[Unsaved]) -> None:
    """A dry run stores nothing."""


async def _at_once() -> None:
    """A dry run has nothing to wait for."""
