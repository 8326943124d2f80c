"""Publishes and unpublishes versions, and makes workflows tools."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.nodes.manual import Manual
from workflow.audit import AuditLog
from workflow.definitions.checks import webhook_paths
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.publication import Exposure
from workflow.errors import InvalidArgumentsError, InvalidDefinitionError, ToolNameTakenError
from workflow.findings import listed, pointer
from workflow.identity import Actor
from workflow.items import JsonObject
from workflow.ports import StoredWorkflow
from workflow.schemas.provider_rules import provider_findings
from workflow.schemas.schemas import InputSchema, schema_findings

ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}
"""The input schema of a workflow that declares none."""

SCHEMA_FIX = 'For example {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}.'


class Publishing:
    """Publishes workflows, and lists those that are tools."""

    def __init__(self, *, authoring: Authoring, announcements: Announcements, audit: AuditLog) -> None:
        self._authoring = authoring
        self._announcements = announcements
        self._audit = audit
        self._reserved: Collection[str] = frozenset()

    def reserve(self, names: Iterable[str]) -> None:
        """Reserve the names of Jobsprint's own tools: no workflow gets them."""
        self._reserved = frozenset(names)

    async def publish(
        self, actor: Actor, workflow_id: str, *, version: int | None = None, exposure: Exposure | None = None
    ) -> StoredWorkflow:
        """Publish a version, by default the current one; to publish an older one is a rollback.

        Without ``exposure`` the workflow keeps its tool, if it has one.

        Raises:
            WorkflowNotFoundError: no such workflow or version.
            InvalidDefinitionError: the version can no longer run, or its trigger's input schema is one that providers
                of models refuse in a tool.
            InvalidArgumentsError: it cannot be a tool with this exposure.
            WebhookPathTakenError, ToolNameTakenError: see the repository.
        """
        owner = actor.workspace_id
        stored = await self._authoring.workflows.get(owner, workflow_id, version)
        report = await self._authoring.check(stored.owner, stored.definition.to_json())
        if report.definition is None:
            raise InvalidDefinitionError(report.findings)
        if exposure is not None:
            self._check_exposure(exposure, stored.definition)
        kept = exposure or await self._exposure_of(owner, workflow_id)
        if kept is not None:
            _check_providers(kept, stored.definition)
        publication = self._authoring.publication_of(stored.definition, exposure)
        published = await self._authoring.workflows.publish(owner, workflow_id, stored.version, publication)
        self._announcements.workflow_changed("published", workflow_id, owner)
        details: JsonObject = {"version": stored.version}
        if exposure is not None:
            details["tool"] = exposure.name
        await self._note(actor, "workflow.published", workflow_id, details)
        return published

    async def unpublish(self, actor: Actor, workflow_id: str) -> None:
        """Unpublish a workflow: its webhook paths and its tool end. Its active executions go on.

        Raises:
            WorkflowNotFoundError: no such workflow.
            NotPublishedError: it is not published.
        """
        await self._authoring.version(actor.workspace_id, workflow_id, "published")
        await self._authoring.workflows.unpublish(actor.workspace_id, workflow_id)
        self._announcements.workflow_changed("unpublished", workflow_id, actor.workspace_id)
        await self._note(actor, "workflow.unpublished", workflow_id, {})

    async def withdraw_tool(self, actor: Actor, workflow_id: str) -> None:
        """End a workflow's tool; the workflow stays published.

        Raises:
            WorkflowNotFoundError: no such workflow.
            NotPublishedError: it is not published.
        """
        await self._authoring.version(actor.workspace_id, workflow_id, "published")
        await self._authoring.workflows.withdraw_tool(actor.workspace_id, workflow_id)
        self._announcements.workflow_changed("published", workflow_id, actor.workspace_id)
        await self._note(actor, "workflow.tool_withdrawn", workflow_id, {})

    async def _note(self, actor: Actor, action: str, workflow_id: str, details: JsonObject) -> None:
        self._audit.note(actor, action, f"workflow:{workflow_id}", details)
        await self._audit.written()

    async def exposed(self, owner: str) -> Sequence[tuple[Exposure, StoredWorkflow]]:
        """The published versions of ``owner``'s workflows that are tools; the same object while none changes."""
        return await self._authoring.workflows.exposed(owner)

    def webhook_paths(self, definition: WorkflowDefinition) -> Sequence[str]:
        """The paths that a published definition listens on."""
        return webhook_paths(definition, self._authoring.registry)

    def firings(self, definition: WorkflowDefinition) -> dict[str, JsonObject]:
        """By schedule trigger of a definition, when it fires in words and its next firings."""
        return self._authoring.firings(definition)

    def has_effects(self, definition: WorkflowDefinition) -> bool:
        """Whether an execution may have an effect, by itself or through another workflow."""
        kinds = (self._authoring.registry.get(node.type) for node in definition.nodes.values() if not node.disabled)
        return any(kind is None or kind.has_effect for kind in kinds)

    async def _exposure_of(self, owner: str, workflow_id: str) -> Exposure | None:
        """How the workflow is offered as a tool now, if it is."""
        exposed = await self.exposed(owner)
        return next((exposure for exposure, workflow in exposed if workflow.id == workflow_id), None)

    def _check_exposure(self, exposure: Exposure, definition: WorkflowDefinition) -> None:
        if exposure.name in self._reserved:
            raise ToolNameTakenError(exposure.name, "Jobsprint itself")
        if manual_trigger(definition) is None:
            raise InvalidArgumentsError(
                "A workflow that is a tool starts at a manual trigger, and this one has no enabled manual trigger.",
                pointer="/tool",
                fix='Add one: {"type": "manual"}, connected to the first node.',
            )
        if exposure.input_schema is not None:
            for found in schema_findings(exposure.input_schema, at="/tool/input_schema"):
                raise InvalidArgumentsError(found.message, pointer=found.pointer, fix=SCHEMA_FIX)
        _check_bound(exposure, definition)


