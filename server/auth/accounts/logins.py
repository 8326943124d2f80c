"""Logging in and out with a password: the password is checked, and a session is opened in a workspace."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from server.auth.accounts.accounts import LONGEST_EMAIL, AccountDisabledError, Accounts, email_key, is_email
from server.auth.accounts.passwords import Passwords, TooManyLoginsError
from server.auth.accounts.throttle import LoginThrottle
from server.auth.sessions.own_login import OwnLoginNeededError, require_own_login
from server.auth.sessions.sessions import LOGIN_LIFETIME, Sessions, Tokens
from storage.people.accounts import User
from storage.people.workspaces import SqlWorkspaces
from workflow.audit import AuditLog
from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import LOCAL_ID, NO_SCOPES, SCOPES_OF_ROLE, Actor, Role
from workflow.workspaces import Membership, WorkspaceNotFoundError

logger = logging.getLogger(__name__)


class WrongCredentialsError(JobsprintError):
    """There is no account with this e-mail address and password; the answer does not say which of the two is wrong."""

    code = "wrong_credentials"
    kind = ErrorKind.UNAUTHENTICATED

    def __init__(self) -> None:
        super().__init__("There is no account with this e-mail address and password.", fix="Check both.")


@dataclass(slots=True, frozen=True, kw_only=True)
class Caller:
    """Where a login comes from: the address, and in words through what."""

    address: str
    client: str


class Logins:
    """Opens and ends the sessions of users who log in with us."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        workspaces: SqlWorkspaces,
        sessions: Sessions,
        passwords: Passwords,
        throttle: LoginThrottle,
        audit: AuditLog,
    ) -> None:
        self.sessions = sessions
        self._accounts = accounts
        self._workspaces = workspaces
        self._passwords = passwords
        self._throttle = throttle
        self._audit = audit

    async def log_in(
        self, email: str, password: str, *, caller: Caller, workspace_id: str | None = None, has_refresh: bool = True
    ) -> tuple[User, Tokens]:
        """The user, and the tokens of a new session in the workspace, by default their own.

        Raises:
            LoginThrottledError, TooManyLoginsError: the password was not checked.
            WrongCredentialsError, AccountDisabledError: see there.
            WorkspaceNotFoundError: the user does not belong to it.
        """
        user = await self._checked(email, password, caller=caller)
        if self._passwords.is_outdated(user.password_hash or ""):
            await self._accounts.set_password(user, password)
        return user, await self.open(user, caller=caller, workspace_id=workspace_id, has_refresh=has_refresh)

    async def open(
        self, user: User, *, caller: Caller, workspace_id: str | None = None, has_refresh: bool = True
    ) -> Tokens:
        """The tokens of a new session of a user who is authenticated.

        Raises:
            WorkspaceNotFoundError: the user does not belong to it.
        """
        membership = await self.membership(user.id, workspace_id)
        granted = SCOPES_OF_ROLE[membership.role]
        tokens = await self.sessions.open(
            user_id=user.id,
            workspace_id=membership.workspace_id,
            scopes=granted,
            client_name=caller.client,
            lifetime=LOGIN_LIFETIME,
            has_refresh=has_refresh,
        )
        await self._note("session.opened", user.id, membership.workspace_id, tokens.session_id, caller)
        return tokens

    async def end_of_token(self, token: str, *, caller: Caller) -> None:
        """End the session of a refresh or access token; a token that is not valid is no error."""
        ended = await self.sessions.end_of_token(token)
        if ended is not None:
            await self._note("session.ended", ended.user_id, ended.workspace_id, ended.id, caller)

    async def end(self, session_id: str, *, caller: Caller) -> None:
        """End a session."""
        session = await self.sessions.get(session_id)
        if session is not None:
            await self.sessions.end(session_id)
            await self._note("session.ended", session.user_id, session.workspace_id, session_id, caller)

    async def change_password(self, actor: Actor, current: str | None, new: str, *, caller: Caller) -> None:
        """Give the user another password; their other sessions end. A user without a password leaves ``current`` out.

        Raises:
            OwnLoginNeededError: the actor is not a user who logged in, but an OAuth client or an API key.
            LoginThrottledError, TooManyLoginsError: the password was not checked.
            WrongCredentialsError: ``current`` is not the password.
            InvalidArgumentsError: ``new`` is not valid.
        """
        await require_own_login(actor, self.sessions)
        user = await self._accounts.store.get(actor.user_id)
        if user is None:
            raise OwnLoginNeededError
        if user.password_hash is not None:
            await self._checked(user.email, current or "", caller=caller)
        await self._accounts.set_password(user, new)
        await self.sessions.end_all(user.id, but=actor.session_id)
        self._audit.note(actor, "user.password_changed", f"user:{user.id}")
        await self._audit.written()

    async def membership(self, user_id: str, workspace_id: str | None = None) -> Membership:
        """The user's membership in a workspace; without one named, in their own.

        Raises:
            WorkspaceNotFoundError: they do not belong to it.
        """
        memberships = await self._workspaces.of_user(user_id)
        if workspace_id is None:
            return own_membership(memberships, user_id)
        for membership in memberships:
            if membership.workspace_id == workspace_id:
                return membership
        raise WorkspaceNotFoundError(workspace_id)

    async def role(self, user_id: str, workspace_id: str) -> Role | None:
        """The user's role in a workspace; ``None`` where they do not belong to it."""
        memberships = await self._workspaces.of_user(user_id)
        return next((each.role for each in memberships if each.workspace_id == workspace_id), None)

    async def memberships(self, user_id: str) -> Sequence[Membership]:
        """Every workspace that the user belongs to."""
        return await self._workspaces.of_user(user_id)

    async def _note(self, action: str, user_id: str, workspace_id: str, session_id: str, caller: Caller) -> None:
        self._audit.note(_named(user_id, workspace_id, caller), action, f"session:{session_id}")
        await self._audit.written()

    async def _note_refusal(self, user: User | None, caller: Caller) -> None:
        """Note a wrong password in the audit log of the user's own workspace.

        It takes as long where there is no such user, so that the time does not reveal which addresses have accounts.
        """
        home = await self._accounts.store.home(user.id if user is not None else "")
        if user is not None:
            self._audit.note(_named(user.id, home, caller), "session.refused", f"user:{user.id}")

    async def _checked(self, email: str, password: str, *, caller: Caller) -> User:
        """The user with the address and password.

        Raises:
            LoginThrottledError, TooManyLoginsError, WrongCredentialsError, AccountDisabledError: see there.
        """
        # An address that is not valid takes the same way as one without an account.
        account = email_key(email[: LONGEST_EMAIL + 1])
        self._throttle.begin(account, caller.address)
        user = await self._accounts.store.by_email(account) if is_email(account) else None
        try:
            is_right = await self._passwords.is_right(password, None if user is None else user.password_hash)
        except TooManyLoginsError:
            self._throttle.withdraw(account, caller.address)
            raise
        if user is None or not is_right:
            # Not with which address: it is personal data, and people type passwords into that field by mistake.
            logger.info("A login from %s failed.", caller.address)
            await self._note_refusal(user, caller)
            raise WrongCredentialsError
        self._throttle.succeeded(account, caller.address)
        if user.disabled_at is not None:
            raise AccountDisabledError
        return user


def _named(user_id: str, workspace_id: str, caller: Caller) -> Actor:
    """The user as the audit log names them; they have no rights by it."""
    return Actor(
        user_id=user_id,
        workspace_id=workspace_id,
        scopes=NO_SCOPES,
        attainable=NO_SCOPES,
        client=caller.client,
    )


def own_membership(memberships: Sequence[Membership], user_id: str) -> Membership:
    """The user's own workspace: the one made with their account, or else one they own, or the first.

    Raises:
        WorkspaceNotFoundError: they belong to none.
    """
    if not memberships:
        raise WorkspaceNotFoundError(user_id)
    made_with_it = next((each for each in memberships if each.workspace_id in (user_id, LOCAL_ID)), None)
    owned = next((each for each in memberships if each.role is Role.OWNER), None)
    return made_with_it or owned or memberships[0]
