"""Which executions somebody asks for, and many of them in figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from workflow.executions import Execution
from workflow.states import ExecutionState


@dataclass(slots=True, frozen=True, kw_only=True)
class ExecutionFilter:
    """Which executions of a workspace to list; ``None`` means any. ``text`` is looked for in the error's message."""

    owner: str
    workflow_id: str | None = None
    state: ExecutionState | None = None
    text: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class LatestRun(NamedTuple):
    """The last execution of a workflow; ``error`` is the message where it failed."""

    execution_id: str
    state: ExecutionState
    created_at: datetime
    error: str | None


class Rerun(NamedTuple):
    """An execution that was started from another one."""

    execution_id: str
    state: ExecutionState


@dataclass(slots=True, frozen=True, kw_only=True)
class ExecutionFigures:
    """Executions counted by workflow and state, their errors by message (the most frequent first), and ``newest``:
    the last ones, of which times are taken."""

    counts: Mapping[tuple[str, str], int]
    errors: Sequence[tuple[str, int]]
    newest: Sequence[Execution]
