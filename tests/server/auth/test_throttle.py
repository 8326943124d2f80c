"""Those who guess passwords are slowed down; those whose accounts they are not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.auth.accounts import throttle
from server.auth.accounts.throttle import LoginThrottle, LoginThrottledError
from tests.support.engine import FixedClock

HOME, OFFICE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still until it is moved."""
    return FixedClock()


@pytest.fixture
def logins(clock: FixedClock) -> LoginThrottle:
    """A throttle that has seen nothing."""
    return LoginThrottle(clock=clock)


def delay(logins: LoginThrottle, account: str, address: str) -> int:
    """In how many seconds another attempt may be made; one that may is made, and fails."""
    try:
        logins.begin(account, address)
    except LoginThrottledError as error:
        return error.retry_after_seconds
    return 0


def stranger(number: int) -> str:
    """An address that its number tells from others."""
    return f"203.0.{number // 256}.{number % 256}"


def test_after_five_failures_each_further_one_doubles_the_delay_up_to_five_minutes(
    logins: LoginThrottle, clock: FixedClock
) -> None:
    assert [delay(logins, "ada", HOME) for _ in range(5)] == [0] * 5
    seen = []
    for _ in range(11):
        seen.append(delay(logins, "ada", HOME))
        clock.at += timedelta(seconds=seen[-1])
        assert delay(logins, "ada", HOME) == 0
    assert seen == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_many_attempts_at_once_are_counted_before_any_has_failed(logins: LoginThrottle) -> None:
    assert [delay(logins, "ada", HOME) for _ in range(20)] == [0] * 5 + [1] * 15


def test_success_clears_the_failures_and_time_forgives_them(logins: LoginThrottle, clock: FixedClock) -> None:
    for _ in range(5):
        delay(logins, "ada", HOME)
    clock.at += timedelta(seconds=1)
    logins.begin("ada", HOME)
    logins.succeeded("ada", HOME)
    assert [delay(logins, "ada", HOME) for _ in range(6)] == [0] * 5 + [1]
    clock.at += throttle.FORGIVEN_AFTER
    assert [delay(logins, "ada", HOME) for _ in range(6)] == [0] * 5 + [1]


def test_a_stranger_does_not_hold_up_anybody_at_another_address(logins: LoginThrottle) -> None:
    for _ in range(40):
        delay(logins, "ada", OFFICE)
    assert delay(logins, "ada", OFFICE) > 0
    assert delay(logins, "ada", HOME) == 0
    assert delay(logins, "ben", OFFICE) == 0


def test_an_address_that_tries_many_accounts_is_slowed_down_for_all(logins: LoginThrottle) -> None:
    assert [delay(logins, f"user {number}", OFFICE) for number in range(31)] == [0] * 30 + [1]
    assert delay(logins, "ada", HOME) == 0


def test_a_successful_login_does_not_clear_failures_with_other_accounts(
    logins: LoginThrottle, clock: FixedClock
) -> None:
    for number in range(30):
        assert delay(logins, f"user {number}", OFFICE) == 0
    clock.at += timedelta(seconds=1)
    logins.begin("mallory", OFFICE)
    logins.succeeded("mallory", OFFICE)
    assert delay(logins, "ada", OFFICE) > 0


def test_an_account_tried_from_many_addresses_is_slowed_down_but_not_for_its_user(logins: LoginThrottle) -> None:
    logins.begin("ada", HOME)
    logins.succeeded("ada", HOME)
    for number in range(50):
        assert delay(logins, "ada", stranger(number)) == 0
    assert 0 < delay(logins, "ada", stranger(50)) <= 300
    assert delay(logins, "ada", HOME) == 0


def test_addresses_of_one_ipv6_network_are_one(logins: LoginThrottle) -> None:
    assert [delay(logins, "ada", f"2001:db8:0:1::{number:x}") for number in range(6)] == [0] * 5 + [1]
    assert delay(logins, "ada", "2001:db8:0:2::1") == 0
    assert [delay(logins, "ben", address) for address in [HOME] * 5 + [f"::ffff:{HOME}"]] == [0] * 5 + [1]


def test_memory_is_bounded(logins: LoginThrottle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "KEPT_AT_MOST", 10)
    for number in range(100):
        logins.begin(f"user {number}", stranger(number))
        logins.succeeded(f"user {number}", stranger(number))
        logins.begin(f"user {number}", stranger(number))
    for kept in (logins._familiar, logins._pairs._counters, logins._addresses._counters, logins._accounts._counters):
        assert len(kept) == 10
