"""Tools to plan and run workflows, and to move executions on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import mcp_types as types
from pydantic import Field

from engine.definitions.authoring import Authoring
from engine.definitions.compiled import CompiledWorkflow
from engine.executions.control import Control
from engine.executions.intake import ExecutionRequests
from engine.runs.dry_run import Planner
from engine.runs.submission import Submission
from tools.executions.app import TOOL_META
from tools.executions.runs import EXECUTION_FORM, Runs
from tools.executions.views import execution_summary
from tools.protocol.budget import (
    ROOM_FOR_CURSOR,
    cursor_to,
    fit,
    part_of,
    shown,
    start_of,
    tokens,
)
from tools.protocol.caller import Caller
from tools.protocol.tool import DESTRUCTIVE, READ_ONLY, RUNNING, Answer, Arguments, Pending, Tool, object_schema
from workflow.executions import Priority
from workflow.identity import READS_WORKFLOWS, RUNS


class ExecuteWorkflow(Arguments):
    workflow_id: str
    version: int | Literal["published"] | None = Field(default=None, description="Default: the current one.")
    input: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None, description="An object, or a list of objects: the trigger's items."
    )
    trigger: str | None = Field(default=None, description="Name of the trigger to start at; default: the manual one.")
    wait_seconds: float = Field(default=20, ge=0, le=50, description="How long to wait for the end; 0 not at all.")
    mode: Literal["live", "test"] = Field(
        default="live", description="test mocks every effect: nothing is sent anywhere."
    )
    pins: dict[str, list[dict[str, Any]]] | None = Field(
        default=None, description="With mode test: node → items that it gives in place of running."
    )
    priority: Priority | None = None
    plan_hash: str | None = Field(
        default=None, description="Of plan_execution: refused if the run would do anything else now."
    )
    idempotency_key: str | None = Field(
        default=None,
        max_length=200,
        description="The same key within 24 h gives the same execution (repeated: true), also a failed one; with other "
        "input or version it is refused. A refused call leaves the key free.",
    )
    cancel_with_request: bool = Field(
        default=False, description="Cancel the run if this request is cancelled; else it goes on."
    )


class PlanExecution(Arguments):
    workflow_id: str
    version: int | Literal["published"] | None = Field(default=None, description="As in execute_workflow.")
    input: dict[str, Any] | list[dict[str, Any]] | None = Field(default=None, description="As in execute_workflow.")
    trigger: str | None = None
    max_tokens: int = Field(default=2000, ge=200, le=50_000)
    cursor: str | None = Field(default=None, description="next_cursor: more of the effects.")


class ControlExecution(Arguments):
    execution_id: str
    action: Literal["cancel", "resume", "retry", "redrive", "discard", "rerun"] = Field(
        description="resume answers what it waits for; retry tries again what failed; redrive and discard are for "
        "dead ones; rerun starts a new execution from node on, with the results that lie before it."
    )
    node: str | None = Field(default=None, description="resume: which of several waiting nodes. rerun: where to start.")
    as_it_is_now: bool = Field(default=False, description="rerun: with the workflow's current version.")
    item: int | None = Field(default=None, ge=0, description="resume: which of several waiting items.")
    data: Any = Field(
        default=None,
        description='resume: the answer; to an approval {"choice": …, "comment"?}, for a model the text or JSON.',
        json_schema_extra={"anyOf": [{"type": each} for each in ("object", "string", "number", "boolean")]},
    )


EXECUTION = {"execution_id": "string", "workflow_id": "string", "status": "string"}


class RunningTools:
    """The tools' work, over the services that REST uses too."""

    def __init__(
        self, *, authoring: Authoring, requests: ExecutionRequests, control: Control, planner: Planner, runs: Runs
    ) -> None:
        self._planner = planner
        self._runs = runs
        self._authoring = authoring
        self._requests = requests
        self._control = control

    def tools(self) -> list[Tool[Any]]:
        """The tools, in the order in which they are listed."""
        return [
            Tool(
                name="plan_execution",
                title="Plan a run",
                description="What a run would do, without doing it: each effect with its resolved parameters and "
                "whether it can be repeated safely. Pass plan_hash to execute_workflow to run exactly this.",
                arguments=PlanExecution,
                annotations=READ_ONLY,
                output_schema=object_schema(
                    {"plan_hash": "string", "effects": {"type": "array", "items": {"type": "object"}}}
                ),
                handler=self.plan_execution,
                scopes=READS_WORKFLOWS,
                toolsets=RUNNING,
            ),
            Tool(
                name="execute_workflow",
                title="Run a workflow",
                description="Run the current version, draft or not. Waits up to wait_seconds for the end and gives the "
                "output; the execution goes on in any case, and its id always comes back: look at it with "
                "inspect_execution.",
                arguments=ExecuteWorkflow,
                annotations=types.ToolAnnotations(
                    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
                ),
                output_schema=object_schema(EXECUTION, output="object", error="object"),
                handler=self.execute_workflow,
                scopes=RUNS,
                toolsets=RUNNING,
                app_meta=TOOL_META,
            ),
            Tool(
                name="control_execution",
                title="Control an execution",
                description="Cancel an execution (requests under way are broken off), answer what it waits for, "
                "queue a dead one again, or run it again from a node.",
                arguments=ControlExecution,
                annotations=DESTRUCTIVE,
                output_schema=object_schema(EXECUTION),
                handler=self.control_execution,
                scopes=RUNS,
                toolsets=RUNNING,
                app_meta=TOOL_META,
            ),
        ]

    async def plan_execution(self, arguments: PlanExecution, caller: Caller) -> Answer:
        """The effects of a run that does not happen."""
        owner = caller.actor.workspace_id
        plan = self._authoring.compiled(await self._authoring.version(owner, arguments.workflow_id, arguments.version))
        planned = await self._planner.plan(plan, start_node=arguments.trigger, data=arguments.input)
        start = start_of(arguments.cursor, planned.hash)
        content: dict[str, Any] = {"plan_hash": planned.hash}
        if planned.error is not None:
            content["error"] = planned.error.to_json()
        if not start:
            content["nodes"], _ = fit(list(planned.nodes), arguments.max_tokens // 4)
        effects = shown([effect.to_json() for effect in planned.effects])
        part = part_of(effects, start, arguments.max_tokens - tokens(content) - ROOM_FOR_CURSOR)
        content["effects"] = part.value
        if part.next_start is not None:
            content |= {"of": len(effects), "next_cursor": cursor_to(part.next_start, planned.hash)}
        return Answer(content)

    async def execute_workflow(self, arguments: ExecuteWorkflow, caller: Caller) -> Answer | Pending:
        """Submit, tell of progress while waiting, answer what is known when the time is over."""
        execution_id, is_kept, is_repeated = caller.goes_on_with, True, False
        if execution_id is None:
            plan, submission = await self._prepared(arguments, caller)
            is_kept = plan.definition.settings.durability != "none"
            start = self._requests.request(plan, submission, key=arguments.idempotency_key)
            execution_id, is_repeated = await self._runs.begin(
                start, caller=caller, cancel_with_request=arguments.cancel_with_request
            )
        outcome = await self._runs.outcome(
            execution_id,
            wait_seconds=arguments.wait_seconds,
            caller=caller,
            cancel_with_request=arguments.cancel_with_request,
            may_be_task=is_kept,
        )
        if is_repeated and isinstance(outcome, Answer):
            return replace(outcome, content={**outcome.content, "repeated": True})
        return outcome

    async def _prepared(self, arguments: ExecuteWorkflow, caller: Caller) -> tuple[CompiledWorkflow, Submission]:
        owner = caller.actor.workspace_id
        plan = self._authoring.compiled(await self._authoring.version(owner, arguments.workflow_id, arguments.version))
        if arguments.plan_hash is not None:
            await self._planner.check(
                plan, start_node=arguments.trigger, data=arguments.input, expected=arguments.plan_hash
            )
        submission = Submission(
            trigger="manual",
            initiator=caller.actor.initiator,
            start_node=arguments.trigger,
            data=arguments.input,
            mode=arguments.mode,
            pins=arguments.pins,
            priority=arguments.priority,
            answer_form=EXECUTION_FORM,
        )
        return plan, submission

    async def control_execution(self, arguments: ControlExecution, caller: Caller) -> Answer:
        """Do what the action says."""
        actor, execution_id = caller.actor, arguments.execution_id
        match arguments.action:
            case "cancel":
                execution = await self._control.cancel(actor, execution_id)
            case "discard":
                execution = await self._control.discard(actor, execution_id)
            case "resume":
                execution = await self._control.resume(
                    actor, execution_id, node=arguments.node, item=arguments.item, data=arguments.data, by="agent"
                )
            case "retry":
                execution = await self._control.retry(actor, execution_id)
            case "redrive":
                execution = (await self._control.redrive(actor, execution_id)).execution
            case "rerun":
                local = await self._control.rerun(
                    actor, execution_id, from_node=arguments.node, as_it_is_now=arguments.as_it_is_now
                )
                execution = local.execution
        return Answer(execution_summary(execution))
