"""Sessions: opens and ends them, exchanges refresh tokens, and verifies access tokens."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from server.auth.sessions.tokens import AccessTokens, Claims, InvalidTokenError, new_token, token_hash
from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import SCOPES_OF_ROLE, Actor, Role, Scopes
from workflow.ports import Clock, NewId
from workflow.sessions import Session, SessionStore

logger = logging.getLogger(__name__)

LOGIN_LIFETIME = timedelta(hours=24)
"""How long a session of a user who logged in is kept (docs/contract.md, "The flows")."""

REFRESH_PREFIX = "jsr_"
MACHINE = "machine:"
KNOWN_FOR = timedelta(seconds=3.5)
"""How long a verified token is cached: a session that another process ended ends here after this time at most."""
KNOWN_AT_MOST = 10_000
"""Tokens that are cached; about 10 MB."""


class InvalidGrantError(JobsprintError):
    """The refresh token is not valid: unknown, spent, another client's, or its session has ended."""

    code = "invalid_grant"
    kind = ErrorKind.UNAUTHENTICATED

    def __init__(self, reason: str) -> None:
        super().__init__(f"The session does not go on: {reason}.", fix="Log in, or authorize the client, again.")


class Standing(Protocol):
    """Looks up what users may do now."""

    async def standing(self, user_id: str, workspace_id: str) -> Role | None:
        """The user's role in the workspace; ``None`` where they are disabled, unknown, or do not belong to it."""
        ...


@dataclass(slots=True, frozen=True, kw_only=True)
class Tokens:
    """What a client gets. ``scopes`` are those of the access token, which expires in ``expires_in_seconds``."""

    access_token: str
    refresh_token: str | None
    expires_in_seconds: int
    scopes: Scopes
    session_id: str


@dataclass(slots=True, frozen=True, kw_only=True)
class _Known:
    """A verified token, cached for a few seconds. It expires by itself at ``expires_at``."""

    actor: Actor
    until: datetime
    expires_at: datetime


