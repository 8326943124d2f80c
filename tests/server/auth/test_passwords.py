"""Passwords, as hashes and as what somebody types."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest
from argon2 import PasswordHasher

from server.auth.accounts.passwords import MAX_WAITING, Passwords, TooManyLoginsError
from workflow.errors import InvalidArgumentsError

PASSWORD = "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


async def test_a_password_is_kept_as_argon2id_and_known_again() -> None:
    async with Passwords() as passwords:
        kept = await passwords.hash(PASSWORD)
        assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
        assert await passwords.hash(PASSWORD) != kept
        assert await passwords.is_right(PASSWORD, kept)
        assert not await passwords.is_right(PASSWORD + " ", kept)
        assert not passwords.is_outdated(kept)


async def test_nobody_has_a_password_where_there_is_none() -> None:
    async with Passwords(hasher=QUICK) as passwords:
        for password in ("nobody's", "", PASSWORD):
            assert not await passwords.is_right(password, None)
        assert not await passwords.is_right(PASSWORD, "not a hash")


async def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    async with Passwords(hasher=PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)) as passwords:
        kept = await passwords.hash(PASSWORD)
        took: dict[str | None, list[float]] = {kept: [], None: []}
        for _ in range(15):
            for against, times in took.items():
                start = time.perf_counter()
                await passwords.is_right("wrong " + PASSWORD, against)
                times.append(time.perf_counter() - start)
        known, unknown = statistics.median(took[kept]), statistics.median(took[None])
        assert 0.5 < unknown / known < 2


@pytest.mark.parametrize("password", ["", "too short", "x" * 1_001, "half of a pair \ud800"])
async def test_a_password_that_is_too_short_too_long_or_no_text_is_refused(password: str) -> None:
    async with Passwords(hasher=QUICK) as passwords:
        with pytest.raises(InvalidArgumentsError) as caught:
            await passwords.hash(password)
        assert caught.value.pointer == "/password"
        assert not await passwords.is_right(password, await passwords.hash(PASSWORD))


async def test_a_password_is_the_same_from_every_keyboard() -> None:
    async with Passwords(hasher=QUICK) as passwords:
        assert await passwords.is_right("pa\u0308sswo\u0308rter", await passwords.hash("p\u00e4ssw\u00f6rter"))


async def test_a_hash_made_with_other_parameters_is_outdated() -> None:
    async with Passwords(hasher=QUICK) as old, Passwords() as new:
        kept = await old.hash(PASSWORD)
        assert await new.is_right(PASSWORD, kept)
        assert new.is_outdated(kept)
        assert not old.is_outdated(kept)


async def test_beyond_a_bound_nobody_waits() -> None:
    async with Passwords(hasher=QUICK, at_once=1) as passwords:
        kept = await passwords.hash(PASSWORD)
        tries = [passwords.is_right(PASSWORD, kept) for _ in range(MAX_WAITING + 3)]
        answers = await asyncio.gather(*tries, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, TooManyLoginsError)]
        assert len(refused) == 3
        assert answers.count(True) == MAX_WAITING
        assert await passwords.is_right(PASSWORD, kept)
