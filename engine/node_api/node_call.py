"""What a node sees of its run: items, parameters, ports, and what its items wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from engine.node_api.parameters import Parameters
from engine.node_api.ports import AiPorts, Step
from engine.node_api.progress import ProgressReporter
from workflow.actions import Actions
from workflow.chat import Asker
from workflow.executions import EffectKey, Execution, Resumption, Suspension
from workflow.items import Items
from workflow.ports import HttpClient

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
    def progress(self) -> ProgressReporter:
        """What tells whoever watches how far the node has come."""
        ...

    def respond(self, response: WebhookResponse) -> None:
        """Answer the webhook's caller; the first answer counts."""
        ...

    def effect_key(self, item_index: int) -> str:
        """The item's idempotency key: the same again when the effect is repeated."""
        ...

    async def start_child(
        self, item_index: int, workflow_id: str, data: Any, *, wait: bool, step: str = ""
    ) -> Execution:
        """The execution of another workflow for this item, as it is now: started if it is not there yet. ``step`` tells
        several of an item apart; with ``wait`` the child lets the item go on when it ends.

        Raises:
            JobsprintError: it cannot be started.
        """
        ...

    def done(self, item_index: int, step: str) -> Any:
        """What a step of the item's effect came to; ``None`` where it is not done."""
        ...

    async def once(self, item_index: int, step: Step, work: Callable[[], Awaitable[Any]]) -> Any:
        """What a step of the item's effect comes to, as JSON that is not null: done if it has not been, and on the
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
