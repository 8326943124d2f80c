"""Sends items through a part of the workflow, batch after batch."""

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
    """The size of a batch."""

    batch_size: int = Field(default=1, ge=1, le=1_000_000, description="A number, not an expression.")


class Loop(BatchNode[LoopParameters]):
    """Sends its items to the output batch, batch_size at a time; the items that come back are the results.

    Connect batch to the first node of the loop's body, and the last one back to the loop. After the last batch all
    results go to the output done. A batch from which no item comes back adds no results.
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
            message = "batch_size must be a number, not an expression."
            fix = "Write the number itself."
            return [ParameterProblem(code="bad_parameter", path=("batch_size",), message=message, fix=fix)]
        return super().problems_of(parameters)

    def run(self, call: NodeCall[LoopParameters]) -> Outputs:
        """Pass all items on to done. Only for a loop that no edge leads back to; the executor runs all others."""
        return {DONE: paired([item.json for item in call.items], range(len(call.items)))}
