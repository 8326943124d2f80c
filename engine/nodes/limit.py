"""Keeps the first or last few items."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import BatchNode, paired
from engine.node_api.parameters import Parameters
from workflow.definitions.catalogue import MAIN
from workflow.items import Outputs


class LimitParameters(Parameters):
    """How many items, and from which end."""

    max_items: int = Field(default=1, ge=1)
    keep: Literal["first", "last"] = "first"


class Limit(BatchNode[LimitParameters]):
    """Passes on at most max_items items."""

    name = "limit"
    title = "Limit"
    group = "data"
    keywords = ("top", "first", "last", "head", "tail", "take")
    example = {"max_items": 10}
    parameter_model = LimitParameters

    def run(self, call: NodeCall[LimitParameters]) -> Outputs:
        parameters, size = call.common, len(call.items)
        count = min(parameters.max_items, size)
        kept = range(count) if parameters.keep == "first" else range(size - count, size)
        return {MAIN: paired([call.items[index].json for index in kept], kept)}
