"""Rows of workflows and their versions: how they are selected, read and written."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables.workflows import workflow_versions, workflows
from workflow.definitions.definition import WorkflowDefinition
from workflow.errors import WorkflowNotFoundError
from workflow.ports import StoredWorkflow, WorkflowSummary

VERSION_COLUMNS = (
    workflows.c.id,
    workflows.c.owner,
    workflow_versions.c.version,
    workflow_versions.c.definition,
    workflows.c.created_at,
    workflow_versions.c.created_at.label("updated_at"),
    workflows.c.published_version,
)


def in_use(owner: str, workflow_id: str) -> tuple[ColumnElement[bool], ...]:
    """The conditions for a workflow of the owner's that is not deleted."""
    return (workflows.c.id == workflow_id, workflows.c.owner == owner, workflows.c.deleted_at.is_(None))


LAST_VERSION = 2**31 - 1
"""What the column holds."""


async def read_version(
    connection: AsyncConnection, owner: str, workflow_id: str, version: int | None
) -> StoredWorkflow:
    """One version, the current one by default.

    Raises:
        WorkflowNotFoundError: no such workflow or version, or it is deleted.
    """
    if version is not None and not 1 <= version <= LAST_VERSION:
        raise WorkflowNotFoundError(workflow_id, version)
    query: Select[Any] = (
        select(*VERSION_COLUMNS)
        .join(workflow_versions, workflow_versions.c.workflow_id == workflows.c.id)
        .where(
            *in_use(owner, workflow_id),
            workflow_versions.c.version == (workflows.c.version if version is None else version),
        )
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise WorkflowNotFoundError(workflow_id, version)
    return stored_workflow(row)


async def add_version(
    connection: AsyncConnection,
    workflow_id: str,
    version: int,
    definition: WorkflowDefinition,
    *,
    change: str,
    now: datetime,
) -> None:
    """Store a version's row."""
    await connection.execute(
        insert(workflow_versions).values(
            workflow_id=workflow_id, version=version, definition=definition.to_json(), change=change, created_at=now
        )
    )


async def current_version(connection: AsyncConnection, owner: str, workflow_id: str) -> int:
    """The number of the current version.

    Raises:
        WorkflowNotFoundError: no such workflow, or it is deleted.
    """
    query = select(workflows.c.version).where(*in_use(owner, workflow_id))
    version = (await connection.execute(query)).scalar_one_or_none()
    if version is None:
        raise WorkflowNotFoundError(workflow_id)
    return int(version)


def summary_values(definition: WorkflowDefinition) -> dict[str, Any]:
    """What the workflow's own row repeats of its current version, for lists."""
    return {
        "name": definition.name,
        "description": definition.description,
        "node_count": len(definition.nodes),
    }


def stored_workflow(row: Any) -> StoredWorkflow:
    """The version of a row of :data:`VERSION_COLUMNS`."""
    return StoredWorkflow(
        id=row.id,
        owner=row.owner,
        version=row.version,
        definition=WorkflowDefinition.model_validate(row.definition),
        created_at=row.created_at,
        updated_at=row.updated_at,
        published_version=row.published_version,
    )


def workflow_summary(row: Any) -> WorkflowSummary:
    """The entry in a list of a workflow's row."""
    return WorkflowSummary(
        id=row.id,
        name=row.name,
        description=row.description,
        version=row.version,
        node_count=row.node_count,
        updated_at=row.updated_at,
        published_version=row.published_version,
        deleted_at=row.deleted_at,
    )
