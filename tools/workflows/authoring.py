"""Tools to check, make and change workflows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import mcp_types as types
from pydantic import Field, WithJsonSchema

from engine.definitions.authoring import Authoring, Saved
from tools.executions.running import RunningTools, RunNow
from tools.protocol.budget import LIST_BUDGET
from tools.protocol.caller import Caller
from tools.protocol.tool import (
    AUTHORING,
    READ_ONLY,
    Answer,
    Arguments,
    Tool,
    error_content,
    findings_content,
    object_schema,
)
from tools.workflows.starting import what_starts_it
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.differences import Difference
from workflow.definitions.operations import apply_operations, parse_operations
from workflow.errors import InvalidArgumentsError, JobsprintError
from workflow.findings import Finding
from workflow.identity import READS_WORKFLOWS, RUNS, WRITES_WORKFLOWS
from workflow.messages import utc_text
from workflow.ports import StoredWorkflow

DEFINITION_HELP = (
    'Native form: {"name", "nodes": {"<node name>": {"type", "parameters", "on_error"?: "stop|continue|error_output", '
    '"timeout_seconds"?}}, "connections": [["from", "to"], ["check.true", "next"]], "settings"?: {"timeout_seconds", '
    '"timezone"}}. A connection end names a node, or "node.output" / "node.input" where there are several. '
    'A string starting with = is a template: "={{ $json.a.b }}" (JavaScript; $json is the current item, '
    "$('node').item.json an earlier node's). One node must be a trigger: manual or webhook."
)


FIXES_HELP = "Apply the patches that findings have, and say which, in place of refusing."
RUN_HELP = "Run it at once, as execute_workflow does: {input?, trigger?, …} or {}."

Run = Annotated[RunNow, WithJsonSchema({"type": "object", "properties": {}})]
"""Checked as a whole, and shown to agents in a line: execute_workflow has the rest."""


class ValidateWorkflow(Arguments):
    definition: dict[str, Any] | str | None = Field(default=None, description="A whole definition.")
    workflow_id: str | None = Field(default=None, description="With operations: the workflow to try them on.")
    operations: list[dict[str, Any]] | None = Field(
        default=None, max_length=100, description="As in update_workflow; tried, not saved."
    )


class CreateWorkflow(Arguments):
    definition: dict[str, Any] | str = Field(description=DEFINITION_HELP)
    publish: bool = Field(default=False, description="At once, as publish_workflow does.")
    apply_fixes: bool = Field(default=False, description=FIXES_HELP)
    run: Run | None = Field(default=None, description=RUN_HELP)


class UpdateWorkflow(Arguments):
    workflow_id: str
    expected_version: int = Field(ge=1, description="The version you read; refused if it is no longer current.")
    operations: list[dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description='In order: {"op":"add_node","name","node","after"?} {"op":"update_node","name","changes"} '
        '{"op":"remove_node","name"} {"op":"rename_node","name","new_name"} {"op":"connect","from","to"} '
        '{"op":"disconnect","from","to"} {"op":"set_workflow","name"?,"description"?,"settings"?} '
        '{"op":"patch","patch":[JSON Patch on the definition]}',
    )
    definition: dict[str, Any] | str | None = Field(default=None, description="A whole definition in their place.")
    restore_version: int | None = Field(default=None, ge=1, description="In their place: an old version.")
    apply_fixes: bool = False
    run: Run | None = Field(default=None, description="As in create_workflow.")


REPEATED = ("workflow_id", "workflow", "version", "trigger", "created_at")
"""Members of a run's answer that the answer about its workflow has already, or that everybody knows."""
MOST_FIXED = 20
MOST_CHANGES = 10
GO_ON = "A failed run goes on with this version by control_execution with rerun, its failed node and version current."

FINDINGS = {"type": "array", "items": {"type": "object"}}
SAVED = object_schema({"workflow_id": "string", "version": "integer", "name": "string", "status": "string"})


