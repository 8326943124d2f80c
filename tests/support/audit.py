"""An audit log in memory, for parts that run without a database."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from workflow.identity import Actor
from workflow.items import JsonObject


class Noted(NamedTuple):
    """An entry as it was noted."""

    actor: Actor
    action: str
    subject: str
    details: JsonObject | None


class KeptAuditLog:
    """Implements :class:`workflow.audit.AuditLog`: everything is written at once, and kept."""

    def __init__(self) -> None:
        self.entries: list[Noted] = []

    def note(self, actor: Actor, action: str, subject: str, details: JsonObject | None = None) -> None:
        """Keep an entry as it is."""
        self.entries.append(Noted(actor, action, subject, details))

    async def written(self) -> None:
        """It is."""

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Nothing is ever old."""
        del before, limit
        return 0
