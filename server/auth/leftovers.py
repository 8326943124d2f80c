"""Sessions and invitations that were over long ago are forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from storage.people.invitations import SqlInvitations
from workflow.ports import Clock
from workflow.sessions import SessionStore

SESSIONS_KEPT = timedelta(days=1)
INVITATIONS_KEPT = timedelta(days=30)
"""So long after its time somebody may want to see why an invitation did not count."""
CHUNK = 500


@dataclass(slots=True, frozen=True, kw_only=True)
class Leftovers:
    """What is left of sessions and invitations."""

    sessions: SessionStore
    invitations: SqlInvitations
    clock: Clock

    async def forget(self) -> None:
        """Forget what is due.

        Raises:
            StorageError: not all of it is forgotten.
        """
        now = self.clock.now()
        while await self.sessions.prune(over_before=now - SESSIONS_KEPT):
            pass
        while await self.invitations.prune(expired_before=now - INVITATIONS_KEPT, limit=CHUNK):
            pass
