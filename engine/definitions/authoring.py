"""Creates and changes workflows: a definition is checked completely before it is stored."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jsonpatch
import jsonpointer

from engine.announcements import Announcements, WorkflowChange
from engine.definitions.action_checks import action_findings, named_actions
from engine.definitions.compiled import CompiledWorkflow, compile_workflow
from engine.definitions.expression_checks import expression_findings
from engine.definitions.firings import foreseen_firings
from engine.definitions.webhook_checks import webhook_findings
from engine.expressions.evaluator import Evaluator
from engine.nodes.registry import NodeRegistry
from workflow.audit import AuditLog
from workflow.connections import ConnectionCatalogue
from workflow.credentials import CredentialList
from workflow.definitions.checks import Report, check_definition, schedule_triggers, webhook_paths
from workflow.definitions.credential_checks import credential_findings, named_credentials
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.differences import Difference, difference
from workflow.definitions.operations import Operation, apply_operations, merge_patch
from workflow.definitions.publication import Exposure, Publication
from workflow.errors import (
    InvalidDefinitionError,
    NotPublishedError,
    VersionConflictError,
    WorkflowNotFoundError,
    is_id,
)
from workflow.findings import Finding
from workflow.identity import Actor
from workflow.items import JsonObject
from workflow.names import AmbiguousNameError
from workflow.ports import Clock, NewId, StoredWorkflow, WorkflowRepository
from workflow.redaction import restored
from workflow.schemas.bounds import is_large
from workflow.schemas.documents import parse_document

VersionChoice = int | Literal["published"] | None
"""A version by its number, the published one, or (``None``) the current one."""

MENDING_ROUNDS = 4
"""How often patches are applied and the result is checked again: the mend of one error can uncover another."""
COMPILED_KEPT = 512
"""Compiled workflows kept in memory: about 20 KB each for ten nodes, so some 10 MB."""


@dataclass(slots=True, frozen=True)
class Saved:
    """A stored version, and its warnings."""

    workflow: StoredWorkflow
    warnings: tuple[Finding, ...]


@dataclass(slots=True, frozen=True)
class Mended:
    """A definition after patches, and the findings whose patches were applied."""

    document: Any
    applied: tuple[Finding, ...]


class Authoring:
    """Checks, stores and compiles definitions. No definition with an error is ever stored.

    Methods that read take the workspace (``owner``), methods that change something the actor.
    """

    def __init__(
        self,
        *,
        registry: NodeRegistry,
        evaluator: Evaluator,
        workflows: WorkflowRepository,
        credentials: CredentialList,
        connections: ConnectionCatalogue,
        announcements: Announcements,
        audit: AuditLog,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.registry = registry
        self.workflows = workflows
        self._credentials = credentials
        self._connections = connections
        self._announcements = announcements
        self._audit = audit
        self.evaluator = evaluator
        self._clock = clock
        self._new_id = new_id
        self._compiled: OrderedDict[tuple[str, int], CompiledWorkflow] = OrderedDict()

    async def check(self, owner: str, document: Any, *, current: StoredWorkflow | None = None) -> Report:
        """Check a definition with its expressions. A string is parsed as JSON first.

        Secrets that were hidden when ``current`` was read get the values that they have in it.

        Raises:
            InvalidArgumentsError: the string is not JSON.
        """
        twice: list[Finding] = []
        if isinstance(document, str | bytes):
            document, twice = parse_document(document, pointer="")
        if current is not None:
            document = restored(document, current.definition.to_json())
        # A large document is checked beside the event loop, which goes on meanwhile.
        check = partial(_checked, document, self.registry)
        report, on_webhooks = await asyncio.to_thread(check) if is_large(document) else check()
        found = [
            *twice,
            *on_webhooks,
            *await expression_findings(report.document, self.evaluator),
            *await self._credential_findings(owner, report.document),
            *await self._action_findings(owner, report.document),
        ]
        if not found:
            return report
        findings = (*report.findings, *found)
        usable = report.definition if all(finding.severity != "error" for finding in found) else None
        return Report(usable, findings, report.document)

    async def mended(self, owner: str, document: Any, *, current: StoredWorkflow | None = None) -> Mended:
        """The definition with the patches of its errors applied, as far as they lead to others that can be applied.

        Raises:
            InvalidArgumentsError: the definition is a string that is not JSON.
        """
        if isinstance(document, str | bytes):
            document, _ = parse_document(document, pointer="")
        applied: list[Finding] = []
        for _ in range(MENDING_ROUNDS):
            found = (await self.check(owner, document, current=current)).findings
            patched = [each for each in found if each.severity == "error" and each.patch]
            if not patched:
                break
            patch = partial(_patched, document, patched)
            document, done = await asyncio.to_thread(patch) if is_large(document) else patch()
            applied += done
        return Mended(document, tuple(applied))

    async def create(self, actor: Actor, document: Any, *, publish: bool = False) -> Saved:
        """Store a new workflow, as a draft or published immediately.

        Raises:
            InvalidDefinitionError: a finding is an error.
            WebhookPathTakenError: it is to be published, and another workflow listens on one of its paths.
        """
        report = await self.check(actor.workspace_id, document)
        definition = _valid(report)
        stored = await self.workflows.create(
            actor.workspace_id,
            self._new_id(),
            definition,
            change="Created",
            publication=self.publication_of(definition) if publish else None,
            now=self._clock.now(),
        )
        self._announcements.workflow_changed("created", stored.id, actor.workspace_id)
        if publish:
            self._announcements.workflow_changed("published", stored.id, actor.workspace_id)
        self._note(actor, "created", stored.id, {"name": definition.name})
        if publish:
            self._note(actor, "published", stored.id, {"version": 1})
        await self._audit.written()
        return Saved(stored, report.findings)

    async def replace(self, actor: Actor, workflow_id: str, document: Any, *, expected_version: int | None) -> Saved:
        """Store a whole definition as the next version; without ``expected_version``, whichever version is current.

        Raises:
            InvalidDefinitionError: a finding is an error.
            WorkflowNotFoundError, VersionConflictError: see the repository.
        """
        current = await self._expected(actor, workflow_id, expected_version)
        return await self._save(actor, current, await self.check(actor.workspace_id, document, current=current))

    async def change(
        self, actor: Actor, workflow_id: str, operations: Sequence[Operation], *, expected_version: int | None
    ) -> Saved:
        """Apply operations, all or none, and store the result as the next version.

        Raises:
            InvalidOperationError: an operation cannot be applied.
            InvalidDefinitionError: the result has a finding that is an error.
            WorkflowNotFoundError, VersionConflictError: see the repository.
        """
        current = await self._expected(actor, workflow_id, expected_version)
        changed = apply_operations(current.definition.to_json(), list(operations))
        return await self._save(actor, current, await self.check(actor.workspace_id, changed, current=current))

    async def merge(self, actor: Actor, workflow_id: str, changes: Any, *, expected_version: int | None) -> Saved:
        """Apply a JSON Merge Patch (RFC 7396) and store the result as the next version.

        Raises:
            InvalidDefinitionError: the result has a finding that is an error.
            WorkflowNotFoundError, VersionConflictError: see the repository.
        """
        current = await self._expected(actor, workflow_id, expected_version)
        merged = merge_patch(current.definition.to_json(), changes)
        return await self._save(actor, current, await self.check(actor.workspace_id, merged, current=current))

    async def restore_version(
        self, actor: Actor, workflow_id: str, version: int, *, expected_version: int | None
    ) -> Saved:
        """Store the definition of an old version as the next version.

        Raises:
            InvalidDefinitionError: it is no longer valid, for example because a node type is no longer installed.
            WorkflowNotFoundError, VersionConflictError: see the repository.
        """
        current = await self._expected(actor, workflow_id, expected_version)
        old = await self.workflows.get(actor.workspace_id, workflow_id, version)
        report = await self.check(actor.workspace_id, old.definition.to_json())
        return await self._save(actor, current, report, change=f"Restored version {version}")

    async def id_of(self, owner: str, id_or_name: str, *, deleted: bool = False) -> str:
        """The id of a workflow that is named by its id, or by its name where no other workflow has the same.

        Raises:
            WorkflowNotFoundError: it is no id, and no workflow has this name.
            AmbiguousNameError: several have it.
        """
        if is_id(id_or_name):
            return id_or_name
        ids = await self.workflows.named(owner, id_or_name, deleted=deleted)
        if not ids:
            raise WorkflowNotFoundError(id_or_name)
        if len(ids) > 1:
            raise AmbiguousNameError(id_or_name)
        return ids[0]

    async def version(self, owner: str, workflow_id: str, choice: VersionChoice) -> StoredWorkflow:
        """The chosen version.

        Raises:
            WorkflowNotFoundError: no such workflow or version.
            NotPublishedError: the published version was chosen, and there is none.
        """
        if choice != "published":
            return await self.workflows.get(owner, workflow_id, choice)
        current = await self.workflows.get(owner, workflow_id)
        if current.published_version is None:
            raise NotPublishedError(workflow_id)
        return await self.workflows.get(owner, workflow_id, current.published_version)

    async def compiled_in_use(self, owner: str, workflow_id: str) -> CompiledWorkflow:
        """The version that other workflows run: the published one, else the draft, so that drafts can be tried.

        Raises:
            WorkflowNotFoundError: no such workflow.
            InvalidDefinitionError: see :meth:`compiled`.
        """
        current = await self.workflows.get(owner, workflow_id)
        return self.compiled(await self.workflows.get(owner, workflow_id, current.published_version))

    async def compare(
        self, owner: str, workflow_id: str, base: int | None, version: VersionChoice
    ) -> tuple[int, int, Difference]:
        """The numbers of ``base`` (by default the version before) and of the version, and their difference.

        Raises:
            WorkflowNotFoundError: no such workflow or version.
            NotPublishedError: see :meth:`version`.
        """
        newer = await self.version(owner, workflow_id, version)
        older = await self.workflows.get(owner, workflow_id, base if base is not None else max(1, newer.version - 1))
        found = difference(older.definition.to_json(), newer.definition.to_json())
        return older.version, newer.version, found

    async def delete(self, actor: Actor, workflow_id: str) -> None:
        """Unpublish and hide a workflow; it can be restored until it is purged.

        Raises:
            WorkflowNotFoundError: there is none.
        """
        await self.workflows.delete(actor.workspace_id, workflow_id, now=self._clock.now())
        self._announcements.workflow_changed("deleted", workflow_id, actor.workspace_id)
        self._note(actor, "deleted", workflow_id, {})
        await self._audit.written()

    async def restore(self, actor: Actor, workflow_id: str) -> StoredWorkflow:
        """Bring a deleted workflow back, as a draft.

        Raises:
            WorkflowNotFoundError: there is none, or it was purged.
        """
        stored = await self.workflows.restore(actor.workspace_id, workflow_id)
        self._announcements.workflow_changed("restored", workflow_id, actor.workspace_id)
        self._note(actor, "restored", workflow_id, {})
        await self._audit.written()
        return stored

    async def _credential_findings(self, owner: str, document: Any) -> list[Finding]:
        named = named_credentials(document, self.registry)
        if not named:
            return []
        return credential_findings(named, [each.name for each in await self._credentials.of_workspace(owner)])

    async def _action_findings(self, owner: str, document: Any) -> list[Finding]:
        named = named_actions(document, self.registry)
        if not named:
            return []
        known = [each.name for each in await self._connections.connections(owner)]
        return list(action_findings(named, known, await self._connections.actions(owner)))

    def publication_of(self, definition: WorkflowDefinition, exposure: Exposure | None = None) -> Publication:
        """What publishing the definition takes with it."""
        return Publication(
            webhook_paths=webhook_paths(definition, self.registry),
            schedules=schedule_triggers(definition, self.registry, self._new_id),
            exposure=exposure,
        )

    def firings(self, definition: WorkflowDefinition) -> dict[str, JsonObject]:
        """By schedule trigger of a definition, when it fires if the definition is published now."""
        return foreseen_firings(self.publication_of(definition).schedules, now=self._clock.now())

    def compiled(self, stored: StoredWorkflow) -> CompiledWorkflow:
        """The compiled workflow of a stored version, compiled once.

        Raises:
            InvalidDefinitionError: a node type that it uses is no longer installed.
        """
        key = (stored.id, stored.version)
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = compile_workflow(stored, registry=self.registry, evaluator=self.evaluator)
            self._compiled[key] = compiled
            if len(self._compiled) > COMPILED_KEPT:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(key)
        return compiled

    async def _expected(self, actor: Actor, workflow_id: str, expected_version: int | None) -> StoredWorkflow:
        current = await self.workflows.get(actor.workspace_id, workflow_id)
        if expected_version is not None and expected_version != current.version:
            raise VersionConflictError(workflow_id, expected=expected_version, actual=current.version)
        return current

    async def _save(self, actor: Actor, current: StoredWorkflow, report: Report, *, change: str | None = None) -> Saved:
        definition = _valid(report)
        change = change or difference(current.definition.to_json(), definition.to_json()).summary
        stored = await self.workflows.save_version(
            actor.workspace_id,
            current.id,
            definition,
            expected_version=current.version,
            change=change,
            now=self._clock.now(),
        )
        self._announcements.workflow_changed("updated", stored.id, actor.workspace_id)
        self._note(actor, "updated", stored.id, {"version": stored.version, "change": change})
        await self._audit.written()
        return Saved(stored, report.findings)

    def _note(self, actor: Actor, what: WorkflowChange, workflow_id: str, details: JsonObject) -> None:
        self._audit.note(actor, f"workflow.{what}", f"workflow:{workflow_id}", details)


def _valid(report: Report) -> WorkflowDefinition:
    if report.definition is None:
        raise InvalidDefinitionError(report.findings)
    return report.definition


def _patched(document: Any, findings: Sequence[Finding]) -> tuple[Any, list[Finding]]:
    """A copy of the document with the findings' patches, and the findings whose patches could be applied."""
    applied = []
    for finding in findings:
        try:
            document = jsonpatch.apply_patch(document, [each.to_json() for each in finding.patch])
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError):
            continue  # an earlier patch has changed its place: the next check finds what is left of it
        applied.append(finding)
    return document, applied


def _checked(document: Any, registry: NodeRegistry) -> tuple[Report, Sequence[Finding]]:
    """What needs nothing but the document and the node types."""
    report = check_definition(document, registry)
    return report, webhook_findings(report.document, registry)
