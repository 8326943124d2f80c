"""API keys: their form, and the verifier that finds the actor of one."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import string
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.auth.sessions.tokens import token_hash
from storage.people.api_keys import KeyHolder, SqlApiKeys
from workflow.errors import StorageError
from workflow.identity import SCOPES_OF_ROLE, Actor, NotAuthenticatedError
from workflow.ports import Clock

logger = logging.getLogger(__name__)

PREFIX = "jsk_"
SECRET_BYTES = 32
CHECKSUM_LENGTH = 6
HINT_LENGTH = 4
KNOWN_FOR = timedelta(seconds=3.5)
"""How long a verified key is cached: a revocation by another process takes effect here after this time at most."""
KNOWN_AT_MOST = 10_000
"""Keys that are cached; about 10 MB."""
USES_EVERY_SECONDS = 60.0
"""How often the times of use are stored."""

_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}[0-9A-Za-z]{{{CHECKSUM_LENGTH}}}")
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def new_key() -> str:
    """A key of 256 random bits.

    The prefix and a checksum at the end (CRC-32 in base 62) let scanners for secrets recognise one for certain.
    """
    body = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    return body + _checksum(body)


def is_key(text: str) -> bool:
    """Whether the text has the form of a key, checksum included."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):  # 62^6 is more than 2^32
        rest, digit = divmod(rest, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


@dataclass(slots=True, frozen=True, kw_only=True)
class _Known:
    """A verified key, cached for a few seconds."""

    key_id: str
    actor: Actor
    until: datetime


class ApiKeys:
    """Finds the actor of an API key (a :class:`server.http.access.TokenVerifier`), and notes when each was used."""

    def __init__(self, *, store: SqlApiKeys, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        # Counts invalidations, so that a key whose lookup began before one is not cached after it.
        self._forgotten = 0
        self._uses: dict[str, datetime] = {}

    async def actor(self, token: str) -> Actor | None:
        """Whose key it is.

        Raises:
            NotAuthenticatedError: it has the form of a key and is not valid, or no longer.
        """
        if not token.startswith(PREFIX):
            return None
        now = self._clock.now()
        key_hash = token_hash(token)
        known = self._known.get(key_hash)
        if known is None or known.until <= now:
            known = await self._look_up(token, key_hash, now)
        self._uses[known.key_id] = now
        return known.actor

    def forget(self, *, key_id: str | None = None, user_id: str | None = None) -> None:
        """Drop a key, or all of a user's, from the cache: it was revoked, or the user's role has changed."""
        self._forgotten += 1
        for key_hash, known in list(self._known.items()):
            if known.key_id == key_id or known.actor.user_id == user_id:
                del self._known[key_hash]

    async def write_uses(self) -> None:
        """Store when keys were used since the last flush.

        Raises:
            StorageError: they could not be stored; the next flush tries again.
        """
        uses, self._uses = self._uses, {}
        try:
            await self._store.used(uses)
        except StorageError:
            self._uses = uses | self._uses
            raise

    @asynccontextmanager
    async def noting_uses(self) -> AsyncIterator[None]:
        """Store the times of use at intervals until the context is left, and then once more."""
        task = asyncio.create_task(self._forever(), name="api-key-uses")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._try_to_write_uses()

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(USES_EVERY_SECONDS)
            await self._try_to_write_uses()

    async def _try_to_write_uses(self) -> None:
        try:
            await self.write_uses()
        except StorageError as error:
            logger.warning("when API keys were used could not be written: %s", error.message)

    async def _look_up(self, token: str, key_hash: str, now: datetime) -> _Known:
        if not is_key(token):
            raise _refusal("it is not whole")
        forgotten = self._forgotten
        held = await self._store.holder(key_hash)
        known = _verified(held, now)
        if forgotten == self._forgotten:
            self._known[key_hash] = known
            self._known.move_to_end(key_hash)
            if len(self._known) > KNOWN_AT_MOST:
                self._known.popitem(last=False)
        return known


def _verified(held: KeyHolder | None, now: datetime) -> _Known:
    if held is None:
        raise _refusal("there is none like it")
    key, until = held.key, now + KNOWN_FOR
    if key.revoked_at is not None:
        raise _refusal("it was revoked")
    if key.expires_at is not None:
        if key.expires_at <= now:
            raise _refusal("its time is over")
        until = min(until, key.expires_at)
    if held.is_disabled or held.role is None:
        raise _refusal("its user may not use the workspace any more")
    granted = SCOPES_OF_ROLE[held.role]
    actor = Actor(
        user_id=key.user_id,
        workspace_id=key.workspace_id,
        scopes=key.scopes & granted,
        attainable=granted,
        client=f"API key {key.name}",
    )
    return _Known(key_id=key.id, actor=actor, until=until)


def _refusal(reason: str) -> NotAuthenticatedError:
    return NotAuthenticatedError(
        f"The API key does not count: {reason}.", fix="Make another with POST /api/keys when you have logged in."
    )
