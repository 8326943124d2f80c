"""What a node type is: the interface that every file in ``engine/nodes`` implements.

A node type is of one of four kinds, by what its work needs:

* :class:`ItemNode`: one item in, at most one item out; nothing leaves the process;
* :class:`BatchNode`: all items at once; nothing leaves the process;
* :class:`AsyncNode`: all items at once, and the work takes time; nothing leaves the process;
* :class:`EffectNode`: each item does something outside the process, through a port of the call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from engine.expressions.template import is_template
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

_CREDENTIAL = "credential"
"""The parameter that names a credential, in every type that uses one."""


class Emission(NamedTuple):
    """One item that a node sends on: the output, and the item's JSON."""

    output: str
    json: JsonObject


class NodeType(ABC, Generic[P]):
    """A type of node. An instance holds no state: the same one runs every node of its type.

    The class docstring is the documentation that ``find_nodes`` shows, its first line the summary. ``name`` is what
    definitions write as ``type``; ``example`` is a complete parameter object without errors. A parameter
    ``credential`` names a credential of the workspace, and no expression may choose it. ``unfit_for_try`` says why a
    node of the type cannot run in an execution that is not stored, where it cannot.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    group: ClassVar[str]
    keywords: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[Mapping[str, Any]] = {}
    is_trigger: ClassVar[bool] = False
    is_scheduled: ClassVar[bool] = False
    is_fork: ClassVar[bool] = False
    loop_output: ClassVar[str | None] = None
    has_effect: ClassVar[bool] = False
    waits_for_all_inputs: ClassVar[bool] = False
    is_mocked_in_tests: ClassVar[bool] = True
    unfit_for_try: ClassVar[str | None] = None
    parameter_model: type[P]

    def __init__(self) -> None:
        self.schema = ParameterModel(self.parameter_model)

    @property
    def summary(self) -> str:
        """The first line of the documentation."""
        return self.documentation.partition("\n")[0]

    @property
    def documentation(self) -> str:
        """The class docstring, dedented."""
        lines = (type(self).__doc__ or "").strip().splitlines()
        return "\n".join([lines[0], *(line.removeprefix("    ") for line in lines[1:])]) if lines else ""

    def inputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        """Names of the inputs, the default one first; none for triggers. The parameters may be wrong."""
        del parameters
        return () if self.is_trigger else (MAIN,)

    def outputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        """Names of the outputs, the default one first. The parameters may be wrong."""
        del parameters
        return (MAIN,)

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        """Everything wrong with the parameters as they are written; values of expressions are checked when it runs."""
        found = self.schema.problems(parameters)
        if self._names_credential and is_template(parameters.get(_CREDENTIAL)):
            # Items come from outside: an expression would let their sender choose which secret is used.
            found.append(
                ParameterProblem(
                    code="bad_parameter",
                    path=(_CREDENTIAL,),
                    message="A credential is named as it is, not by an expression.",
                    fix="Write the credential's name; for several credentials, use a node for each behind a switch.",
                )
            )
        return found

    def outside_source(self, parameters: Mapping[str, Any]) -> str | None:
        """The source outside from which such a node brings texts, in a few words; ``None`` where it brings none.

        Items of the node, and of the nodes behind it, are shown to agents with this mark.
        """
        del parameters
        return None

    def mock(self, item: JsonObject, parameters: Mapping[str, Any], outputs: Sequence[str]) -> Emission:
        """The item in place of a run's result where no effect may happen (tests, plans)."""
        del parameters
        return Emission(outputs[0], {**item, "mocked": self.name})

    def webhook_path_of(self, parameters: Mapping[str, Any]) -> str | None:
        """The webhook path that the node listens on; only the webhook trigger has one."""
        del parameters
        return None

    def credential_of(self, parameters: Mapping[str, Any]) -> str | None:
        """The credential that the parameter ``credential`` names; ``None`` where it names none."""
        named = parameters.get(_CREDENTIAL) if self._names_credential else None
        return named if isinstance(named, str) else None

    @property
    def _names_credential(self) -> bool:
        return _CREDENTIAL in self.parameter_model.model_fields