class AuthoringTools:
    """The tools' work, over the :class:`~engine.definitions.authoring.Authoring` that REST uses too."""

    def __init__(self, authoring: Authoring, running: RunningTools, *, base_url: str) -> None:
        self._base_url = base_url
        self._authoring = authoring
        self._running = running

    def tools(self) -> list[Tool[Any]]:
        """The tools, in the order in which they are listed."""
        changes = types.ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
        )
        return [
            Tool(
                name="validate_workflow",
                title="Check a workflow",
                description="Check a definition (or operations on a stored workflow) without saving: every problem at "
                "once, where evident with a JSON Patch that mends it.",
                arguments=ValidateWorkflow,
                annotations=READ_ONLY,
                output_schema=object_schema({"valid": "boolean", "findings": FINDINGS}),
                handler=self.validate_workflow,
                scopes=READS_WORKFLOWS,
                toolsets=AUTHORING,
                budget_tokens=LIST_BUDGET,
                is_quick=True,
            ),
            Tool(
                name="create_workflow",
                title="Create a workflow",
                description="Check and store a new workflow, all or nothing. It is a draft that execute_workflow can "
                "run at once; webhooks listen when it is published.",
                arguments=CreateWorkflow,
                annotations=changes,
                output_schema=SAVED,
                handler=self.create_workflow,
                scopes=WRITES_WORKFLOWS,
                toolsets=AUTHORING,
                budget_tokens=LIST_BUDGET,
            ),
            Tool(
                name="update_workflow",
                title="Change a workflow",
                description="Store a new draft version, made by operations, a whole definition or an old version; "
                "atomic. Older versions stay readable, and a published one stays in use.",
                arguments=UpdateWorkflow,
                annotations=changes,
                output_schema=SAVED,
                handler=self.update_workflow,
                scopes=WRITES_WORKFLOWS,
                toolsets=AUTHORING,
                budget_tokens=LIST_BUDGET,
            ),
        ]

    async def validate_workflow(self, arguments: ValidateWorkflow, caller: Caller) -> Answer:
        """The findings; an invalid definition is a good answer, not a failure."""
        document: Any = arguments.definition
        current: StoredWorkflow | None = None
        if arguments.operations is not None:
            if arguments.workflow_id is None:
                raise InvalidArgumentsError(
                    "operations need the workflow_id of the workflow to try them on.",
                    pointer="/workflow_id",
                    fix="Add workflow_id; list_workflows has the ids.",
                )
            owner = caller.actor.workspace_id
            workflow_id = await self._authoring.id_of(owner, arguments.workflow_id)
            current = await self._authoring.workflows.get(owner, workflow_id)
            document = apply_operations(current.definition.to_json(), parse_operations(arguments.operations))
        elif document is None:
            raise InvalidArgumentsError(
                "There is nothing to check.",
                pointer="/definition",
                fix="Give a definition, or workflow_id and operations.",
            )
        report = await self._authoring.check(caller.actor.workspace_id, document, current=current)
        content = {"valid": report.is_valid, **findings_content(report.findings)}
        return Answer(content if report.definition is None else content | self._firings(report.definition))

    def _firings(self, definition: WorkflowDefinition) -> dict[str, Any]:
        """When its schedules fire, where it has some."""
        firings = self._authoring.firings(definition)
        return {"schedules": firings} if firings else {}

    async def create_workflow(self, arguments: CreateWorkflow, caller: Caller) -> Answer:
        """Store version 1, and run it where that is wanted."""
        _may_run(arguments.run, caller)
        document: Any = arguments.definition
        fixed: tuple[Finding, ...] = ()
        if arguments.apply_fixes:
            document, fixed = await self._mended(caller, document)
        saved = await self._authoring.create(caller.actor, document, publish=arguments.publish)
        answer = await self._answer(saved, fixed, arguments.run, caller)
        starts = what_starts_it(saved.workflow, None, self._base_url) if arguments.publish else {}
        return replace(answer, content={**answer.content, **starts, **self._firings(saved.workflow.definition)})

    async def update_workflow(self, arguments: UpdateWorkflow, caller: Caller) -> Answer:
        """Store the next version."""
        _may_run(arguments.run, caller)
        actor, expected = caller.actor, arguments.expected_version
        fixed: tuple[Finding, ...] = ()
        ways = (arguments.operations, arguments.definition, arguments.restore_version)
        if sum(way is not None for way in ways) != 1:
            raise InvalidArgumentsError(
                "Give one of operations, definition and restore_version.",
                pointer="/operations",
                fix='For example operations: [{"op": "update_node", "name": "…", "changes": {…}}].',
            )
        workflow_id = await self._authoring.id_of(actor.workspace_id, arguments.workflow_id)
        if arguments.apply_fixes and arguments.restore_version is None:
            current = await self._authoring.workflows.get(actor.workspace_id, workflow_id)
            document: Any = arguments.definition
            if arguments.operations is not None:
                document = apply_operations(current.definition.to_json(), parse_operations(arguments.operations))
            document, fixed = await self._mended(caller, document, current)
            saved = await self._authoring.replace(actor, workflow_id, document, expected_version=expected)
        elif arguments.operations is not None:
            operations = parse_operations(arguments.operations)
            saved = await self._authoring.change(actor, workflow_id, operations, expected_version=expected)
        elif arguments.restore_version is not None:
            saved = await self._authoring.restore_version(
                actor, workflow_id, arguments.restore_version, expected_version=expected
            )
        else:
            saved = await self._authoring.replace(actor, workflow_id, arguments.definition, expected_version=expected)
        answer = await self._answer(saved, fixed, arguments.run, caller)
        said = answer.content.get("next")
        changed: dict[str, Any] = {}
        if arguments.restore_version is not None:
            version = saved.workflow.version
            _, _, found = await self._authoring.compare(actor.workspace_id, workflow_id, version - 1, version)
            changed = changes_content(found)
        return replace(answer, content={**answer.content, **changed, "next": f"{said} {GO_ON}" if said else GO_ON})

    async def _mended(
        self, caller: Caller, document: Any, current: StoredWorkflow | None = None
    ) -> tuple[Any, tuple[Finding, ...]]:
        mended = await self._authoring.mended(caller.actor.workspace_id, document, current=current)
        return mended.document, mended.applied

    async def _answer(self, saved: Saved, fixed: Sequence[Finding], run: RunNow | None, caller: Caller) -> Answer:
        """What was stored, what was fixed in it, and what came of the run."""
        answer = _saved(saved, fixed)
        if run is None:
            return answer
        try:
            ran = await self._running.run_stored(saved.workflow, run, caller)
        except JobsprintError as error:  # it is stored all the same, and a second call must not store it again
            return Answer({**answer.content, "run": {"error": error_content(error)}})
        shown = {name: member for name, member in ran.content.items() if name not in REPEATED}
        return Answer({**answer.content, "run": shown}, links=ran.links, whole=ran.whole)


