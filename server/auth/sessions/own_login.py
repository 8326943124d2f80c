"""What only users themselves may do: not their API keys, nor OAuth clients that act for them, whatever their scopes.

A client that could make a key would keep it after its user has ended the client's session.
"""

from __future__ import annotations

from typing import Protocol

from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import LOCAL_ID, Actor, Scope
from workflow.sessions import Session


class OwnLoginNeededError(JobsprintError):
    """The caller is not a user who has logged in themselves."""

    code = "own_login_needed"
    kind = ErrorKind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__(
            "Only a user who has logged in can do this; API keys, machines and other clients' tokens cannot.",
            fix="Log in with POST /auth/login and send the access token that it gives.",
        )


class OpenSessions(Protocol):
    """Finds sessions; :class:`server.auth.sessions.sessions.Sessions` is one."""

    async def get(self, session_id: str) -> Session | None:
        """The session, if it has not ended."""
        ...


async def require_own_login(actor: Actor, sessions: OpenSessions) -> None:
    """Check that the actor is a user who logged in with us.

    Raises:
        OwnLoginNeededError: it is not one.
    """
    session = await sessions.get(actor.session_id) if actor.session_id is not None else None
    if session is None or session.client_id is not None or session.user_id != actor.user_id:
        raise OwnLoginNeededError


def sees_people(actor: Actor) -> bool:
    """Whether keys, members and other workspaces are shown to the actor: a person, or a program with the scope admin.

    No other scope reads them: a client that may look at workflows learns nothing of who else there is.
    """
    return actor.is_person or Scope.ADMIN in actor.scopes


def require_person_or_admin(actor: Actor) -> None:
    """Check that the actor is a person in a session of their own, or has the scope admin.

    Raises:
        OwnLoginNeededError: it is neither.
    """
    if not sees_people(actor):
        raise OwnLoginNeededError


def require_person(actor: Actor) -> None:
    """Check that the actor is a person in a session of their own; on a server without logins, everybody is.

    Raises:
        OwnLoginNeededError: it is a program.
    """
    if not actor.is_person and actor.user_id != LOCAL_ID:
        raise OwnLoginNeededError