class Sessions:
    """Opens, prolongs and ends sessions; a :class:`server.http.access.TokenVerifier` of their access tokens."""

    def __init__(
        self, *, store: SessionStore, standing: Standing, access_tokens: AccessTokens, clock: Clock, new_id: NewId
    ) -> None:
        self._store = store
        self._standing = standing
        self._access_tokens = access_tokens
        self._clock = clock
        self._new_id = new_id
        self._known: OrderedDict[str, _Known] = OrderedDict()
        # Counts invalidations, so that a token whose lookup began before one is not cached after it.
        self._forgotten = 0

    async def open(
        self,
        *,
        user_id: str,
        workspace_id: str,
        scopes: Scopes,
        client_id: str | None = None,
        client_name: str,
        lifetime: timedelta,
        has_refresh: bool = True,
    ) -> Tokens:
        """A new session's tokens. ``user_id`` is a user's, or ``machine:`` and a client's id.

        Raises:
            InvalidGrantError: the user is disabled, or does not belong to the workspace.
        """
        now = self._clock.now()
        session = Session(
            id=self._new_id(),
            user_id=user_id,
            workspace_id=workspace_id,
            client_id=client_id,
            client_name=client_name,
            scopes=scopes,
            created_at=now,
            expires_at=now + lifetime,
        )
        granted = await self._granted(session)
        refresh_token = new_token(REFRESH_PREFIX) if has_refresh else None
        await self._store.add(session, refresh_hash=None if refresh_token is None else token_hash(refresh_token))
        return self._tokens(session, scopes & granted, refresh_token)

    async def refresh(self, token: str, *, client_id: str | None = None, scopes: Scopes | None = None) -> Tokens:
        """New tokens for a refresh token, which is spent by this; using a spent one ends its session.

        ``scopes`` narrow the new access token, not the session.

        Raises:
            InvalidGrantError: it is not valid.
        """
        spent, now = token_hash(token), self._clock.now()
        held = await self._store.holder(spent, now=now)
        if held is None or held.session.client_id != client_id:
            raise InvalidGrantError("the refresh token is unknown, or over")
        session = held.session
        granted = await self._granted(session)
        asked = session.scopes if scopes is None else scopes & session.scopes
        fresh = new_token(REFRESH_PREFIX)
        if held.is_spent or not await self._store.rotate(session.id, spent, token_hash(fresh), now=now):
            await self.end(session.id)
            logger.warning("A refresh token of session %s was used twice; the session has ended.", session.id)
            raise InvalidGrantError("its refresh token was used twice, so that somebody may have stolen it")
        return self._tokens(session, asked & granted, fresh)

    async def get(self, session_id: str) -> Session | None:
        """The session, if it has not ended."""
        return await self._store.get(session_id, now=self._clock.now())

    async def end(self, session_id: str) -> None:
        """End a session; its access tokens are not valid here any more."""
        await self._store.end(session_id, now=self._clock.now())
        self._forget(lambda actor: actor.session_id == session_id)

    async def end_of_token(self, token: str, *, client_id: str | None = None) -> Session | None:
        """End the session of a refresh or access token, if the client is the session's; the session that ended.

        A spent refresh token and an expired access token are accepted.
        """
        now = self._clock.now()
        session: Session | None
        if token.startswith(REFRESH_PREFIX):
            held = await self._store.holder(token_hash(token), now=now)
            session = None if held is None else held.session
        else:
            try:
                claims = self._access_tokens.read(token)
            except InvalidTokenError:
                return None
            session = await self._store.get(claims.session_id, now=now)
        if session is None or session.client_id != client_id:
            return None
        await self.end(session.id)
        return session

    async def end_all(self, user_id: str, *, but: str | None = None) -> None:
        """End every session of a user, or of a machine, except the one with the id ``but``."""
        await self._store.end_all(user_id, now=self._clock.now(), but=but)
        self.forget(user_id)

    def forget(self, user_id: str) -> None:
        """Drop a user's tokens from the cache: their role has changed."""
        self._forget(lambda actor: actor.user_id == user_id)

    async def actor(self, token: str) -> Actor | None:
        """Whose access token it is; see :class:`server.http.access.TokenVerifier`.

        Raises:
            InvalidTokenError: it is ours and is not valid, or no longer.
        """
        found = await self._look_up(token, is_in_progress=False)
        if found is not None and found.expires_at <= self._clock.now():
            raise InvalidTokenError("it is over")
        return None if found is None else found.actor

    async def actor_in_progress(self, token: str) -> Actor | None:
        """Whose access token it is, also when it has expired, as long as its session goes on.

        Raises:
            InvalidTokenError: it is ours and is not valid, or its session has ended.
        """
        found = await self._look_up(token, is_in_progress=True)
        return None if found is None else found.actor

    async def _look_up(self, token: str, *, is_in_progress: bool) -> _Known | None:
        now = self._clock.now()
        known = self._known.get(token)
        if known is not None and known.until > now:
            return known
        if not self._access_tokens.is_ours(token):
            return None
        claims = self._access_tokens.read(token)
        if claims.expires_at <= now and not is_in_progress:
            raise InvalidTokenError("it is over")
        forgotten = self._forgotten
        actor = await self._actor(claims, now)
        known = _Known(actor=actor, until=now + KNOWN_FOR, expires_at=claims.expires_at)
        if forgotten == self._forgotten:
            self._known[token] = known
            self._known.move_to_end(token)
            if len(self._known) > KNOWN_AT_MOST:
                self._known.popitem(last=False)
        return known

    async def _actor(self, claims: Claims, now: datetime) -> Actor:
        session = await self._store.get(claims.session_id, now=now)
        if session is None or session.user_id != claims.user_id:
            raise InvalidTokenError("its session has ended")
        try:
            granted = await self._granted(session)
        except InvalidGrantError as error:
            raise InvalidTokenError("its user may not use the workspace any more") from error
        return Actor(
            user_id=session.user_id,
            workspace_id=session.workspace_id,
            scopes=claims.scopes & session.scopes & granted,
            attainable=granted,
            client=session.client_name,
            session_id=session.id,
            is_person=session.client_id is None and not session.user_id.startswith(MACHINE),
        )

    async def _granted(self, session: Session) -> Scopes:
        """The most scopes that the session may have now: those of its user's role, or of its machine.

        Raises:
            InvalidGrantError: the user has no access any more.
        """
        if session.user_id.startswith(MACHINE):
            return session.scopes
        role = await self._standing.standing(session.user_id, session.workspace_id)
        if role is None:
            raise InvalidGrantError("its user is disabled, or does not belong to the workspace")
        return SCOPES_OF_ROLE[role]

    def _tokens(self, session: Session, scopes: Scopes, refresh_token: str | None) -> Tokens:
        access_token, seconds = self._access_tokens.issue(
            session, scopes, token_id=self._new_id(), now=self._clock.now()
        )
        return Tokens(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_in_seconds=seconds,
            scopes=scopes,
            session_id=session.id,
        )

    def _forget(self, matches: Callable[[Actor], bool]) -> None:
        self._forgotten += 1
        for token in [token for token, known in self._known.items() if matches(known.actor)]:
            del self._known[token]
