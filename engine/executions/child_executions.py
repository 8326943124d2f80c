"""Executions that other executions start: each item's once, whatever happens in between, and within bounds."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from engine.definitions.authoring import Authoring
from engine.executions.intake import Intake
from engine.executions.reader import ExecutionReader
from engine.runs.journal import STORE_RETRY_SECONDS
from engine.runs.submission import Submission
from workflow.errors import ExecutionNotFoundError, NodeError, QueueFullError, StorageError
from workflow.executions import EffectKey, Execution, Parent
from workflow.ports import ExecutionStore

logger = logging.getLogger(__name__)

INLINE_SECONDS = 2.0
"""How long a parent stays in memory for its child: most are done by then, and it need not be resumed for them."""
COUNTED_ROOTS = 1_000
"""Roots whose calls are counted in memory; of the others the store is asked."""
COUNT_AGAIN = 100
"""After so many calls of a root the store is asked again: other processes start children, too."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CallBounds:
    """How deep sub-workflows may call each other, and how many executions may come of one."""

    depth: int
    calls: int


class ChildExecutions:
    """Starts sub-workflows for nodes; implements :class:`engine.node_api.ports.ChildStarter`."""

    def __init__(
        self,
        *,
        authoring: Authoring,
        store: ExecutionStore,
        reader: ExecutionReader,
        intake: Intake,
        bounds: CallBounds,
    ) -> None:
        self._authoring = authoring
        self._reader = reader
        self._intake = intake
        self._bounds = bounds
        self._calls = _CallCounts(store)

    async def ensure(
        self, parent: Execution, key: EffectKey, workflow_id: str, data: Any, *, wait: bool, step: str = ""
    ) -> Execution:
        """The item's child as it is now, started if it is not there yet. Its id follows from the item's, and from the
        ``step`` of its effect where that starts several.

        While the store fails, this tries again: the child's id stays the same, so it is started once, and the parent
        neither fails nor is dropped for a failure that passes.

        Raises:
            NodeError: the chain of calls is too deep or too long, or there is no room for the child now.
            JobsprintError: the workflow is not there, has no trigger, or takes no more.
        """
        place = f"{parent.id}:{key.node}:{key.run_index}:{key.item_index}"
        child_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{place}:{step}" if step else place))
        while True:
            try:
                return await self._ensure(child_id, parent, key if wait else None, workflow_id, data)
            except StorageError as error:
                # NotAcceptedError is one: the child's, which must not be taken for the parent's own.
                logger.warning("execution %s waits to start its child: %s", parent.id, error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)

    async def _ensure(
        self, child_id: str, parent: Execution, waiting: EffectKey | None, workflow_id: str, data: Any
    ) -> Execution:
        try:
            child = await self._reader.get(parent.owner, child_id)
        except ExecutionNotFoundError:
            child = await self._start(child_id, parent, waiting, workflow_id, data)
        if waiting is not None and child.is_active:
            await self._reader.wait(parent.owner, child_id, timeout_seconds=INLINE_SECONDS)
            child = await self._reader.get(parent.owner, child_id)
        return child

    async def _start(
        self, child_id: str, parent: Execution, waiting: EffectKey | None, workflow_id: str, data: Any
    ) -> Execution:
        root, depth = parent.root or parent.id, parent.depth + 1
        if depth > self._bounds.depth:
            raise NodeError(
                f"Workflows call each other {self._bounds.depth} levels deep here, and not deeper.",
                code="calls_too_deep",
                fix="Look whether a workflow calls itself without an end; JOBSPRINT_SUB_WORKFLOW_DEPTH is the bound.",
            )
        compiled = await self._authoring.compiled_in_use(parent.owner, workflow_id)
        if not await self._calls.take(root, self._bounds.calls):
            raise NodeError(
                f"Execution {root} has started {self._bounds.calls} others with all that these have started.",
                code="too_many_calls",
                fix="Give a call more to do, or raise JOBSPRINT_SUB_WORKFLOW_CALLS.",
            )
        submission = Submission(
            trigger="workflow",
            initiator=parent.initiator,
            data=data,
            mode=parent.mode,
            parent=Parent(parent.id, waiting) if waiting is not None else None,
            root=root,
            depth=depth,
            execution_id=child_id,
        )
        try:
            local = await self._intake.accept(compiled, submission)
        except BaseException as error:
            self._calls.give_back(root)
            if not isinstance(error, QueueFullError):
                raise
            retry_after = float(error.retry_after_seconds)
            raise NodeError(
                error.message, code=error.code, transient=True, fix=error.fix, retry_after_seconds=retry_after
            ) from error
        return local.execution


class _CallCounts:
    """How many executions each root has started. Exact to what other processes have started lately."""

    def __init__(self, store: ExecutionStore) -> None:
        self._store = store
        self._counts: OrderedDict[str, int] = OrderedDict()

    async def take(self, root: str, most: int) -> bool:
        """Count one more, unless there are ``most`` already. The store is asked where this process does not know the
        count or has not asked for a while.

        While one call asks the store, others may take: what they have counted stays.
        """
        count = self._counts.get(root)
        if count is None or count % COUNT_AGAIN == 0:
            stored = await self._store.count_of_root(root)
            count = max(stored, self._counts.get(root, 0))
        if count >= most:
            return False
        self._counts[root] = count + 1
        while len(self._counts) > COUNTED_ROOTS:
            self._counts.popitem(last=False)
        return True

    def give_back(self, root: str) -> None:
        """One that was counted is not started after all."""
        if root in self._counts:
            self._counts[root] -= 1
