"""Batch after batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import BatchNode, paired
from engine.node_api.parameters import Parameters
from workflow.definitions.catalogue import ParameterProblem
from workflow.items import Outputs

BATCH = "batch"
DONE = "done"


class LoopParameters(Parameters):
    """How many items go round together."""

    batch_size: int = Field(default=1, ge=1, le=1_000_000, description="A number, not an expression.")


class Loop(BatchNode[LoopParameters]):
    """Sends its items through the output batch, some at a time, and takes what comes back as their result.

    Connect batch to the first node of the loop's body, and the last one back to the loop. When every batch has
    been round, all that came back goes to the output done. A batch of which nothing comes back is skipped.
    """

    name = "loop"
    title = "Loop over batches"
    group = "flow"
    keywords = ("batch", "iterate", "repeat", "split in batches", "chunk", "for")
    example = {"batch_size": 10}
    loop_output = BATCH
    is_fork = True
    parameter_model = LoopParameters

    def outputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        return (BATCH, DONE)

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        if is_template(parameters.get("batch_size")):
            message = "batch_size must be a number; how a loop goes round is known before it runs."
            fix = "Write the number itself."
            return [ParameterProblem(code="bad_parameter", path=("batch_size",), message=message, fix=fix)]
        return super().problems_of(parameters)

    def run(self, call: NodeCall[LoopParameters]) -> Outputs:
        """Only where it is not connected back to itself: then everything is done at once."""
        return {DONE: paired([item.json for item in call.items], range(len(call.items)))}
