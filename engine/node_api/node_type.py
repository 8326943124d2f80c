"""What a node type is: the interface that every file in ``engine/nodes`` implements.

Four ways to be one, by what the work needs:

* :class:`ItemNode` — one item in, at most one item out, nothing leaves the process;
* :class:`BatchNode` — all items at once, nothing leaves the process;
* :class:`AsyncNode` — the same, in a sandbox of its own;
* :class:`EffectNode` — waits for the world outside through a port.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from engine.node_api.item_loops import LoopCode
from engine.node_api.node_call import NodeCall
from engine.node_api.parameters import ParameterModel, Parameters
from workflow.definitions.catalogue import MAIN, ParameterProblem
from workflow.errors import NodeError
from workflow.executions import SuspensionKind
from workflow.items import Item, Items, JsonObject, Outputs, pairs_of


class NoParameters(Parameters):
    """The node needs no parameters."""


P = TypeVar("P", bound=Parameters)


class Emission(NamedTuple):
    """One item's way out of an :class:`ItemNode`: which output, and its JSON."""

    output: str
    json: JsonObject


class NodeType(ABC, Generic[P]):
    """A type of node. Instances hold no state: one serves every node of its type.

    The class docstring is what ``find_nodes`` shows; ``example`` is a whole parameter object.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    group: ClassVar[str]
    keywords: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[Mapping[str, Any]] = {}
    is_trigger: ClassVar[bool] = False
    is_fork: ClassVar[bool] = False
    loop_output: ClassVar[str | None] = None
    has_effect: ClassVar[bool] = False
    waits_for_all_inputs: ClassVar[bool] = False
    is_mocked_in_tests: ClassVar[bool] = True
    parameter_model: type[P]

    def __init__(self) -> None:
        self.schema = ParameterModel(self.parameter_model)

    @property
    def summary(self) -> str:
        """The first sentence of the documentation."""
        return self.documentation.partition("\n")[0]

    @property
    def documentation(self) -> str:
        """The class docstring, dedented."""
        lines = (type(self).__doc__ or "").strip().splitlines()
        return "\n".join([lines[0], *(line.removeprefix("    ") for line in lines[1:])]) if lines else ""

    def inputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        """Names of the inputs; see :class:`workflow.definitions.catalogue.NodeSpec`."""
        del parameters
        return () if self.is_trigger else (MAIN,)

    def outputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        """Names of the outputs; see :class:`workflow.definitions.catalogue.NodeSpec`."""
        del parameters
        return (MAIN,)

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        """Everything wrong with the parameters; what an expression will fill in is not judged yet."""
        return self.schema.problems(parameters)

    def outside_source(self, parameters: Mapping[str, Any]) -> str | None:
        """Where texts come in from outside through such a node, in a few words; ``None`` where nothing does.

        Whoever shows its items, and those of the nodes behind it, marks them with this.
        """
        del parameters
        return None

    def mock(self, item: JsonObject, parameters: Mapping[str, Any], outputs: Sequence[str]) -> Emission:
        """What an item becomes where nothing may happen, from the parameters as they are written."""
        del parameters
        return Emission(outputs[0], {**item, "mocked": self.name})

    def webhook_path_of(self, parameters: Mapping[str, Any]) -> str | None:
        """The path that it listens on; only the webhook trigger has one."""
        del parameters
        return None

    def credential_of(self, parameters: Mapping[str, Any]) -> str | None:
        """The credential that it names in its parameter ``credential``; ``None`` where it names none."""
        del parameters
        return None


class ItemNode(NodeType[P]):
    """Looks at one item at a time. The executor loops, pairs, and deals with items that fail."""

    @abstractmethod
    def run_item(self, item: Item, parameters: P, call: NodeCall[P]) -> Emission | None:
        """Where the item goes and as what; ``None`` drops it.

        Raises:
            NodeError: this item failed.
        """

    def write_loop(self, raw: Mapping[str, Any], code: LoopCode) -> bool:
        """Write what :meth:`run_item` does as source, for parameters as they were written; false where it cannot.

        What it writes must either do the same or raise; then :meth:`run_item` decides.
        """
        del raw, code
        return False


class BatchNode(NodeType[P]):
    """Looks at all items at once."""

    @abstractmethod
    def run(self, call: NodeCall[P]) -> Outputs:
        """The items per output.

        Raises:
            NodeError: the node as a whole failed.
        """


class AsyncNode(NodeType[P]):
    """Looks at all items at once and takes its time, without reaching outside: run again, it gives the same."""

    @abstractmethod
    async def run(self, call: NodeCall[P]) -> Outputs:
        """The items per output.

        Raises:
            NodeError, ExpressionError: the node as a whole failed.
        """


class SuspendError(Exception):
    """Raised by an :class:`EffectNode`: the item waits, and costs nothing until it is resumed.

    The node is then called again for the item, and ``call.resumption`` says why. ``recheck_seconds`` has it called
    again in any case, for where the news that it waits for might be lost.
    """

    def __init__(
        self,
        kind: SuspensionKind,
        *,
        wake_at: datetime | None = None,
        recheck_seconds: float | None = None,
        details: JsonObject | None = None,
    ):
        super().__init__(kind)
        self.kind: SuspensionKind = kind
        self.wake_at = wake_at
        self.recheck_seconds = recheck_seconds
        self.details = details or {}


class EffectNode(NodeType[P]):
    """Waits for something outside the process, item by item, ``concurrency`` of them at once."""

    has_effect = True

    def is_repeatable(self, parameters: P) -> bool:
        """Whether doing it twice with these parameters does no harm by its nature."""
        del parameters
        return False

    def target(self, parameters: P) -> str | None:
        """Where the effect goes, for the audit log, without anything secret; ``None`` where it stays in the process."""
        del parameters
        return None

    def pauses_seconds(self, parameters: P) -> Sequence[float]:
        """How long an item waits, on the disk, before each new round of attempts after those of the first are spent."""
        del parameters
        return ()

    async def foreseen(self, index: int, parameters: P, call: NodeCall[P]) -> JsonObject:
        """What else a plan shows of the effect, found out without reaching outside.

        Raises:
            JobsprintError: it cannot be known.
        """
        del index, parameters, call
        return {}

    def emission(self, result: JsonObject, outputs: Sequence[str]) -> Emission:
        """Where an item's result goes: the first output, unless the type says otherwise."""
        return Emission(outputs[0], result)

    @abstractmethod
    async def run_item(self, index: int, item: Item, parameters: P, call: NodeCall[P]) -> JsonObject:
        """The result for one item.

        Raises:
            NodeError: this item failed.
            SuspendError: this item waits.
        """

    def concurrency(self, parameters: P) -> int:
        """How many items may be under way at once."""
        del parameters
        return 1


class TriggerNode(BatchNode[P]):
    """Where executions start: its output is the execution's input."""

    is_trigger = True

    def run(self, call: NodeCall[P]) -> Outputs:
        return {MAIN: list(call.items)}


def paired(items: Sequence[JsonObject], sources: Sequence[int]) -> Items:
    """Items that each came from one item of the first input."""
    pairs = pairs_of(max(sources, default=-1) + 1)
    return [Item(json, pairs[source]) for json, source in zip(items, sources, strict=True)]


def require(condition: bool, message: str, *, fix: str | None = None) -> None:
    """Fail the item or node with ``message`` unless ``condition`` holds."""
    if not condition:
        raise NodeError(message, fix=fix)
