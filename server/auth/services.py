"""Accounts and sessions put together, for the server and for the command that manages users."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from argon2 import PasswordHasher

from server.auth.accounts.accounts import Accounts
from server.auth.accounts.logins import Logins
from server.auth.accounts.passwords import Passwords
from server.auth.accounts.throttle import LoginThrottle
from server.auth.pages.browser_sessions import PageSessions
from server.auth.pages.routes import AuthPages, SignInOption
from server.auth.routes import AuthApi
from server.auth.sessions.first_run import FirstRun, FirstRunStanding
from server.auth.sessions.sessions import Sessions
from server.auth.sessions.tokens import AccessTokens
from server.settings.secret_key import derived_key
from server.settings.settings import Settings
from storage.database.database import Database
from storage.people.accounts import SqlAccounts
from storage.people.sessions import SqlSessions
from storage.people.workspaces import SqlWorkspaces
from workflow.audit import AuditLog
from workflow.ports import Clock, NewId
from workflow.sessions import SessionStore


@dataclass(slots=True, frozen=True, kw_only=True)
class AuthServices:
    """The services that authenticate users."""

    users: SqlAccounts
    workspaces: SqlWorkspaces
    session_store: SessionStore
    sessions: Sessions
    accounts: Accounts
    logins: Logins
    first_run: FirstRun
    pages: PageSessions

    def api(self, *, options: tuple[SignInOption, ...] = ()) -> AuthApi:
        """The routes under ``/auth``; ``options`` are further ways to sign in, for the login page."""
        pages = AuthPages(
            accounts=self.accounts, logins=self.logins, first_run=self.first_run, sessions=self.pages, options=options
        )
        return AuthApi(accounts=self.accounts, logins=self.logins, first_run=self.first_run, pages=pages)


@asynccontextmanager
async def running_auth(
    settings: Settings,
    database: Database,
    *,
    secret: bytes,
    audit: AuditLog,
    clock: Clock,
    new_id: NewId,
    hasher: PasswordHasher | None = None,
) -> AsyncIterator[AuthServices]:
    """The services over a migrated database, until the context is left. ``hasher`` is for passwords.

    Raises:
        StorageError: sessions are to be kept in Redis, and it does not answer.
    """
    async with AsyncExitStack() as stack:
        passwords = await stack.enter_async_context(Passwords(hasher=hasher))
        store: SessionStore = SqlSessions(database)
        if settings.redis_url is not None:
            from storage.redis.sessions import RedisSessions

            store = await stack.enter_async_context(
                RedisSessions(settings.redis_url.get_secret_value(), prefix=settings.redis_prefix)
            )
        users, workspaces = SqlAccounts(database), SqlWorkspaces(database)
        first_run = FirstRun(store=users, is_local=settings.is_local, clock=clock)
        sessions = Sessions(
            store=store,
            standing=FirstRunStanding(store=users, first_run=first_run),
            access_tokens=AccessTokens(
                key=derived_key(secret, "access-tokens"),
                base_url=settings.base_url,
                lifetime=timedelta(seconds=settings.access_token_seconds),
            ),
            clock=clock,
            new_id=new_id,
        )
        accounts = Accounts(
            store=users,
            passwords=passwords,
            sessions=sessions,
            audit=audit,
            registration=settings.registration,
            clock=clock,
            new_id=new_id,
        )
        logins = Logins(
            accounts=accounts,
            workspaces=workspaces,
            sessions=sessions,
            passwords=passwords,
            throttle=LoginThrottle(clock=clock),
            audit=audit,
        )
        yield AuthServices(
            users=users,
            workspaces=workspaces,
            session_store=store,
            sessions=sessions,
            accounts=accounts,
            logins=logins,
            first_run=first_run,
            pages=PageSessions(
                logins=logins,
                accounts=users,
                key=derived_key(secret, "page-sessions"),
                is_secure=settings.base_url.startswith("https:"),
            ),
        )
