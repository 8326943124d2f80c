"""The state of one execution while it runs: its node runs, and where each item came from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from engine.definitions.compiled import CompiledNode, CompiledWorkflow
from engine.expressions.scope import NodeView
from engine.node_api.node_call import WebhookResponse
from engine.node_api.node_traits import DropsItems
from engine.runs.journal import Journal
from workflow.definitions.catalogue import MAIN
from workflow.definitions.definition import ERROR_OUTPUT
from workflow.errors import ExpressionError
from workflow.executions import EffectKey, ErrorRecord, Execution, NodeRun, Suspension
from workflow.findings import did_you_mean, listed, nearest
from workflow.items import ItemOrigin, JsonObject

Sources = tuple[ItemOrigin | None, ...]


@dataclass(slots=True, frozen=True, kw_only=True)
class PlannedEffect:
    """An effect that would happen: its parameters, or in ``unknown`` why they cannot be known yet.

    ``is_repeatable``: it may happen twice without harm. ``more`` is what its node type adds.
    """

    node: str
    type: str
    item_index: int
    parameters: JsonObject | None
    unknown: str | None = None
    is_repeatable: bool = False
    more: JsonObject = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """The effect as it is shown."""
        shown: JsonObject = {"node": self.node, "type": self.type, "item_index": self.item_index}
        if self.parameters is not None:
            shown |= {"parameters": self.parameters, "repeatable": self.is_repeatable, **self.more}
        if self.unknown is not None:
            shown["unknown"] = self.unknown
        return shown


@dataclass(slots=True, kw_only=True)
class Run:
    """One execution while it runs. Only its executor changes it; everything else may read it.

    ``runs`` has the node runs by node, in order of their run index; ``order`` all of them in the order of their end.
    ``running`` has the nodes at work, ``waiting`` the items that wait, ``retrying`` by node why it tries again,
    ``planned`` the effects that a dry run found.
    """

    execution: Execution
    compiled: CompiledWorkflow
    runs: dict[str, list[NodeRun]] = field(default_factory=dict)
    order: list[NodeRun] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    waiting: dict[EffectKey, Suspension] = field(default_factory=dict)
    retrying: dict[str, str] = field(default_factory=dict)
    planned: list[PlannedEffect] = field(default_factory=list)
    journal: Journal
    response: WebhookResponse | None = None
    error: ErrorRecord | None = None
    on_answer: Callable[[WebhookResponse], None] | None = None
    clock_offset: tuple[datetime, float] = field(kw_only=True)

    @property
    def wake_at(self) -> datetime | None:
        """When the first timer of the waiting items is due."""
        return min((each.wake_at for each in self.waiting.values() if each.wake_at is not None), default=None)

    def moment(self, counter: float) -> datetime:
        """The date and time at a reading of ``time.perf_counter``."""
        at, reading = self.clock_offset
        return at + timedelta(seconds=counter - reading)

    def answer(self, response: WebhookResponse) -> None:
        """Answer the webhook request; only the first answer is sent."""
        if self.response is None:
            self.response = response
            if self.on_answer is not None:
                self.on_answer(response)

    def record(self, node_run: NodeRun) -> None:
        """Add a node run that has ended."""
        self.runs.setdefault(node_run.node, []).append(node_run)
        self.order.append(node_run)

    def output(self) -> dict[str, Any]:
        """The execution's output: the items that went out where no edge leads on, and the answer to the webhook.

        ``items`` has them by the node's name. Where a node has several such outputs, each has a key of its own,
        ``node.output``; the output ``error`` always has. Of a node with edges out, outputs without items are left out.
        """
        found: dict[str, list[JsonObject]] = {}
        for node in self.compiled.nodes:
            runs = self.runs.get(node.name)
            if runs is None:
                continue
            edges = node.edges_out
            is_end = not edges or node.type.loop_output is not None
            ends = open_outputs(node) if len(node.outputs) > 1 else () if edges else node.outputs
            for output in ends:
                items = [item.json for run in runs for item in run.outputs.get(output, ())]
                if items or is_end:
                    found[self._key(node, output, len(ends))] = items
        shown: dict[str, Any] = {"items": found}
        if self.response is not None:
            shown["response"] = {
                "status": self.response.status,
                "headers": dict(self.response.headers),
                "body": self.response.body,
            }
        return shown

    def _key(self, node: CompiledNode, output: str, count: int) -> str:
        if output == MAIN or (count == 1 and output != ERROR_OUTPUT):
            return node.name
        key = f"{node.name}.{output}"
        return key if key not in self.compiled.index_by_name else f'{node.name}."{output}"'


def open_outputs(node: CompiledNode) -> Sequence[str]:
    """The outputs of a node from which no edge leads on, without those to which it sends what it drops."""
    dropped = node.type.dropped_outputs if isinstance(node.type, DropsItems) else ()
    return [output for output in node.outputs if output not in node.edges_out and output not in dropped]


@dataclass(slots=True, frozen=True)
class Ancestry:
    """The other nodes as one node run sees them: their latest items, and from which of those its own items come."""

    run: Run
    sources: Sources

    @property
    def names(self) -> Collection[str]:
        """Names of the nodes that have run."""
        return self.run.runs.keys()

    def view(self, name: str) -> NodeView:
        """The node as ``$('name')`` shows it.

        Raises:
            ExpressionError: there is no such node (``unknown_node``), or it has not run (``node_has_not_run``).
        """
        if name not in self.run.compiled.index_by_name:
            near = nearest(name, self.run.compiled.index_by_name)
            raise ExpressionError(
                f"There is no node {name!r}.{did_you_mean(near)}",
                code="unknown_node",
                fix=f"The nodes are: {listed(self.run.compiled.index_by_name)}.",
            )
        runs = self.run.runs.get(name)
        if not runs:
            raise ExpressionError(
                f"Node {name!r} has not run before this one.",
                code="node_has_not_run",
                fix="Connect it so that it runs first, or read it only where it did: $('…').isExecuted.",
            )
        output = self._output_towards_here(name, runs[-1])
        items: list[JsonObject] = [item.json for item in runs[-1].outputs.get(output, ())]

        def paired_index(item_index: int) -> int:
            return self._paired_index(name, len(runs) - 1, output, item_index)

        return NodeView(name=name, items=items, paired_index=paired_index)

    def _output_towards_here(self, name: str, node_run: NodeRun) -> str:
        """The output from which this run's items come, else the first one that has items."""
        for place in range(len(self.sources)):
            found = self._trace(name, place, 0)
            if found:
                return min(found)[1]
        return next((output for output, items in node_run.outputs.items() if items), "")

    def _paired_index(self, name: str, run_index: int, output: str, item_index: int) -> int:
        found = {
            index
            for found_run, found_output, index in self._trace(name, 0, item_index)
            if found_run == run_index and found_output == output
        }
        if len(found) == 1:
            return found.pop()
        if found:
            raise ExpressionError(
                f"Item {item_index} comes from {len(found)} items of {name!r}, so .item is ambiguous.",
                code="multiple_matches",
                fix="Use .first(), .last() or .all()[index] instead of .item.",
            )
        raise ExpressionError(
            f"Item {item_index} does not come from an item of {name!r}, so .item is not known.",
            code="pairing_unavailable",
            fix="Use .first(), .last() or .all()[index] instead of .item.",
        )

    def _trace(self, name: str, place: int, item_index: int) -> set[tuple[int, str, int]]:
        """Every (run index, output, item index) of ``name`` from which item ``item_index`` of input ``place`` comes."""
        found: set[tuple[int, str, int]] = set()
        seen: set[tuple[ItemOrigin, int]] = set()
        open_ends: list[tuple[ItemOrigin | None, int]] = [
            (self.sources[place] if place < len(self.sources) else None, item_index)
        ]
        while open_ends:
            source, index = open_ends.pop()
            if source is None or (source, index) in seen:
                continue
            seen.add((source, index))
            if source.node == name:
                found.add((source.run_index, source.output, index))
                continue
            node_run = self.run.runs[source.node][source.run_index]
            items = node_run.outputs[source.output]
            if index < len(items):
                open_ends += [(node_run.sources[pair.input], pair.item) for pair in items[index].paired]
        return found
