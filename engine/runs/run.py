"""The state of one execution while it runs: its node runs, and where each item came from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
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

MOST_TRACED = 250_000
"""Items that are looked at to find from which another one comes: as many as one request may bring. It takes 0.2 s."""
_ENOUGH = 2
"""Origins of an item that are distinguished: with two, ``.item`` is ambiguous."""
_NONE: frozenset[int] = frozenset()
_TOO_MANY = frozenset({-1})
"""In place of an item's origins: there are too many others on the way to them."""
_Place = tuple[ItemOrigin, int]
"""An item: the output that it left, and its index there."""


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
    _reached: set[int] | None = field(default=None, init=False)
    _jsons: dict[str, tuple[ItemOrigin, list[JsonObject]]] = field(default_factory=dict, init=False)

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

    def close(self) -> None:
        """Let go of whom it told of answers and records, and who holds it. Objects in a circle are freed by a full
        garbage collection only, and a run may hold very many items."""
        self.on_answer = None
        self.journal.close()

    def record(self, node_run: NodeRun) -> None:
        """Add a node run that has ended."""
        self.runs.setdefault(node_run.node, []).append(node_run)
        self.order.append(node_run)

    def leads_to(self, node: CompiledNode) -> bool:
        """Whether some way leads to the node from the execution's trigger."""
        if self._reached is None:
            nodes, edges = self.compiled.nodes, self.compiled.edges
            todo = [self.compiled.index_by_name[self.execution.start_node]]
            self._reached = set(todo)
            while todo:
                targets = {edges[edge].target for edge in nodes[todo.pop()].every_edge_out} - self._reached
                self._reached |= targets
                todo += targets
        return node.index in self._reached

    def jsons(self, origin: ItemOrigin) -> list[JsonObject]:
        """The JSON of what one run gave on one output; kept, since a loop asks for the same in each round."""
        kept = self._jsons.get(origin.node)
        if kept is None or kept[0] != origin:
            items = self.runs[origin.node][origin.run_index].outputs.get(origin.output, ())
            kept = self._jsons[origin.node] = (origin, [item.json for item in items])
        return kept[1]

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
            if len(node.outputs) > 1:
                ends = open_outputs(node)
            elif edges:
                continue
            else:
                ends = node.outputs
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


def _too_many(wanted: ItemOrigin) -> ExpressionError:
    return ExpressionError(
        f"An item comes from more than {MOST_TRACED} others, too many to find it in {wanted.node!r}.",
        code="multiple_matches",
        fix="Use .first(), .last() or .all()[index] instead of .item.",
    )


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
        wanted = ItemOrigin(name, len(runs) - 1, output)
        known: dict[_Place, frozenset[int]] = {}

        def paired_index(item_index: int) -> int:
            return self._paired_index(wanted, item_index, known)

        return NodeView(name=name, items=self.run.jsons(wanted), paired_index=paired_index)

    def _output_towards_here(self, name: str, node_run: NodeRun) -> str:
        """The output from which this run's items come, else the first one that has items."""
        for source in self.sources:
            found = self._origins(name, source) if source is not None else ()
            if found:
                return min(found).output
        return next((output for output, items in node_run.outputs.items() if items), "")

    def _origins(self, name: str, source: ItemOrigin) -> set[ItemOrigin]:
        """Every output of a run of ``name`` from which the first item of an input comes."""
        found: set[ItemOrigin] = set()
        seen = {(source, 0)}
        todo: list[_Place] = [(source, 0)]
        while todo and len(seen) <= MOST_TRACED:
            place = todo.pop()
            if place[0].node == name:
                found.add(place[0])
                continue
            for behind in self._behind(place):
                if behind not in seen:
                    seen.add(behind)
                    todo.append(behind)
        return found

    def _paired_index(self, wanted: ItemOrigin, item_index: int, known: dict[_Place, frozenset[int]]) -> int:
        source = self.sources[0] if self.sources else None
        found = self._indexes(wanted, (source, item_index), known) if source is not None else _NONE
        if len(found) == 1:
            return next(iter(found))
        if found:
            raise ExpressionError(
                f"Item {item_index} comes from several items of {wanted.node!r}, so .item is ambiguous.",
                code="multiple_matches",
                fix="Use .first(), .last() or .all()[index] instead of .item.",
            )
        raise ExpressionError(
            f"Item {item_index} does not come from an item of {wanted.node!r}, so .item is not known.",
            code="pairing_unavailable",
            fix="Use .first(), .last() or .all()[index] instead of .item.",
        )

    def _indexes(self, wanted: ItemOrigin, place: _Place, known: dict[_Place, frozenset[int]]) -> frozenset[int]:
        """The items of ``wanted`` from which the item comes; of several, two: they tell enough.

        ``known`` has what was found for other items, so that all items of a run cost no more than their pairs.
        """
        found = _NONE
        way: list[tuple[_Place, Iterator[_Place], set[int]]] = []
        opened = 0
        while True:
            if place in known:
                found = known[place]
                if found is _TOO_MANY:
                    raise _too_many(wanted)
            elif place[0].node == wanted.node:
                found = known[place] = frozenset({place[1]}) if place[0] == wanted else _NONE
            elif opened > MOST_TRACED:
                known[way[0][0]] = _TOO_MANY
                raise _too_many(wanted)
            else:
                opened += 1
                way.append((place, self._behind(place), set()))
                found = _NONE
            while way:
                here, behind, gathered = way[-1]
                gathered |= found
                after = next(behind, None) if len(gathered) < _ENOUGH else None
                if after is not None:
                    place = after
                    break
                way.pop()
                found = known[here] = frozenset(gathered)
            else:
                return found

    def _behind(self, place: _Place) -> Iterator[_Place]:
        """The items from which the item at ``place`` was made."""
        source, index = place
        node_run = self.run.runs[source.node][source.run_index]
        items = node_run.outputs[source.output]
        if index < len(items):
            for pair in items[index].paired:
                before = node_run.sources[pair.input]
                if before is not None:
                    yield before, pair.item
