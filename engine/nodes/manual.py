"""The trigger that people and agents start by hand."""

from __future__ import annotations

from engine.node_type import NoParameters, TriggerNode


class Manual(TriggerNode[NoParameters]):
    """Starts when somebody runs the workflow; its items are the run's input.

    An input object becomes one item; a list of objects becomes one item each.
    """

    name = "manual"
    title = "Run by hand"
    group = "trigger"
    keywords = ("start", "trigger", "input", "test")
    parameter_model = NoParameters
