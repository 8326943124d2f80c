"""Passwords: kept as argon2id, checked in threads, a few at a time."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import ARGON2_VERSION

from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError

T = TypeVar("T")

MIN_CHARACTERS = 10
MAX_CHARACTERS = 1_000
AT_ONCE = 2
"""Each takes 64 MiB and about 50 ms of four cores (RFC 9106, the second recommended choice; argon2-cffi's default)."""
MAX_WAITING = 64
"""About two seconds of work; further logins are refused with a time to try again."""


class TooManyLoginsError(JobsprintError):
    """The server is checking as many passwords as it may at once.

    Attributes:
        retry_after_seconds: when to try again.
    """

    code = "too_many_logins"
    kind = ErrorKind.OVERLOADED

    def __init__(self, *, retry_after_seconds: int = 2) -> None:
        super().__init__("The server checks as many passwords as it can.", fix=f"Try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class Passwords:
    """Hashes and checks; an async context manager around its threads."""

    def __init__(self, *, hasher: PasswordHasher | None = None, at_once: int = AT_ONCE) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobodys = _nobodys(self._hasher)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown()

    async def hash(self, password: str) -> str:
        """What is kept of a password.

        Raises:
            InvalidArgumentsError: it is too short or too long.
            TooManyLoginsError: too many others wait.
        """
        if len(password) < MIN_CHARACTERS or len(password) > MAX_CHARACTERS:
            raise InvalidArgumentsError(
                f"A password has from {MIN_CHARACTERS} to {MAX_CHARACTERS:,} characters; this has {len(password):,}.",
                pointer="/password",
                fix="Choose another, for example four words.",
            )
        normal = _normal(password)
        if normal is None:
            raise InvalidArgumentsError(
                "The password holds half a surrogate pair.", pointer="/password", fix="Send whole characters."
            )
        return await self._in_thread(lambda: self._hasher.hash(normal))

    async def is_right(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of the hash; with none it is not, and that takes as long to find out.

        Raises:
            TooManyLoginsError: too many others wait.
        """
        normal = _normal(password[: MAX_CHARACTERS + 1])
        if normal is None or len(password) > MAX_CHARACTERS:
            return False
        against = password_hash or self._nobodys
        return await self._in_thread(lambda: self._verify(against, normal)) and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than new hashes are."""
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError):
            # Not an argon2 hash: no password fits it.
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise TooManyLoginsError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _nobodys(hasher: PasswordHasher) -> str:
    """The hash that the password of an unknown user is compared with: it takes as long as any other, and fits no
    password. It is random: hashing one would add a tenth of a second to each start of the server."""
    salt, digest = (
        b64encode(secrets.token_bytes(length)).decode().rstrip("=") for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${costs}${salt}${digest}"


def _normal(password: str) -> str | None:
    """The password in one Unicode form for all keyboards (NFKC, RFC 8265); ``None`` where it is not valid Unicode."""
    try:
        password.encode()
    except UnicodeEncodeError:
        return None
    return unicodedata.normalize("NFKC", password)
