"""Applies a change of a user's role, or their leaving a workspace, to this process at once."""

from __future__ import annotations

from dataclasses import dataclass

from server.auth.keys.api_keys import ApiKeys
from server.auth.sessions.sessions import Sessions
from workflow.ports import Clock
from workflow.sessions import SessionStore


@dataclass(slots=True, frozen=True, kw_only=True)
class RoleChanges:
    """Invalidates what this process has cached of users' rights."""

    sessions: Sessions
    store: SessionStore
    keys: ApiKeys
    clock: Clock

    def changed(self, user_id: str) -> None:
        """The user's role has changed, or they are disabled: drop what is cached of them."""
        self.keys.forget(user_id=user_id)
        self.sessions.forget(user_id)

    async def left(self, user_id: str, workspace_id: str) -> None:
        """The user does not belong to the workspace any more. Their sessions in it end."""
        self.changed(user_id)
        for session in await self.store.of_user(user_id, now=self.clock.now()):
            if session.workspace_id == workspace_id:
                await self.sessions.end(session.id)
