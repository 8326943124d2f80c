"""What a published workflow holds in the database: its webhook paths, its schedules and its tool."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables.workflows import exposures, workflow_versions, workflows
from storage.workflows.schedules import set_schedules
from storage.workflows.versions import VERSION_COLUMNS, in_use, stored_workflow
from storage.workflows.webhook_paths import listen
from workflow.definitions.publication import Exposure, Publication
from workflow.errors import ToolNameTakenError, WorkflowNotFoundError
from workflow.ports import StoredWorkflow


async def put_into_use(
    connection: AsyncConnection, owner: str, workflow_id: str, version: int, publication: Publication, *, now: datetime
) -> None:
    """Make ``version`` the published one; see :meth:`workflow.ports.WorkflowRepository.publish`.

    Raises:
        WorkflowNotFoundError, WebhookPathTakenError, ToolNameTakenError: see there.
    """
    await _set_published(connection, owner, workflow_id, version)
    await listen(connection, owner, workflow_id, publication.webhook_paths, now=now)
    await set_schedules(connection, owner, workflow_id, publication.schedules, now=now)
    if publication.exposure is not None:
        await drop_tool(connection, workflow_id)
        await _expose(connection, workflow_id, publication.exposure)


async def take_out_of_use(connection: AsyncConnection, owner: str, workflow_id: str, *, now: datetime) -> None:
    """Leave the workflow without a published version. The names of its paths stay its workspace's for some time.

    Raises:
        WorkflowNotFoundError: no such workflow, or it is deleted.
    """
    await _set_published(connection, owner, workflow_id, None)
    await listen(connection, owner, workflow_id, (), now=now)
    await set_schedules(connection, owner, workflow_id, (), now=now)
    await drop_tool(connection, workflow_id)


async def drop_tool(connection: AsyncConnection, workflow_id: str) -> None:
    """Offer the workflow as a tool no more."""
    await connection.execute(delete(exposures).where(exposures.c.workflow_id == workflow_id))


async def read_exposed(connection: AsyncConnection, owner: str) -> list[tuple[Exposure, StoredWorkflow]]:
    """Every workflow offered to ``owner``, in its published version, by the tools' names."""
    columns = [column.label(f"tool_{column.name}") for column in exposures.c if column.name != "workflow_id"]
    query = (
        select(*VERSION_COLUMNS, *columns)
        .join(exposures, exposures.c.workflow_id == workflows.c.id)
        .join(workflow_versions, workflow_versions.c.workflow_id == workflows.c.id)
        .where(exposures.c.owner == owner, workflow_versions.c.version == workflows.c.published_version)
        .order_by(exposures.c.name)
    )
    return [(_exposure(row), stored_workflow(row)) for row in await connection.execute(query)]


async def _set_published(connection: AsyncConnection, owner: str, workflow_id: str, version: int | None) -> None:
    changed = await connection.execute(
        update(workflows).where(*in_use(owner, workflow_id)).values(published_version=version)
    )
    if changed.rowcount == 0:
        raise WorkflowNotFoundError(workflow_id)


async def _expose(connection: AsyncConnection, workflow_id: str, exposure: Exposure) -> None:
    values = {
        "owner": exposure.owner,
        "name": exposure.name,
        "description": exposure.description,
        "input_schema": exposure.input_schema,
        "as_prompt": exposure.as_prompt,
        "bound": exposure.bound or None,
    }
    try:
        async with connection.begin_nested():
            await connection.execute(insert(exposures).values(workflow_id=workflow_id, **values))
    except IntegrityError as error:
        where = (exposures.c.owner == exposure.owner, exposures.c.name == exposure.name)
        other = (await connection.execute(select(exposures.c.workflow_id).where(*where))).scalar_one_or_none()
        raise ToolNameTakenError(exposure.name, f"workflow {other!r}") from error


def _exposure(row: Any) -> Exposure:
    return Exposure(
        owner=row.tool_owner,
        name=row.tool_name,
        description=row.tool_description,
        input_schema=row.tool_input_schema,
        as_prompt=row.tool_as_prompt,
        bound=row.tool_bound or {},
    )