def workflow_header(stored: StoredWorkflow) -> dict[str, Any]:
    """What every answer about a version starts with."""
    header: dict[str, Any] = {
        "workflow_id": stored.id,
        "version": stored.version,
        "name": stored.definition.name,
        "updated_at": utc_text(stored.updated_at),
        "status": "draft" if stored.published_version is None else "published",
    }
    if stored.published_version is not None:
        header["published_version"] = stored.published_version
    return header


def changes_content(found: Difference) -> dict[str, Any]:
    """What changed, in the first lines of the difference."""
    lines = list(found.lines)
    content: dict[str, Any] = {"changes": lines[:MOST_CHANGES] or ["nothing"]}
    return content if len(lines) <= MOST_CHANGES else {**content, "changes_of": len(lines)}


def _may_run(run: RunNow | None, caller: Caller) -> None:
    if run is not None:
        caller.actor.require(RUNS)


def _saved(saved: Saved, fixed: Sequence[Finding]) -> Answer:
    content = workflow_header(saved.workflow)
    if fixed:
        content["fixed"] = [f"{finding.pointer}: {finding.message}" for finding in fixed[:MOST_FIXED]]
    if saved.warnings:
        found = findings_content(saved.warnings)
        content |= {"warnings": found.pop("findings"), **found}
    published = saved.workflow.published_version
    if published is None:
        content["next"] = "It is a draft: execute_workflow runs it, publish_workflow puts it into use."
    elif published != saved.workflow.version:
        content["next"] = f"Version {published} stays in use until publish_workflow puts this one in its place."
    return Answer(content)
