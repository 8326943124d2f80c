"""Ids are version 7 UUIDs that rise."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from storage.ids import UuidFactory
from tests.support.engine import NOON, FixedClock


class BackwardsClock:
    """A clock that is set back by an hour after its first reading."""

    def __init__(self) -> None:
        self._readings = iter([NOON])

    def now(self) -> datetime:
        """Noon first, eleven o'clock ever after."""
        return next(self._readings, datetime(2024, 1, 6, 11, 0, tzinfo=UTC))


def test_an_id_is_a_version_7_uuid_with_the_time_in_front() -> None:
    made = uuid.UUID(UuidFactory(clock=FixedClock())())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(NOON.timestamp() * 1000)


def test_ids_rise_within_a_millisecond_and_when_the_clock_goes_back() -> None:
    for clock in (FixedClock(), BackwardsClock()):
        new_id = UuidFactory(clock=clock)
        made = [new_id() for _ in range(10_000)]
        assert made == sorted(set(made))
