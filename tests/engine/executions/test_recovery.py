"""Executions without a holder are queued again; one that another process has claimed meanwhile is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from engine.executions.recovery import Recovery
from storage.clock import SystemClock
from workflow.errors import LeaseLostError


class Left:
    """Two executions whose holder is gone, and never a timer."""

    def __init__(self) -> None:
        self.found = [SimpleNamespace(id="taken"), SimpleNamespace(id="free")]

    async def claim_expired(self, *, limit: int, **_: Any) -> Sequence[Any]:
        """Both, once."""
        found, self.found = self.found[:limit], []
        return found

    async def claim_due(self, **_: Any) -> Sequence[Any]:
        """None."""
        return ()

    async def next_due(self) -> None:
        """Never."""

    async def release(self) -> None:
        """Nothing is held."""


async def test_a_process_starts_though_another_one_was_quicker() -> None:
    begun: list[str] = []

    async def go_on_claimed(execution: Any) -> None:
        if execution.id == "taken":
            raise LeaseLostError("Another process has it.", fix="Nothing.")
        begun.append(execution.id)

    async def process_pending() -> None:
        """Nothing was told."""

    parts: dict[str, Any] = {
        "dispatch": SimpleNamespace(room=10, unclaimed_before=lambda now: now),
        "wakeups": SimpleNamespace(go_on_claimed=go_on_claimed),
        "leases": Left(),
    }
    recovery = Recovery(**parts, clock=SystemClock(), lease_seconds=30, process_pending=process_pending, is_alone=False)
    async with recovery.watching():
        assert begun == ["free"]
