"""Workflows made and changed: every definition is checked whole before anything is stored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.expression_checks import expression_findings
from engine.expressions.evaluator import Evaluator
from engine.plan import Plan, compile_plan
from engine.registry import NodeRegistry
from workflow.checks import Report, check_definition, webhook_paths
from workflow.definition import WorkflowDefinition
from workflow.documents import parse_document
from workflow.errors import InvalidDefinitionError, VersionConflictError
from workflow.findings import Finding
from workflow.operations import Operation, apply_operations
from workflow.ports import Clock, NewId, StoredWorkflow, WorkflowRepository
from workflow.redaction import restored

PLANS_KEPT = 512
"""Compiled plans kept in memory: about 20 KB each for ten nodes, so some 10 MB."""


@dataclass(slots=True, frozen=True)
class Saved:
    """A stored version, and the warnings that did not keep it from being stored."""

    workflow: StoredWorkflow
    warnings: tuple[Finding, ...]


class Authoring:
    """Checks, stores and compiles definitions. Nothing invalid is ever stored."""

    def __init__(
        self,
        *,
        registry: NodeRegistry,
        evaluator: Evaluator,
        workflows: WorkflowRepository,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.registry = registry
        self.workflows = workflows
        self._evaluator = evaluator
        self._clock = clock
        self._new_id = new_id
        self._plans: OrderedDict[tuple[str, int], Plan] = OrderedDict()

    async def check(self, document: Any, *, current: StoredWorkflow | None = None) -> Report:
        """Everything wrong with a definition, expressions included. A string is read as JSON text first.

        Secrets that were hidden when ``current`` was read count as what they are there.

        Raises:
            InvalidArgumentsError: the string is not JSON.
        """
        twice: list[Finding] = []
        if isinstance(document, str | bytes):
            document, twice = parse_document(document, pointer="")
        if current is not None:
            document = restored(document, current.definition.to_json())
        report = check_definition(document, self.registry)
        found = [*twice, *await expression_findings(report.document, self._evaluator)]
        if not found:
            return report
        findings = (*report.findings, *found)
        usable = report.definition if all(finding.severity != "error" for finding in found) else None
        return Report(usable, findings, report.document)

    async def create(self, document: Any) -> Saved:
        """Store a new workflow.

        Raises:
            InvalidDefinitionError: a finding is an error.
            WebhookPathTakenError: another workflow listens on one of its paths.
        """
        report = await self.check(document)
        definition = _valid(report)
        stored = await self.workflows.create(
            self._new_id(),
            definition,
            webhook_paths=webhook_paths(definition, self.registry),
            now=self._clock.now(),
        )
        return Saved(stored, report.findings)

    async def replace(self, workflow_id: str, document: Any, *, expected_version: int | None) -> Saved:
        """Store a whole definition as the next version; without ``expected_version`` after whatever is there.

        Raises:
            InvalidDefinitionError: a finding is an error.
            WorkflowNotFoundError, VersionConflictError, WebhookPathTakenError: see the repository.
        """
        current = await self._expected(workflow_id, expected_version)
        return await self._save(current, await self.check(document, current=current))

    async def change(self, workflow_id: str, operations: Sequence[Operation], *, expected_version: int | None) -> Saved:
        """Apply operations, all or none, and store the result as the next version.

        Raises:
            InvalidOperationError: an operation cannot be applied.
            InvalidDefinitionError: the result has a finding that is an error.
            WorkflowNotFoundError, VersionConflictError, WebhookPathTakenError: see the repository.
        """
        current = await self._expected(workflow_id, expected_version)
        changed = apply_operations(current.definition.to_json(), list(operations))
        return await self._save(current, await self.check(changed, current=current))

    async def delete(self, workflow_id: str) -> None:
        """Take a workflow out of use.

        Raises:
            WorkflowNotFoundError: there is none.
        """
        await self.workflows.delete(workflow_id, now=self._clock.now())

    def plan(self, stored: StoredWorkflow) -> Plan:
        """The compiled plan of a stored version.

        Raises:
            InvalidDefinitionError: a node type that it uses is not installed any more.
        """
        key = (stored.id, stored.version)
        plan = self._plans.get(key)
        if plan is None:
            plan = compile_plan(
                stored.id, stored.version, stored.definition, registry=self.registry, evaluator=self._evaluator
            )
            self._plans[key] = plan
            if len(self._plans) > PLANS_KEPT:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan

    async def _expected(self, workflow_id: str, expected_version: int | None) -> StoredWorkflow:
        current = await self.workflows.get(workflow_id)
        if expected_version is not None and expected_version != current.version:
            raise VersionConflictError(workflow_id, expected=expected_version, actual=current.version)
        return current

    async def _save(self, current: StoredWorkflow, report: Report) -> Saved:
        definition = _valid(report)
        stored = await self.workflows.save_version(
            current.id,
            definition,
            expected_version=current.version,
            webhook_paths=webhook_paths(definition, self.registry),
            now=self._clock.now(),
        )
        return Saved(stored, report.findings)


def _valid(report: Report) -> WorkflowDefinition:
    if report.definition is None:
        raise InvalidDefinitionError(report.findings)
    return report.definition
