"""What a node type is: the interface that every file in ``engine/nodes`` implements.

Four ways to be one, by what the work needs:

* :class:`ItemNode` — one item in, at most one item out, nothing leaves the process;
* :class:`BatchNode` — all items at once, nothing leaves the process;
* :class:`AsyncNode` — the same, in a sandbox of its own;
* :class:`EffectNode` — waits for the world outside through a port.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from engine.node_api.item_loops import LoopCode
from engine.node_api.parameters import ParameterModel
from engine.node_api.ports import AiPorts, ChildRunner, Part
from engine.node_api.progress import Teller
from workflow.actions import Actions
from workflow.chat import Asker
from workflow.definitions.catalogue import MAIN, ParameterProblem
from workflow.errors import NodeError
from workflow.executions import EffectKey, Resumption, Suspension, SuspensionKind
from workflow.items import Item, Items, JsonObject, Outputs, pairs_of
from workflow.ports import HttpClient


class Parameters(BaseModel):
    """Root of all parameter models: unknown fields are errors, and values never change.

    ``trusts_free_values`` says that its validators ask nothing of what stands in places of type ``Any``, so that an
    expression's value can be put there unchecked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    trusts_free_values: ClassVar[bool] = False


class NoParameters(Parameters):
    """The node needs no parameters."""


P = TypeVar("P", bound=Parameters)
P_co = TypeVar("P_co", bound=Parameters, covariant=True)


@dataclass(slots=True, frozen=True, kw_only=True)
class WebhookResponse:
    """What a ``respond`` node answers. ``body`` is JSON, or text where the headers say so."""

    status: int
    headers: Mapping[str, str]
    body: Any


class NodeCall(Protocol[P_co]):
    """One run of one node: what it works on and what it may use. Nodes do not change it."""

    @property
    def node(self) -> str:
        """The node's name."""
        ...

    @property
    def owner(self) -> str:
        """The workspace whose run it is; credentials are looked up there."""
        ...

    @property
    def inputs(self) -> Sequence[Items]:
        """The items per input, in the order of the type's inputs."""
        ...

    @property
    def items(self) -> Items:
        """The items of the first input."""
        ...

    @property
    def now(self) -> datetime:
        """The execution's own time at the start of this run."""
        ...

    @property
    def http(self) -> HttpClient:
        """How requests leave the process."""
        ...

    @property
    def children(self) -> ChildRunner:
        """What starts other workflows."""
        ...

    @property
    def ai(self) -> AiPorts:
        """Models, prompt templates, memory, vectors."""
        ...

    @property
    def actions(self) -> Actions:
        """What has actions of connections done."""
        ...

    @property
    def asker(self) -> Asker:
        """For whom models are asked."""
        ...

    @property
    def raw(self) -> Mapping[str, Any]:
        """The parameters as the definition writes them, expressions and all."""
        ...

    @property
    def common(self) -> P_co:
        """The parameters of a node that has one set for all items: those of the first item."""
        ...

    def parameters(self, item_index: int) -> P_co:
        """The parameters with every expression evaluated for this item of the first input, made anew at each call.

        Raises:
            ExpressionError: an expression failed for the item.
            NodeError: a value does not fit, code ``bad_parameter``.
        """
        ...

    @property
    def teller(self) -> Teller:
        """What tells whoever watches how far the node has come."""
        ...

    def respond(self, response: WebhookResponse) -> None:
        """Answer the webhook's caller; the first answer counts."""
        ...

    def effect_key(self, item_index: int) -> str:
        """The item's idempotency key: the same again when the effect is repeated."""
        ...

    def done(self, item_index: int, part: str) -> Any:
        """What a part of the item's effect came to; ``None`` where it is not done."""
        ...

    async def once(self, item_index: int, part: Part, work: Callable[[], Awaitable[Any]]) -> Any:
        """What a part of the item's effect comes to, as JSON that is not null: done if it has not been, and on the
        disk before this returns.

        Raises:
            Exception: the work failed.
        """
        ...

    def item_key(self, item_index: int) -> EffectKey:
        """The item's place in the journal."""
        ...

    def resumption(self, item_index: int) -> Resumption | None:
        """Why the item goes on after it waited."""
        ...

    def suspension(self, item_index: int) -> Suspension | None:
        """What the item waits for, or waited for last."""
        ...

    def resume_url(self) -> str | None:
        """Where somebody outside can let it go on; ``None`` where nothing listens."""
        ...

    async def run_script(self, source: str, each: bool) -> Sequence[Any]:
        """What JavaScript gives for all items, or for each.

        Raises:
            ExpressionError: it failed or overran a limit.
        """
        ...


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
