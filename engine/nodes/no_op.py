"""Does nothing."""

from __future__ import annotations

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import BatchNode, NoParameters, paired
from workflow.definitions.catalogue import MAIN
from workflow.items import Outputs


class NoOp(BatchNode[NoParameters]):
    """Passes its items on unchanged; it marks a place in the workflow."""

    name = "no_op"
    title = "No operation"
    group = "flow"
    keywords = ("pass", "nothing", "placeholder")
    parameter_model = NoParameters

    def run(self, call: NodeCall[NoParameters]) -> Outputs:
        return {MAIN: paired([item.json for item in call.items], range(len(call.items)))}
