"""Tools to plan and run workflows, and to move executions on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import mcp_types as types
from pydantic import Field

from engine.definitions.authoring import Authoring
from engine.definitions.compiled import CompiledWorkflow
from engine.executions.control import Control
from engine.executions.intake import ExecutionRequests
from engine.executions.plans import Plans
from engine.executions.tries import Tries
from engine.runs.submission import Submission
from tools.executions.app import TOOL_META
from tools.executions.runs import EXECUTION_FORM, RESULT_FORM, Runs
from tools.executions.tries import tried_content
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
from workflow.errors import InvalidArgumentsError, NextCall
from workflow.executions import Execution, Priority
from workflow.identity import READS_WORKFLOWS, RUNS, WRITES_WORKFLOWS, Actor
from workflow.ports import StoredWorkflow


class RunNow(Arguments):
    """How a workflow that has just been stored is run."""

    input: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None,
        description="An object, or a list of objects: the trigger's items (of a webhook {body, …}).",
    )
    trigger: str | None = Field(default=None, description="Where to start; default: the manual one.")
    wait_seconds: float = Field(default=20, ge=0, le=50, description="To wait for the end; 0 not at all.")
    mode: Literal["live", "test"] = Field(
        default="live", description="test mocks every effect: nothing is sent anywhere."
    )
    pins: dict[str, list[dict[str, Any]]] | None = Field(
        default=None, description="With mode test: node → items that it gives in place of running."
    )
    idempotency_key: str | None = Field(
        default=None,
        max_length=200,
        description="The same key within 24 h gives the same execution (repeated: true), also a failed one; with other "
        "input it is refused.",
    )


class ExecuteWorkflow(RunNow, Arguments):
    workflow_id: str | None = Field(default=None, description="Or its unique name, as everywhere.")
    definition: dict[str, Any] | None = Field(
        default=None, description="In place of workflow_id: nodes to try; not stored."
    )
    version: int | Literal["published"] | None = Field(default=None, description="Default: the current one.")
    priority: Priority | None = None
    plan_hash: str | None = Field(
        default=None, description="Of plan_execution: for one run that would do the same, within 1 h."
    )
    cancel_with_request: bool = Field(default=False, description="If this request is cancelled, the run is.")


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
        description="resume answers what it waits for; retry goes on where it failed, as it was, redrive the same for "
        "a dead one (discard gives it up); rerun starts a new execution, from node on with the results before it."
    )
    node: str | None = Field(default=None, description="resume: which of several waiting nodes. rerun: where to start.")
    version: Literal["original", "current"] = Field(
        default="original", description="rerun: current takes the workflow as it is now."
    )
    item: int | None = Field(default=None, ge=0, description="resume: which of several waiting items.")
    data: Any = Field(
        default=None,
        description='resume: the answer; to an approval {"choice": …, "comment"?}, for a model the text or JSON.',
        json_schema_extra={"anyOf": [{"type": each} for each in ("object", "string", "number", "boolean")]},
    )
    wait_seconds: float = Field(default=20, ge=0, le=50, description="As in execute_workflow; not to cancel, discard.")


ONLY_STORED = ("workflow_id", "version", "plan_hash", "idempotency_key", "priority")
"""Arguments of execute_workflow that a definition in its place goes without."""

EXECUTION = {"execution_id": "string", "workflow_id": "string", "status": "string"}


class RunningTools:
    """The tools' work, over the services that REST uses too."""

    def __init__(
        self,
        *,
        authoring: Authoring,
        requests: ExecutionRequests,
        control: Control,
        plans: Plans,
        tries: Tries,
        runs: Runs,
    ) -> None:
        self._tries = tries
        self._plans = plans
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
                "whether it can be repeated safely. With plan_hash execute_workflow runs exactly this.",
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
                description="Run the current version, draft or not, or try a definition. Waits up to wait_seconds for "
                "the end; gives the output and a line for each node. A stored one goes on: inspect_execution.",
                arguments=ExecuteWorkflow,
                annotations=types.ToolAnnotations(
                    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
                ),
                output_schema=object_schema({"status": "string"}, execution_id="string", workflow_id="string"),
                handler=self.execute_workflow,
                scopes=RUNS,
                toolsets=RUNNING,
                app_meta=TOOL_META,
            ),
            Tool(
                name="control_execution",
                title="Control an execution",
                description="Cancel an execution, answer what it waits for, try it "
                "again where it failed, or run it again from a node.",
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
        plan = await self._compiled(owner, arguments)
        planned = await self._plans.make(
            caller.actor,
            plan,
            start_node=arguments.trigger,
            data=arguments.input,
            is_first_page=arguments.cursor is None,
        )
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

    def plain_tool(self) -> Tool[Any]:
        """``execute_workflow``, answered with the plain result: what published workflows are called through."""
        (tool,) = (each for each in self.tools() if each.name == "execute_workflow")
        return replace(tool, handler=self.execute_plainly, output_schema=object_schema({}))

    async def execute_workflow(self, arguments: ExecuteWorkflow, caller: Caller) -> Answer | Pending:
        """Submit, tell of progress while waiting, answer what is known when the time is over; or try a definition."""
        if arguments.definition is not None:
            return await self._tried(arguments, caller)
        return await self._executed(arguments, caller, EXECUTION_FORM)

    async def _tried(self, arguments: ExecuteWorkflow, caller: Caller) -> Answer:
        """Run a definition that is not stored. It takes the right to store workflows, and to run them.

        Raises:
            InvalidArgumentsError: it came with what only a stored workflow or execution has.
        """
        for name in ONLY_STORED:
            if name in arguments.model_fields_set and getattr(arguments, name) is not None:
                raise InvalidArgumentsError(
                    f"A definition that is tried has no {name}: it is stored nowhere.",
                    pointer=f"/{name}",
                    fix=f"Leave out {name}, or create_workflow first.",
                )
        caller.actor.require(WRITES_WORKFLOWS)
        submission = _submission(arguments, caller.actor)
        tried = await self._tries.run(caller.actor, arguments.definition, submission, seconds=arguments.wait_seconds)
        return Answer(await tried_content(tried))

    async def execute_plainly(self, arguments: ExecuteWorkflow, caller: Caller) -> Answer | Pending:
        """The same, answered with the plain result."""
        return await self._executed(arguments, caller, RESULT_FORM)

    async def _executed(self, arguments: ExecuteWorkflow, caller: Caller, form: str) -> Answer | Pending:
        execution_id, is_kept, is_repeated = caller.goes_on_with, True, False
        if execution_id is None:
            plan, submission = await self._prepared(arguments, caller, form)
            is_kept = plan.definition.settings.durability != "none"
            key, plan_hash = arguments.idempotency_key, arguments.plan_hash
            request = partial(self._requests.request, plan, submission, key=key)
            start = (
                request()
                if plan_hash is None
                else self._plans.started(caller.actor, plan, submission, request, plan_hash=plan_hash, key=key)
            )
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

    async def _prepared(
        self, arguments: ExecuteWorkflow, caller: Caller, form: str
    ) -> tuple[CompiledWorkflow, Submission]:
        plan = await self._compiled(caller.actor.workspace_id, arguments)
        return plan, replace(_submission(arguments, caller.actor), priority=arguments.priority, answer_form=form)

    async def _compiled(self, owner: str, arguments: ExecuteWorkflow | PlanExecution) -> CompiledWorkflow:
        if arguments.workflow_id is None:
            raise InvalidArgumentsError(
                "There is nothing to run.",
                pointer="/workflow_id",
                fix="Give workflow_id, or a definition to try.",
                next_call=NextCall("list_workflows", {}),
            )
        workflow_id = await self._authoring.id_of(owner, arguments.workflow_id)
        return self._authoring.compiled(await self._authoring.version(owner, workflow_id, arguments.version))

    async def run_stored(self, stored: StoredWorkflow, arguments: RunNow, caller: Caller) -> Answer:
        """Run a version that has just been stored, and answer as execute_workflow does. Nothing is asked on the way:
        a call that is made again with an answer would store the version again."""
        compiled = self._authoring.compiled(stored)
        start = self._requests.request(compiled, _submission(arguments, caller.actor), key=arguments.idempotency_key)
        started = await self._runs.begin(start, caller=caller, cancel_with_request=False)
        await self._runs.follow(started.execution_id, arguments.wait_seconds, caller)
        return await self._runs.answer_of(caller.actor.workspace_id, started.execution_id)

    async def control_execution(self, arguments: ControlExecution, caller: Caller) -> Answer | Pending:
        """Do what the action says, and wait for what comes of it."""
        if caller.goes_on_with is not None:
            moved = caller.goes_on_with
        else:
            moved = (await self._moved(arguments, caller.actor)).id
        waits = 0 if arguments.action in ("cancel", "discard") else arguments.wait_seconds
        return await self._runs.outcome(moved, wait_seconds=waits, caller=caller, may_be_task=False)

    async def _moved(self, arguments: ControlExecution, actor: Actor) -> Execution:
        execution_id = arguments.execution_id
        match arguments.action:
            case "cancel":
                return await self._control.cancel(actor, execution_id)
            case "discard":
                return await self._control.discard(actor, execution_id)
            case "resume":
                return await self._control.resume(
                    actor, execution_id, node=arguments.node, item=arguments.item, data=arguments.data, by="agent"
                )
            case "retry":
                return await self._control.retry(actor, execution_id)
            case "redrive":
                return (await self._control.redrive(actor, execution_id)).execution
            case "rerun":
                is_current = arguments.version == "current"
                local = await self._control.rerun(
                    actor, execution_id, from_node=arguments.node, as_it_is_now=is_current
                )
                return local.execution


def _submission(arguments: RunNow, actor: Actor) -> Submission:
    return Submission(
        trigger="manual",
        initiator=actor.initiator,
        start_node=arguments.trigger,
        data=arguments.input,
        mode=arguments.mode,
        pins=arguments.pins,
        answer_form=EXECUTION_FORM,
    )
