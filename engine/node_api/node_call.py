"""What a node sees of its run: items, parameters, ports, and what its items wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from engine.node_api.parameters import Parameters
from engine.node_api.ports import AiPorts, Step
from engine.node_api.progress import Progress
from workflow.actions import Actions
from workflow.chat import Asker
from workflow.executions import EffectKey, Execution, Resumption, Suspension
from workflow.items import Items
from workflow.ports import HttpClient

P_co = TypeVar("P_co", bound=Parameters, covariant=True)


@dataclass(slots=True, frozen=True, kw_only=True)
class WebhookResponse:
    """The response to the webhook request that started the execution. ``body`` is JSON, or text with a content type."""

    status: int
    headers: Mapping[str, str]
    body: Any


class NodeCall(Protocol[P_co]):
    """One run of one node: its items and parameters, and the ports that it may use. Nodes do not change it."""

    @property
    def node(self) -> str:
        """The node's name."""
        ...

    @property
    def owner(self) -> str:
        """The workspace of the execution; credentials are looked up in it."""
        ...

    @property
    def inputs(self) -> Sequence[Items]:
        """The items of each input, in the order of the type's inputs."""
        ...

    @property
    def items(self) -> Items:
        """The items of the first input."""
        ...

    @property
    def now(self) -> datetime:
        """When this run started, in UTC, by the execution's own clock."""
        ...

    @property
    def http(self) -> HttpClient:
        """Sends HTTP requests, to allowed addresses only."""
        ...

    @property
    def ai(self) -> AiPorts:
        """Models, prompt templates, memory, vectors."""
        ...

    @property
    def actions(self) -> Actions:
        """Runs actions of connections."""
        ...

    @property
    def asker(self) -> Asker:
        """The user, workflow and execution that a model's usage is counted for."""
        ...

    @property
    def raw(self) -> Mapping[str, Any]:
        """The parameters as the definition writes them, with their expressions."""
        ...

    @property
    def common(self) -> P_co:
        """The parameters of the first item, for nodes that use one set for all items."""
        ...

    def parameters(self, item_index: int) -> P_co:
        """The parameters with every expression evaluated for this item of the first input; a new object at each call.

        Raises:
            ExpressionError: an expression failed for the item.
            NodeError: a value does not fit, code ``bad_parameter``.
        """
        ...

    @property
    def progress(self) -> Progress:
        """Reports how far the node has come, to clients that follow the execution."""
        ...

    def respond(self, response: WebhookResponse) -> None:
        """Answer the webhook request; only the first answer of an execution is sent."""
        ...

    def effect_key(self, item_index: int) -> str:
        """The item's idempotency key, the same when the effect is repeated. Send it to the other system."""
        ...

    async def start_child(
        self, item_index: int, workflow_id: str, data: Any, *, wait: bool, step: str = ""
    ) -> Execution:
        """Start another workflow for this item, unless that was done before; the child execution as it is now.

        ``step`` names the child among several of one item; with ``wait`` the child's end resumes the item.

        Raises:
            JobsprintError: it cannot be started.
        """
        ...

    def done(self, item_index: int, step: str) -> Any:
        """The result of a step of the item's effect; ``None`` where the step is not done."""
        ...

    async def once(self, item_index: int, step: Step, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do a step of the item's effect unless it is done; its result, JSON that is not null.

        The result is on the disk before this returns, so that a repetition of the effect does not repeat the step.

        Raises:
            Exception: the work failed.
        """
        ...

    def item_key(self, item_index: int) -> EffectKey:
        """The item's key in the journal."""
        ...

    def resumption(self, item_index: int) -> Resumption | None:
        """Why the item goes on; ``None`` where it has not waited, or still waits."""
        ...

    def suspension(self, item_index: int) -> Suspension | None:
        """What the item waits for, or waited for last; ``None`` where it never waited."""
        ...

    def resume_url(self, item_index: int | None = None) -> str | None:
        """The link with which a person or system answers what this item is about to wait for, once; without an item
        what the execution asks next at this node or behind it. ``None`` where the process serves no HTTP."""
        ...

    async def run_script(self, source: str, each: bool) -> Sequence[Any]:
        """Run JavaScript in the sandbox, once for all items or once for ``each``.

        It returns values with the items that they come from (:class:`~engine.expressions.answers.ScriptResult`), or
        with ``each`` the :class:`~workflow.errors.ExpressionError` of an item for which it failed.

        Raises:
            ExpressionError: it failed or exceeded a limit.
        """
        ...
