"""One run of one node as values: how it starts, and how it ended."""

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
    """The start of a node run: its items and their origins, and the time by the execution's own clock.

    ``counter`` is the reading of ``time.perf_counter`` at the start.
    """

    node: CompiledNode
    run_index: int
    inputs: Sequence[Items]
    sources: Sources
    now: datetime
    counter: float


@dataclass(slots=True)
class Outcome:
    """How a node run ended. With both ``error`` and outputs, the node's ``on_error`` let the items go on.

    ``stops``: the error ends the execution. ``waits``: items wait, so the run has not ended yet. ``logical_time`` is
    the execution's own time after the run.
    """

    outputs: Outputs
    logical_time: datetime
    error: ErrorRecord | None = None
    stops: bool = False
    waits: bool = False
