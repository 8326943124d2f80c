"""What was done, by whom, when and through which client: the audit log's entries, and its port."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from workflow.identity import Actor, Initiator
from workflow.items import JsonObject


@dataclass(slots=True, frozen=True, kw_only=True)
class AuditEntry:
    """One change or effect. ``owner`` is the workspace; ``subject`` is a kind and an id, ``workflow:…``.

    ``action`` is the subject's kind and what happened to it: ``workflow.published``, ``effect.sent``.
    """

    id: str
    owner: str
    at: datetime
    user_id: str
    client: str
    action: str
    subject: str
    details: JsonObject | None = None


class AuditLog(Protocol):
    """Stores entries. Nothing changes them; they are deleted when they are older than the retention time."""

    def note(self, actor: Actor, action: str, subject: str, details: JsonObject | None = None) -> None:
        """Take an entry, to be written with the next batch. Never waits.

        Secrets in it are hidden, and long texts cut.
        """
        ...

    async def written(self) -> None:
        """Return when everything noted so far is on the disk.

        Raises:
            StorageError: it could not be written; it stays noted for the next batch.
        """
        ...

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Delete up to ``limit`` entries that are older; how many that was."""
        ...


def acting(initiator: Initiator, owner: str) -> Actor:
    """The actor that an execution of the workspace ``owner`` acts for. It only names them, and has no rights."""
    return Actor(
        user_id=initiator.user_id,
        workspace_id=owner,
        scopes=frozenset(),
        attainable=frozenset(),
        client=initiator.client,
    )
