"""A breaker opens after five failures, lets one call through after a minute, and closes after three successes."""

from __future__ import annotations

from workflow.breaker import FAILURES_TO_OPEN, MOST_KEPT, OPEN_SECONDS, Breaker, Breakers, BreakerState


def opened() -> Breaker:
    """A breaker that opened at second 0."""
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.before_call(0) == (breaker, None)
        breaker = breaker.after_failure(0)
    return breaker


def test_it_opens_after_five_failures_in_a_row() -> None:
    breaker = opened()
    assert breaker.state is BreakerState.OPEN
    assert breaker.before_call(20) == (breaker, OPEN_SECONDS - 20)


def test_a_success_starts_the_count_again() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker = breaker.after_failure(0)
    assert breaker.after_success() == Breaker()


def test_after_a_minute_one_call_goes_through_at_a_time() -> None:
    breaker, wait = opened().before_call(OPEN_SECONDS)
    assert (breaker.state, wait) == (BreakerState.HALF_OPEN, None)
    assert breaker.before_call(OPEN_SECONDS)[1] is not None
    assert breaker.after_cancel().before_call(OPEN_SECONDS)[1] is None


def test_three_successes_close_it_and_one_failure_opens_it_again() -> None:
    breaker = opened()
    for _ in range(2):
        breaker = breaker.before_call(OPEN_SECONDS)[0].after_success()
        assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.before_call(OPEN_SECONDS)[0].after_success() == Breaker()
    again = breaker.before_call(OPEN_SECONDS)[0].after_failure(OPEN_SECONDS)
    assert (again.state, again.opened_at) == (BreakerState.OPEN, OPEN_SECONDS)


def test_as_many_targets_as_a_caller_likes_take_no_more_memory_than_the_bound() -> None:
    breakers = Breakers()
    for number in range(MOST_KEPT + 5):
        breakers.after_failure(number, 0.0)
    for number in (0, MOST_KEPT + 4):
        for _ in range(4):
            breakers.after_failure(number, 0.0)
    assert breakers.state(0) is BreakerState.CLOSED
    assert breakers.state(MOST_KEPT + 4) is BreakerState.OPEN
