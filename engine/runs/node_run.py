"""One run of one node as values: what it starts with, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from engine.definitions.compiled import CompiledNode
from engine.runs.run import Sources
from workflow.executions import ErrorRecord
from workflow.items import Items, Outputs


class NodeStart(NamedTuple):
    """A node run that starts: which, with what, from where, and when by the execution's own clock.

    ``counter`` is the reading of ``time.perf_counter`` as it starts.
    """

    node: CompiledNode
    run_index: int
    inputs: Sequence[Items]
    sources: Sources
    now: datetime
    counter: float


@dataclass(slots=True)
class Outcome:
    """How a node run ended. With an ``error`` and outputs, the node's ``on_error`` let it go on.

    ``waits`` says that some of its items wait, so that it has not ended yet. ``logical_time`` is the execution's
    own time after it.
    """

    outputs: Outputs
    logical_time: datetime
    error: ErrorRecord | None = None
    stops: bool = False
    waits: bool = False
