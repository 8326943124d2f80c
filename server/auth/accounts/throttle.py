"""Slows down those who guess passwords, without letting a stranger lock anybody's account.

Failures are counted per account and address together, per address, and per account. The last allows many failures,
and does not delay addresses from which the account's user has logged in before. No delay exceeds five minutes.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from workflow.errors import ErrorKind, JobsprintError
from workflow.ports import Clock

FORGIVEN_AFTER = timedelta(hours=1)
"""Failures are forgotten when none has come for this long."""
LONGEST_DELAY = timedelta(minutes=5)
KEPT_AT_MOST = 20_000
"""Counters of each kind, about 5 MB; beyond it the least recently used one is dropped."""


class LoginThrottledError(JobsprintError):
    """Too many logins have failed; nothing was checked.

    Attributes:
        retry_after_seconds: when to try again.
    """

    code = "login_throttled"
    kind = ErrorKind.OVERLOADED

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            "Too many logins have failed; this one was not looked at.", fix=f"Try again in {retry_after_seconds} s."
        )
        self.retry_after_seconds = retry_after_seconds


@dataclass(slots=True)
class _Counter:
    """The failures of one kind in a row, and since when."""

    failures: int
    last_at: datetime


class _Counters:
    """Counters by key. The first ``free`` failures cost nothing; then the delay is a second, and doubles."""

    def __init__(self, *, free: int) -> None:
        self._free = free
        self._counters: OrderedDict[Hashable, _Counter] = OrderedDict()

    def delay(self, key: Hashable, now: datetime) -> timedelta:
        """How long to wait from now on."""
        counter = self._counters.get(key)
        if counter is None or counter.failures < self._free or now - counter.last_at >= FORGIVEN_AFTER:
            return timedelta(0)
        # 2 ** 9 seconds are more than the longest delay.
        delay = timedelta(seconds=2 ** min(counter.failures - self._free, 9))
        return counter.last_at + min(delay, LONGEST_DELAY) - now

    def count(self, key: Hashable, now: datetime) -> None:
        """Count a failure."""
        counter = self._counters.pop(key, None)
        failures = 0 if counter is None or now - counter.last_at >= FORGIVEN_AFTER else counter.failures
        self._counters[key] = _Counter(failures + 1, now)
        if len(self._counters) > KEPT_AT_MOST:
            self._counters.popitem(last=False)

    def forgive(self, key: Hashable) -> None:
        """Take back one failure: it was none."""
        counter = self._counters.get(key)
        if counter is not None:
            counter.failures -= 1

    def drop(self, key: Hashable) -> None:
        """Forget all of them."""
        self._counters.pop(key, None)


class LoginThrottle:
    """Decides before a password is checked whether it may be, and counts how the check ended."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._pairs = _Counters(free=5)
        # Several people may sit behind one address.
        self._addresses = _Counters(free=30)
        self._accounts = _Counters(free=50)
        # The addresses from which the users of accounts have logged in.
        self._familiar: OrderedDict[Hashable, None] = OrderedDict()

    def begin(self, account: str, address: str) -> None:
        """Let an attempt pass. It counts as failed until it has succeeded, so that many at once are counted too.

        Raises:
            LoginThrottledError: it has to wait.
        """
        now, network = self._clock.now(), _network(address)
        delays = [self._pairs.delay((account, network), now), self._addresses.delay(network, now)]
        if (account, network) not in self._familiar:
            delays.append(self._accounts.delay(account, now))
        longest = max(delays)
        if longest > timedelta(0):
            raise LoginThrottledError(math.ceil(longest.total_seconds()))
        self._pairs.count((account, network), now)
        self._addresses.count(network, now)
        self._accounts.count(account, now)

    def withdraw(self, account: str, address: str) -> None:
        """Take the attempt back: its password was not checked."""
        network = _network(address)
        self._pairs.forgive((account, network))
        self._addresses.forgive(network)
        self._accounts.forgive(account)

    def succeeded(self, account: str, address: str) -> None:
        """Note that the attempt was the account's user."""
        network = _network(address)
        self._pairs.drop((account, network))
        # A user of one account must not clear the failures that they caused at other accounts from the same address.
        self._addresses.forgive(network)
        self._accounts.forgive(account)
        self._familiar.pop((account, network), None)
        self._familiar[account, network] = None
        if len(self._familiar) > KEPT_AT_MOST:
            self._familiar.popitem(last=False)


def _network(address: str) -> str:
    """What one attacker is likely to have: an address, or with IPv6 a network of 64 bits."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or parsed.packed[:8].hex())
    return str(parsed)
