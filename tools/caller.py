"""Who calls a tool, and what they can be told while the call lasts."""

from __future__ import annotations

from typing import Protocol

LOCAL_USER = "local"
"""Whoever can reach a server that asks nobody who they are."""


class Caller(Protocol):
    """One call's other side."""

    @property
    def user(self) -> str:
        """Whose workflows and executions these are."""
        ...

    async def report_progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell how far it is, where they asked for it."""
        ...