def _check_providers(exposure: Exposure, definition: WorkflowDefinition) -> None:
    """Let pass a tool whose schema every provider of models takes: one that it refuses would cost a client all tools.

    Raises:
        InvalidArgumentsError: the offer's own schema is refused; each finding has a patch of the arguments.
        InvalidDefinitionError: the trigger's is; each finding has a patch of the definition.
    """
    if exposure.input_schema is not None:
        findings = provider_findings(exposure.input_schema, at="/tool/input_schema")
        if findings:
            raise InvalidArgumentsError.of(findings)
        return
    trigger = manual_trigger(definition)
    if trigger is not None and definition.nodes[trigger].parameters.get("input_schema") is not None:
        at = pointer("nodes", trigger, "parameters", "input_schema")
        findings = provider_findings(input_schema(exposure, definition), at=at)
        if findings:
            raise InvalidDefinitionError(findings)


def manual_trigger(definition: WorkflowDefinition) -> str | None:
    """The name of the node where a tool's executions start: the first enabled manual trigger."""
    for name, node in definition.nodes.items():
        if node.type == Manual.name and not node.disabled:
            return name
    return None


def offered_schema(exposure: Exposure, definition: WorkflowDefinition) -> dict[str, Any]:
    """The schema of what callers of a tool give: its input's without the arguments that are bound."""
    schema = input_schema(exposure, definition)
    if not exposure.bound:
        return schema
    properties = {name: each for name, each in schema.get("properties", {}).items() if name not in exposure.bound}
    offered = {**schema, "properties": properties}
    if "required" in schema:
        offered["required"] = [name for name in schema["required"] if name not in exposure.bound]
    return offered


def _check_bound(exposure: Exposure, definition: WorkflowDefinition) -> None:
    """Let pass bound arguments that the input has, and that fit it.

    Raises:
        InvalidArgumentsError: one is none of the input's, or has another form.
    """
    properties = input_schema(exposure, definition).get("properties", {})
    for name in exposure.bound:
        if properties and name not in properties:
            raise InvalidArgumentsError(
                f"The input has no {name!r} that could be bound.",
                pointer=pointer("tool", "bound", name),
                fix=f"Bind one of these: {listed(list(properties))}.",
            )
    known = {name: each for name, each in properties.items() if name in exposure.bound}
    findings = InputSchema({"type": "object", "properties": known}).findings(exposure.bound)
    if findings:
        raise InvalidArgumentsError(
            f"A bound argument does not fit the input: {findings[0].message}",
            pointer=f"/tool/bound{findings[0].pointer}",
            fix="Give a value that the input's schema takes.",
        )


def input_schema(exposure: Exposure, definition: WorkflowDefinition) -> dict[str, Any]:
    """The schema of a tool's input: the exposure's, else the trigger's, else any object."""
    if exposure.input_schema is not None:
        return exposure.input_schema
    trigger = manual_trigger(definition)
    declared = definition.nodes[trigger].parameters.get("input_schema") if trigger is not None else None
    return declared if isinstance(declared, dict) else ANY_OBJECT
