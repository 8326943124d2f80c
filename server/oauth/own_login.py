"""Who may give others a lasting way in, or take it back: users themselves, not what acts for them."""

from __future__ import annotations

from server.auth.sessions.own_login import require_own_login
from server.auth.sessions.sessions import Sessions
from workflow.identity import LOCAL_ID, Actor


async def require_user(actor: Actor, sessions: Sessions) -> None:
    """Let a user pass who logged in with us, and this machine's own, who need not.

    Raises:
        OwnLoginNeededError: it is a client, a key or a machine.
    """
    if actor.user_id != LOCAL_ID or actor.session_id is not None:
        await require_own_login(actor, sessions)
