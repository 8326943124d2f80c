"""Only users themselves may grant or revoke lasting access, not the clients that act for them."""

from __future__ import annotations

from server.auth.sessions.own_login import require_own_login
from server.auth.sessions.sessions import Sessions
from workflow.identity import LOCAL_ID, Actor


async def require_user(actor: Actor, sessions: Sessions) -> None:
    """Check that the actor is a user who logged in with us, or this machine's local user, who need not.

    Raises:
        OwnLoginNeededError: it is a client, a key or a machine.
    """
    if actor.user_id != LOCAL_ID or actor.session_id is not None:
        await require_own_login(actor, sessions)
