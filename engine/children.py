"""Executions that other executions start: each item's once, whatever happens in between."""

from __future__ import annotations

import uuid
from typing import Any

from engine.authoring import Authoring
from engine.executions import ExecutionService, Submission
from workflow.errors import ExecutionNotFoundError
from workflow.executions import EffectKey, Execution, Mode, Parent

INLINE_SECONDS = 2.0
"""How long a parent stays in memory for its child: most are done by then, and it need not be resumed for them."""


class Children:
    """Starts sub-workflows for nodes; implements :class:`engine.node_type.ChildRunner`."""

    def __init__(self, *, authoring: Authoring, service: ExecutionService) -> None:
        self._authoring = authoring
        self._service = service

    async def ensure(
        self, parent_id: str, key: EffectKey, workflow_id: str, data: Any, *, mode: Mode, wait: bool
    ) -> Execution:
        """The item's child as it is now, started if it is not there yet. Its id follows from the item's.

        Raises:
            JobsprintError: the workflow is not there, has no trigger, or takes no more.
        """
        child_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{parent_id}:{key.node}:{key.run_index}:{key.item_index}"))
        try:
            child = await self._service.get(child_id)
        except ExecutionNotFoundError:
            child = await self._start(child_id, Parent(parent_id, key) if wait else None, workflow_id, data, mode)
        if wait and child.is_held:
            await self._service.wait(child_id, timeout_seconds=INLINE_SECONDS)
            child = await self._service.get(child_id)
        return child

    async def _start(self, child_id: str, parent: Parent | None, workflow_id: str, data: Any, mode: Mode) -> Execution:
        plan = await self._authoring.plan_in_use(workflow_id)
        submission = Submission(trigger="workflow", data=data, mode=mode, parent=parent, execution_id=child_id)
        live = await self._service.submit(plan, submission)
        await self._service.accepted(live)
        return live.execution
