"""Runs one node type without a server, database or network, for the tests of packages that bring node types.

Parameters are given as values: expressions are the engine's part. A failure or a wait of an item is raised as the node
raises it; retries, ``on_error`` and the journal are the engine's part too.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from engine.node_api.node_call import WebhookResponse
from engine.node_api.node_type import AsyncNode, BatchNode, EffectNode, ItemNode, NodeType
from engine.node_api.parameters import Parameters
from engine.node_api.ports import Step
from workflow.errors import OutboundError
from workflow.executions import EffectKey, Resumption, Suspension
from workflow.items import Item, Items, JsonObject, Outputs, from_item
from workflow.ports import HttpRequest, HttpResponse

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""The time of a run, unless a test gives another."""

ParametersOf = Callable[[JsonObject], Mapping[str, Any]]


class ScriptedHttp:
    """An HTTP client that gives the answers in their order, and keeps the requests in ``sent``.

    An answer that is an :class:`~workflow.errors.OutboundError` is raised.
    """

    def __init__(self, *answers: HttpResponse | OutboundError) -> None:
        self.sent: list[HttpRequest] = []
        self._answers = list(answers)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Keep the request and give the next answer.

        Raises:
            OutboundError: that is the next answer.
            AssertionError: no answer is left.
        """
        self.sent.append(request)
        if not self._answers:
            raise AssertionError(f"no answer is left for {request.method} {request.url}")
        answer = self._answers.pop(0)
        if isinstance(answer, OutboundError):
            raise answer
        return answer


def json_response(data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A response with this JSON; names of headers in lower case."""
    return HttpResponse(
        status=status,
        headers={"content-type": "application/json", **(headers or {})},
        body=json.dumps(data).encode(),
        url="https://example.com/",
    )


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeTestRun:
    """What a run gave: the items per output, the answer to the webhook, the progress notes, results of steps."""

    outputs: Outputs
    response: WebhookResponse | None
    notes: Sequence[str]
    steps: Mapping[tuple[int, str], Any]

    def json(self, output: str = "main") -> list[JsonObject]:
        """The JSON of an output's items."""
        return [item.json for item in self.outputs.get(output, [])]


async def run_node(
    kind: NodeType[Any],
    parameters: Mapping[str, Any] | ParametersOf,
    items: Sequence[JsonObject] = ({},),
    *,
    http: ScriptedHttp | None = None,
    resumptions: Mapping[int, Any] | None = None,
    steps: Mapping[tuple[int, str], Any] | None = None,
    now: datetime = NOON,
) -> NodeTestRun:
    """Run ``kind`` over the items, which all come in by the first input.

    ``parameters`` are the same for all items, or a function of an item's JSON. ``resumptions`` has the data with which
    items go on that have waited, by index; ``steps`` what an earlier run gave, to run again as after a crash.

    Raises:
        NodeError: an item or the node failed, or a parameter does not fit (code ``bad_parameter``).
        SuspendError: an item waits.
    """
    of_item: ParametersOf = parameters if callable(parameters) else lambda item: parameters
    taken = [Item(each, from_item(index)) for index, each in enumerate(items)]
    call = _TestCall(
        kind=kind,
        of_item=of_item,
        items=taken,
        now=now,
        http=http if http is not None else ScriptedHttp(),
        resumed=dict(resumptions or {}),
        steps=dict(steps or {}),
    )
    outputs = await _outputs(kind, call, kind.outputs_of(of_item(items[0] if items else {})))
    return NodeTestRun(outputs=outputs, response=call.response, notes=call.progress.notes, steps=call.steps)


async def _outputs(kind: NodeType[Any], call: _TestCall, names: Sequence[str]) -> Outputs:
    if isinstance(kind, BatchNode):
        return kind.run(call)
    if isinstance(kind, AsyncNode):
        return await kind.run(call)
    outputs: Outputs = {}
    for index, item in enumerate(call.items):
        if isinstance(kind, ItemNode):
            emission = kind.run_item(item, call.parameters(index), call)
        elif isinstance(kind, EffectNode):
            emission = kind.emission(await kind.run_item(index, item, call.parameters(index), call), names)
        else:
            raise TypeError(f"{kind!r} is none of ItemNode, BatchNode, AsyncNode and EffectNode")
        if emission is not None:
            outputs.setdefault(emission.output, []).append(Item(emission.json, from_item(index)))
    return outputs


@dataclass(slots=True)
class _KeptNotes:
    """Progress that keeps every note."""

    is_followed: bool = True
    notes: list[str] = field(default_factory=list)

    def report(self, note: str) -> None:
        self.notes.append(note)


@dataclass(slots=True, kw_only=True)
class _TestCall:
    """Implements :class:`~engine.node_api.node_call.NodeCall` for a test, as far as it needs no engine."""

    kind: NodeType[Any]
    of_item: ParametersOf
    items: Items
    now: datetime
    http: ScriptedHttp
    resumed: dict[int, Any]
    steps: dict[tuple[int, str], Any]
    node: str = "node"
    owner: str = "workspace"
    response: WebhookResponse | None = None
    progress: _KeptNotes = field(default_factory=_KeptNotes)

    @property
    def inputs(self) -> Sequence[Items]:
        return [self.items]

    @property
    def raw(self) -> Mapping[str, Any]:
        return self.of_item(self.items[0].json if self.items else {})

    @property
    def common(self) -> Any:
        return self.parameters(0)

    def parameters(self, item_index: int) -> Parameters:
        found: Parameters = self.kind.schema.build(self.of_item(self.items[item_index].json), item_index=item_index)
        return found

    def respond(self, response: WebhookResponse) -> None:
        self.response = self.response or response

    def effect_key(self, item_index: int) -> str:
        return f"execution:{self.node}:0:{item_index}"

    def item_key(self, item_index: int) -> EffectKey:
        return EffectKey(self.node, 0, item_index)

    def done(self, item_index: int, step: str) -> Any:
        return self.steps.get((item_index, step))

    async def once(self, item_index: int, step: Step, work: Callable[[], Awaitable[Any]]) -> Any:
        key = (item_index, step.name)
        if key not in self.steps:
            self.steps[key] = await work()
        return self.steps[key]

    def resumption(self, item_index: int) -> Resumption | None:
        if item_index not in self.resumed:
            return None
        return Resumption(key=self.item_key(item_index), at=self.now, by="test", data=self.resumed[item_index])

    def suspension(self, item_index: int) -> Suspension | None:
        return (
            Suspension(key=self.item_key(item_index), at=self.now, kind="call") if item_index in self.resumed else None
        )

    def resume_url(self, item_index: int | None = None) -> str:
        return "https://jobsprint.example.com/resume/execution"

    @property
    def ai(self) -> NoReturn:
        raise _absent("models")

    @property
    def actions(self) -> NoReturn:
        raise _absent("actions of connections")

    @property
    def asker(self) -> NoReturn:
        raise _absent("models")

    async def start_child(self, *given: Any, **more: Any) -> NoReturn:
        raise _absent("other workflows")

    async def run_script(self, *given: Any, **more: Any) -> NoReturn:
        raise _absent("sandbox for JavaScript")


def _absent(what: str) -> NotImplementedError:
    return NotImplementedError(f"The test kit has no {what}; test this in a workflow on a running server.")
