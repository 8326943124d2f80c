"""The table of states is the whole of what can happen to an execution."""

from __future__ import annotations

import pytest

from workflow.errors import IllegalTransitionError
from workflow.states import FINISHED, TRANSITIONS, ExecutionEvent, ExecutionState, next_state


@pytest.mark.parametrize("state", ExecutionState)
@pytest.mark.parametrize("event", ExecutionEvent)
def test_every_move_is_in_the_table_or_illegal(state: ExecutionState, event: ExecutionEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(IllegalTransitionError) as caught:
        next_state(state, event)
    assert state in caught.value.message


def test_nothing_moves_on_what_has_finished() -> None:
    assert {state for state, _ in TRANSITIONS}.isdisjoint(FINISHED)


def test_every_state_can_be_reached_from_queued() -> None:
    reached = {ExecutionState.QUEUED}
    while more := {target for (state, _), target in TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == set(ExecutionState)
