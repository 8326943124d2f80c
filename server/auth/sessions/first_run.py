"""A server without accounts: who has access, and where such a server must not run."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.settings.settings import BadSettingsError, Settings
from storage.people.accounts import SqlAccounts
from workflow.identity import LOCAL_ID, Role
from workflow.ports import Clock

LOOKED_AFTER = timedelta(seconds=1)
"""How long it may take to notice an account that another process made."""


class FirstRun:
    """Whether this machine's user has access without a login: on a server that only this machine can reach, while
    nobody has an account."""

    def __init__(self, *, store: SqlAccounts, is_local: bool, clock: Clock) -> None:
        self._store = store
        self._may_be_on = is_local
        self._clock = clock
        self._looked_at: datetime | None = None

    async def is_on(self) -> bool:
        """Whether it is so now. After the first account it is never so again."""
        if not self._may_be_on:
            return False
        now = self._clock.now()
        if self._looked_at is None or now - self._looked_at >= LOOKED_AFTER:
            self._looked_at = now
            if await self._store.has_any():
                self._may_be_on = False
        return self._may_be_on

    def end(self) -> None:
        """Note that there is an account now."""
        self._may_be_on = False


class FirstRunStanding:
    """What users may do (see :class:`.Standing`), and this machine's user as long as there are none."""

    def __init__(self, *, store: SqlAccounts, first_run: FirstRun) -> None:
        self._store = store
        self._first_run = first_run

    async def standing(self, user_id: str, workspace_id: str) -> Role | None:
        """The user's role in the workspace now."""
        if user_id == LOCAL_ID:
            return Role.OWNER if workspace_id == LOCAL_ID and await self._first_run.is_on() else None
        return await self._store.standing(user_id, workspace_id)


def require_authentication(settings: Settings, *, has_users: bool) -> None:
    """Check that other machines cannot reach the server, or that it can authenticate them.

    Raises:
        BadSettingsError: other machines can reach the server, and nobody could authenticate.
    """
    makes_accounts = settings.registration != "closed" or (
        settings.issuer_registration and (settings.oauth_issuer or settings.oidc_issuer)
    )
    if settings.is_local or has_users or makes_accounts:
        return
    raise BadSettingsError(
        "Other machines can reach this server, and nobody has an account on it.",
        fix="Make one with `jobsprint users add EMAIL`, set JOBSPRINT_REGISTRATION to open or invitation, "
        "or set JOBSPRINT_HOST to 127.0.0.1 without JOBSPRINT_PUBLIC_URL and JOBSPRINT_ALLOWED_HOSTS.",
    )