class ItemNode(NodeType[P]):
    """Looks at one item at a time. The executor loops over the items, sets their origin and handles failures."""

    @abstractmethod
    def run_item(self, item: Item, parameters: P, call: NodeCall[P]) -> Emission | None:
        """The item to send on, and the output; ``None`` drops the item.

        Raises:
            NodeError: this item failed.
        """

    def write_loop(self, raw: Mapping[str, Any], code: LoopCode) -> bool:
        """Write what :meth:`run_item` does as source, for the parameters as written; false where that cannot be done.

        The source must do the same as :meth:`run_item`, or raise: then :meth:`run_item` runs in its place.
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
    """Looks at all items at once, and its work takes time. It has no effect outside: run again, it gives the same."""

    @abstractmethod
    async def run(self, call: NodeCall[P]) -> Outputs:
        """The items per output.

        Raises:
            NodeError, ExpressionError: the node as a whole failed.
        """


class SuspendError(Exception):
    """Raised by an :class:`EffectNode`: the item waits, on the disk, and uses no memory until it is resumed.

    Then the node is called again for the item, and ``call.resumption`` says why. At ``wake_at``, or after
    ``recheck_seconds``, it is called in any case. ``details`` are shown to people and clients.
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
    """Does something outside the process for each item, for ``concurrency`` items at once.

    A result is on the disk before the item goes on. After a crash an item without a result runs again, with the same
    ``call.effect_key``.
    """

    has_effect = True

    def is_repeatable(self, parameters: P) -> bool:
        """Whether the effect with these parameters may happen twice without harm, as a GET request may."""
        del parameters
        return False

    def target(self, parameters: P) -> str | None:
        """Where the effect goes, for the audit log, without secrets; ``None`` where it stays in the process."""
        del parameters
        return None

    def sent(self, parameters: P) -> str | None:
        """What is sent where, in a few words without secrets, for those who look at a run; default: the target."""
        return self.target(parameters)

    def pauses_seconds(self, parameters: P) -> Sequence[float]:
        """Seconds that an item waits, on the disk, before each further round of attempts; none: it fails after one."""
        del parameters
        return ()

    async def foreseen(self, index: int, parameters: P, call: NodeCall[P]) -> JsonObject:
        """What an execution plan shows of the effect besides its parameters. It must not reach outside.

        Raises:
            JobsprintError: it cannot be known.
        """
        del index, parameters, call
        return {}

    def emission(self, result: JsonObject, outputs: Sequence[str]) -> Emission:
        """The output that gets an item's result; by default the first one."""
        return Emission(outputs[0], result)

    @abstractmethod
    async def run_item(self, index: int, item: Item, parameters: P, call: NodeCall[P]) -> JsonObject:
        """The JSON that the item becomes.

        Raises:
            NodeError: this item failed; it is tried again where the error is ``transient``.
            SuspendError: this item waits.
        """

    def concurrency(self, parameters: P) -> int:
        """How many items may be at work at once."""
        del parameters
        return 1


class TriggerNode(BatchNode[P]):
    """Starts executions: its output is the execution's input."""

    is_trigger = True

    def run(self, call: NodeCall[P]) -> Outputs:
        return {MAIN: list(call.items)}


def paired(items: Sequence[JsonObject], sources: Sequence[int]) -> Items:
    """An item for each JSON object; ``sources`` are the indexes of the items of the first input that they came from."""
    pairs = pairs_of(max(sources, default=-1) + 1)
    return [Item(json, pairs[source]) for json, source in zip(items, sources, strict=True)]


def require(condition: bool, message: str, *, fix: str | None = None) -> None:
    """Raise a :class:`NodeError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise NodeError(message, fix=fix)
