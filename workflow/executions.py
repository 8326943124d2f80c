"""Executions as they are recorded, and the records of their journals: node runs, effects, suspensions, resumptions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from workflow.identity import Initiator
from workflow.items import ItemOrigin, JsonObject, Outputs
from workflow.states import ACTIVE_STATES, ExecutionEvent, ExecutionState, next_state

Trigger = Literal["manual", "webhook", "workflow", "schedule"]
Priority = Literal["low", "normal", "high"]
Mode = Literal["live", "test", "plan"]
NodeRunStatus = Literal["succeeded", "failed", "cancelled"]
SuspensionKind = Literal["timer", "call", "approval", "child", "decision", "model", "retry", "question"]


@dataclass(slots=True, frozen=True, kw_only=True)
class ErrorRecord:
    """A failure as it is kept and shown.

    ``node`` is where it happened, ``item_index`` on which input item, ``fix`` what to do about it.
    """

    code: str
    message: str
    node: str | None = None
    item_index: int | None = None
    pointer: str | None = None
    fix: str | None = None
    transient: bool = False

    def to_json(self) -> dict[str, Any]:
        """The members that say something."""
        shown: dict[str, Any] = {"code": self.code, "message": self.message}
        for name in ("node", "item_index", "pointer", "fix"):
            value = getattr(self, name)
            if value is not None:
                shown[name] = value
        if self.transient:
            shown["transient"] = True
        return shown


class RunKey(NamedTuple):
    """A node run: which node, and which of its runs."""

    node: str
    run_index: int


class EffectKey(NamedTuple):
    """One item's effect in a node run."""

    node: str
    run_index: int
    item_index: int


@dataclass(slots=True, frozen=True, kw_only=True)
class EffectResult:
    """What an effect came to: ``result``, or ``error`` where it failed for good. ``at`` is when, in UTC. ``sent`` says
    in a few words, without secrets, what was sent, where the effect reaches outside."""

    key: EffectKey
    at: datetime
    attempts: int = 1
    result: JsonObject | None = None
    error: ErrorRecord | None = None
    sent: str | None = None


@dataclass(slots=True, kw_only=True)
class NodeRun:
    """One run of one node. Nobody changes it after it was made (not frozen for the reason that items are not).

    ``sources`` says, per input, where its items came from; ``started_at`` is UTC; ``duration_ms`` is wall time.
    ``logical_time`` is the execution's own clock after the run: the time of the latest effect that led here.
    """

    node: str
    run_index: int
    status: NodeRunStatus
    started_at: datetime
    duration_ms: float
    items_in: int
    logical_time: datetime
    sources: tuple[ItemOrigin | None, ...] = ()
    outputs: Outputs = field(default_factory=dict)
    error: ErrorRecord | None = None

    @property
    def key(self) -> RunKey:
        """What tells it from the execution's other node runs."""
        return RunKey(self.node, self.run_index)

    @property
    def items_out(self) -> int:
        """Number of items over all outputs."""
        return sum(len(items) for items in self.outputs.values())


@dataclass(slots=True, frozen=True, kw_only=True)
class Suspension:
    """An item that waits: ``kind`` says for what, ``wake_at`` when it goes on at the latest, ``details`` the rest."""

    key: EffectKey
    at: datetime
    kind: SuspensionKind
    wake_at: datetime | None = None
    details: JsonObject = field(default_factory=dict)


@dataclass(slots=True, frozen=True, kw_only=True)
class Resumption:
    """Why a waiting item goes on: ``by`` says through what it came (``agent`` is a tool, ``person`` a form, ``link``
    the signed page), ``data`` what was said, ``who`` who said it, where somebody did."""

    key: EffectKey
    at: datetime
    by: str
    data: Any = None
    who: Initiator | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class EffectStart:
    """An effect is about to happen. Noted only where a crash in its middle is to be asked about."""

    key: EffectKey
    at: datetime


@dataclass(slots=True, frozen=True, kw_only=True)
class EffectStep:
    """A step of an effect that is done: a model's answer, or a tool's result. An effect that is run again goes on after
    its last step. ``step`` names it within the effect."""

    key: EffectKey
    at: datetime
    step: str
    result: Any


Record = NodeRun | EffectResult | EffectStep | Suspension | Resumption | EffectStart


@dataclass(slots=True, frozen=True)
class EncodedRecord:
    """A large record that was encoded before it is saved, in the store's own form."""

    record: Record
    data: bytes


"""What a journal is made of: what must not happen twice, and what is kept to be looked at."""


class Parent(NamedTuple):
    """The item of another execution that waits for this one."""

    execution_id: str
    key: EffectKey


@dataclass(kw_only=True)
class Execution:
    """One run of one version of a workflow. Times are UTC; ``output`` is what the caller gets.

    Nobody changes it after it was made (not frozen for the reason that items are not).

    ``owner`` is the workspace that it belongs to. ``parent`` waits for it; ``root`` is the execution that the chain of
    sub-workflows began with, ``depth`` how many levels above it are. A child without ``parent`` is one that nobody
    waits for. ``answer_form`` is there where a tool started it: the form in which
    that answers. In the mode ``test`` effects are mocked, and nodes in ``pins`` give the items pinned to them.
    ``notified_at`` is when its user was told that it failed. ``wake_at`` is when a waiting one goes on by itself,
    or ``None`` where only somebody else can make it go on. ``answer`` is what it answered to the webhook that started
    it, where another process has to hand that over.
    """

    id: str
    owner: str
    workflow_id: str
    workflow_name: str
    workflow_version: int
    state: ExecutionState
    trigger: Trigger
    start_node: str
    input: Any
    created_at: datetime
    initiator: Initiator
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output: Any = None
    error: ErrorRecord | None = None
    wake_at: datetime | None = None
    mode: Mode = "live"
    pins: dict[str, list[JsonObject]] | None = None
    priority: Priority = "normal"
    parent: Parent | None = None
    root: str | None = None
    depth: int = 0
    rerun_of: str | None = None
    notified_at: datetime | None = None
    answer_form: str | None = None
    answer: JsonObject | None = None

    def changed(self, **members: Any) -> Execution:
        """A copy with other members, as :func:`dataclasses.replace` makes it, at a fifth of the cost. Its state changes
        by :meth:`moved` alone."""
        made = object.__new__(Execution)
        made.__dict__.update(self.__dict__, **members)
        return made

    def moved(self, event: ExecutionEvent, **members: Any) -> Execution:
        """A copy in the state that the event leads to, with other members.

        Raises:
            IllegalTransitionError: the event cannot happen in this state.
        """
        return self.changed(state=next_state(self.state, event), **members)

    @property
    def is_active(self) -> bool:
        """Whether it is queued or running: a process holds its lease, and another one claims it when that expires."""
        return self.state in ACTIVE_STATES

    @property
    def duration_ms(self) -> float | None:
        """Wall time from start to finish in milliseconds, or ``None`` while it has not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds() * 1000
