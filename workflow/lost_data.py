"""The failure of an execution of which a part is missing or damaged in the store."""

from __future__ import annotations

from collections.abc import Sequence

from workflow.executions import Record
from workflow.failure import JobsprintError


class LostDataError(JobsprintError):
    """Part of what was stored of an execution is missing or damaged. ``records`` are those of its journal that are
    left, where it is the journal."""

    code = "lost_data"

    def __init__(self, execution_id: str, part: str) -> None:
        super().__init__(
            f"Part of execution {execution_id} is lost: {part}.",
            fix="Restore a backup, or run the workflow again: nothing of this execution is repeated by itself.",
        )
        self.execution_id = execution_id
        self.records: Sequence[Record] = ()
