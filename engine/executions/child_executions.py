"""Executions that other executions start: each item's once, whatever happens in between."""

from __future__ import annotations

import uuid
from typing import Any

from engine.definitions.authoring import Authoring
from engine.executions.intake import Intake
from engine.executions.reader import ExecutionReader
from engine.runs.submission import Submission
from workflow.errors import ExecutionNotFoundError
from workflow.executions import EffectKey, Execution, Parent

INLINE_SECONDS = 2.0
"""How long a parent stays in memory for its child: most are done by then, and it need not be resumed for them."""


class ChildExecutions:
    """Starts sub-workflows for nodes; implements :class:`engine.node_api.ports.ChildStarter`."""

    def __init__(self, *, authoring: Authoring, reader: ExecutionReader, intake: Intake) -> None:
        self._authoring = authoring
        self._reader = reader
        self._intake = intake

    async def ensure(
        self, parent: Execution, key: EffectKey, workflow_id: str, data: Any, *, wait: bool, step: str = ""
    ) -> Execution:
        """The item's child as it is now, started if it is not there yet. Its id follows from the item's, and from the
        ``step`` of its effect where that starts several.

        Raises:
            JobsprintError: the workflow is not there, has no trigger, or takes no more.
        """
        place = f"{parent.id}:{key.node}:{key.run_index}:{key.item_index}"
        child_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{place}:{step}" if step else place))
        try:
            child = await self._reader.get(parent.owner, child_id)
        except ExecutionNotFoundError:
            child = await self._start(child_id, parent, key if wait else None, workflow_id, data)
        if wait and child.is_active:
            await self._reader.wait(parent.owner, child_id, timeout_seconds=INLINE_SECONDS)
            child = await self._reader.get(parent.owner, child_id)
        return child

    async def _start(
        self, child_id: str, parent: Execution, waiting: EffectKey | None, workflow_id: str, data: Any
    ) -> Execution:
        compiled = await self._authoring.compiled_in_use(parent.owner, workflow_id)
        submission = Submission(
            trigger="workflow",
            initiator=parent.initiator,
            data=data,
            mode=parent.mode,
            parent=Parent(parent.id, waiting) if waiting is not None else None,
            execution_id=child_id,
        )
        return (await self._intake.accept(compiled, submission)).execution
