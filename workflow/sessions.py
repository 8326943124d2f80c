"""Sessions: what somebody opened by logging in or by letting a client in, and the port that keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from workflow.identity import Scopes


@dataclass(slots=True, frozen=True, kw_only=True)
class Session:
    """Somebody's way in, to one workspace, until ``expires_at`` at the latest.

    ``user_id`` is a user's, or ``machine:`` and the id of a client that acts by itself. ``client_id`` is the OAuth
    client that was let in, ``None`` where the user logged in with us. ``scopes`` are what was granted when it was
    opened; what the user's role has lost since then does not count.
    """

    id: str
    user_id: str
    workspace_id: str
    client_id: str | None
    client_name: str
    scopes: Scopes
    created_at: datetime
    expires_at: datetime


class Holder(NamedTuple):
    """The session that a refresh token belongs to, and whether the token was exchanged for another already."""

    session: Session
    is_spent: bool


class SessionStore(Protocol):
    """Keeps sessions until they end. A session that has ended or is over is as if it had never been.

    Refresh tokens come in as hashes. Every method raises :class:`workflow.errors.StorageError` where the store fails.
    """

    async def add(self, session: Session, *, refresh_hash: str | None) -> None:
        """Keep a new session; without a refresh token it cannot be prolonged."""
        ...

    async def get(self, session_id: str, *, now: datetime) -> Session | None:
        """A session that goes on."""
        ...

    async def holder(self, refresh_hash: str, *, now: datetime) -> Holder | None:
        """The session that goes on and has, or had, this refresh token."""
        ...

    async def rotate(self, session_id: str, spent_hash: str, fresh_hash: str, *, now: datetime) -> bool:
        """Put a refresh token in the place of the session's; whether ``spent_hash`` was the session's until now.

        Of several at once with the same token, one wins.
        """
        ...

    async def of_user(self, user_id: str, *, now: datetime) -> Sequence[Session]:
        """The sessions of a user that go on, the latest first."""
        ...

    async def end(self, session_id: str, *, now: datetime) -> None:
        """End a session; one that has ended, or never was, is no error."""
        ...

    async def end_all(self, user_id: str, *, now: datetime, but: str | None = None) -> None:
        """End every session of a user but the one with the id ``but``."""
        ...

    async def prune(self, *, over_before: datetime) -> int:
        """Forget up to a thousand sessions that were over before then; how many that was."""
        ...
