"""Ids: version 7 UUIDs (RFC 9562), which sort by the time at which they were made."""

from __future__ import annotations

import os
from collections.abc import Callable

from workflow.ports import Clock

_RANDOM_BITS = 62
_POOL_BYTES = 1024
"""Random bytes drawn at once: a system call for each id costs more than the rest of it."""


class UuidFactory:
    """Gives out ids that rise within one process, whatever the clock does.

    48 bits of milliseconds, 12 bits that count within one millisecond, 62 random bits.
    """

    def __init__(self, *, clock: Clock, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._pool = b""
        self._last = 0

    def __call__(self) -> str:
        """A new id in the usual text form."""
        milliseconds = int(self._clock.now().timestamp() * 1000)
        self._last = max(self._last + 1, milliseconds << 12)
        head, counter = self._last >> 12, self._last & 0xFFF
        if not self._pool:
            self._pool = self._random_bytes(_POOL_BYTES)
        tail = int.from_bytes(self._pool[:8], "big") >> (64 - _RANDOM_BITS)
        self._pool = self._pool[8:]
        digits = f"{(head << 80) | (7 << 76) | (counter << 64) | (2 << 62) | tail:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
