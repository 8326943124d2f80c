"""The states of an execution and every move between them, as one table.

A move that is not in the table is illegal: the missing key *is* the error.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from workflow.errors import IllegalTransitionError

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExecutionState(StrEnum):
    """Where an execution is."""

    QUEUED = "queued"
    """Accepted and stored; a worker moves it on."""
    RUNNING = "running"
    """A worker has it; the worker moves it on, or recovery when the worker is gone."""
    WAITING = "waiting"
    """For a timer, an approval, a question or a child; what it waits for moves it on."""
    SUCCEEDED = "succeeded"
    """Every node that could run has run. Nobody moves it on."""
    FAILED = "failed"
    """A node failed, or the execution ran out of time. Nobody moves it on; a rerun is a new execution."""
    CANCELLED = "cancelled"
    """Somebody ended it. Nobody moves it on."""
    DEAD = "dead"
    """Its retries are spent; a person or agent redrives or discards it."""


ACTIVE_STATES = (ExecutionState.QUEUED, ExecutionState.RUNNING)
"""Those in which a process must hold an execution's lease."""


class ExecutionEvent(StrEnum):
    """What can happen to an execution."""

    CLAIM = "claim"
    """A worker begins, or goes on, to run it."""
    HAND_BACK = "hand_back"
    """Its process is gone or its job is lost; it goes back to the queue."""
    SUSPEND = "suspend"
    """Nothing can run until something that it waits for has happened."""
    GO_ON = "go_on"
    """What it waits for happened while it was being stored as waiting."""
    RESUME = "resume"
    """Something that it waits for has happened."""
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    BURY = "bury"
    """Its retries are spent: it becomes a dead letter."""
    REDRIVE = "redrive"
    """Somebody queues a dead letter again."""


_S, _E = ExecutionState, ExecutionEvent

TRANSITIONS: Final[Mapping[tuple[ExecutionState, ExecutionEvent], ExecutionState]] = MappingProxyType(
    {
        # The worker that got its job.
        (_S.QUEUED, _E.CLAIM): _S.RUNNING,
        # Control, for who cancels it before a worker has begun.
        (_S.QUEUED, _E.CANCEL): _S.CANCELLED,
        # Claims, where its workflow is gone.
        (_S.QUEUED, _E.FAIL): _S.FAILED,
        # Recovery, where the broker lost its job: it gets another one.
        (_S.QUEUED, _E.HAND_BACK): _S.QUEUED,
        # Wakeups, where an answer comes before its job does.
        (_S.QUEUED, _E.RESUME): _S.QUEUED,
        # Recovery, where its process is gone.
        (_S.RUNNING, _E.HAND_BACK): _S.QUEUED,
        # The worker that runs it, for all of these.
        (_S.RUNNING, _E.SUSPEND): _S.WAITING,
        (_S.RUNNING, _E.SUCCEED): _S.SUCCEEDED,
        (_S.RUNNING, _E.FAIL): _S.FAILED,
        (_S.RUNNING, _E.CANCEL): _S.CANCELLED,
        (_S.RUNNING, _E.BURY): _S.DEAD,
        # The worker that stores it: an answer came before it had left memory.
        (_S.WAITING, _E.GO_ON): _S.RUNNING,
        # Wakeups: a timer is due, an answer came, a child ended.
        (_S.WAITING, _E.RESUME): _S.QUEUED,
        # Claims, where its workflow is gone.
        (_S.WAITING, _E.FAIL): _S.FAILED,
        # Control, for who cancels it.
        (_S.WAITING, _E.CANCEL): _S.CANCELLED,
        # Control, for who redrives or discards it.
        (_S.DEAD, _E.REDRIVE): _S.QUEUED,
        (_S.DEAD, _E.CANCEL): _S.CANCELLED,
    }
)

FINISHED: Final = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED})
"""States that nothing moves on."""


def next_state(state: ExecutionState, event: ExecutionEvent) -> ExecutionState:
    """The state that ``event`` leads to.

    Raises:
        IllegalTransitionError: ``event`` cannot happen in ``state``.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        allowed = sorted(e for s, e in TRANSITIONS if s is state)
        raise IllegalTransitionError(
            f"An execution that is {state} cannot {event.replace('_', ' ')}.",
            fix=f"In this state it can: {', '.join(allowed)}." if allowed else "It has ended; run it again instead.",
        ) from None
