"""Signing in with a token of Puter: the account and the session, and whose tokens stay outside."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.doubles.puter import PuterDouble, PuterUser, answering, app_id
from tests.support.engine import FixedClock
from tests.support.site import US, Site, opened


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still until it is moved."""
    return FixedClock()


@pytest.fixture
async def puter() -> AsyncIterator[PuterDouble]:
    """Puter."""
    async with answering(PuterDouble()) as double:
        yield double


@pytest.fixture
async def with_puter(puter: PuterDouble, clock: FixedClock, data_dir: Path) -> AsyncIterator[Site]:
    """A server that takes Puter's tokens."""
    async with opened(data_dir, clock, puter_sign_in=True, puter_api_origin=puter.url, registration="open") as site:
        yield site


async def test_a_user_of_puter_has_an_account_and_a_session(puter: PuterDouble, with_puter: Site) -> None:
    user = PuterUser()
    answer = await with_puter.http.post("/auth/puter", json={"token": puter.signed_in(user, US)})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    signed_in = answer.json()
    assert signed_in["name"] == "jane_puter"
    known = await with_puter.known(signed_in["access_token"])
    assert known["user_id"] == signed_in["user_id"]
    assert "logged in as jane_puter" in (await with_puter.http.get("/auth/account")).text
    again = await with_puter.http.post("/auth/puter", json={"token": puter.signed_in(user, US)})
    assert again.json()["user_id"] == signed_in["user_id"]
    refreshed = await with_puter.http.post("/auth/refresh", json={"refresh_token": signed_in["refresh_token"]})
    assert refreshed.status_code == 200


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_puters_token_is_kept_nowhere(
    puter: PuterDouble, with_puter: Site, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for token in (puter.signed_in(PuterUser(), US), puter.signed_in(PuterUser(), "https://other.example")):
        answer = await with_puter.http.post("/auth/puter", json={"token": token})
        signature = token.rpartition(".")[2]
        assert signature not in answer.text
        assert signature not in caplog.text
        kept = everything_in(data_dir)
        assert len(kept) > 10_000
        assert signature.encode() not in kept


async def test_a_token_that_another_site_was_given_does_not_sign_in_here(puter: PuterDouble, with_puter: Site) -> None:
    user = PuterUser()
    for token in (
        puter.signed_in(user, "https://other.example"),
        puter.session(user),
        puter.delegated(user, US),
        puter.forged(user, US),
    ):
        answer = await with_puter.http.post("/auth/puter", json={"token": token})
        assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_failed")
        assert "set-cookie" not in answer.headers
    assert not await with_puter.auth.users.all()


async def test_a_site_that_is_registered_with_puter_takes_the_tokens_of_its_app(
    puter: PuterDouble, clock: FixedClock, data_dir: Path
) -> None:
    page = "https://app.other.example"
    settings = {"puter_sign_in": True, "puter_api_origin": puter.url, "puter_app": app_id(page), "registration": "open"}
    async with opened(data_dir, clock, **settings) as site:
        ours = await site.http.post("/auth/puter", json={"token": puter.signed_in(PuterUser(), page)})
        others = await site.http.post("/auth/puter", json={"token": puter.signed_in(PuterUser(), US)})
    assert (ours.status_code, others.status_code) == (200, 401)


async def test_puters_users_get_accounts_as_registration_says_whatever_is_said_of_issuers(
    puter: PuterDouble, clock: FixedClock, data_dir: Path
) -> None:
    settings = {"puter_sign_in": True, "puter_api_origin": puter.url, "issuer_registration": True}
    async with opened(data_dir, clock, **settings) as site:
        answer = await site.http.post("/auth/puter", json={"token": puter.signed_in(PuterUser(), US)})
    assert (answer.status_code, answer.json()["code"]) == (403, "registration_closed")


async def test_while_puter_is_down_the_answer_is_503(puter: PuterDouble, with_puter: Site) -> None:
    puter.status = 502
    answer = await with_puter.http.post("/auth/puter", json={"token": puter.signed_in(PuterUser(), US)})
    assert (answer.status_code, answer.json()["code"]) == (503, "issuer_unavailable")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"token": "a.b.c"}', "text/plain"),
        (b"token=a.b.c", "application/x-www-form-urlencoded"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"{}", "application/json"),
        (b'{"token": 7}', "application/json"),
        (b'{"token": "a.b.c", "more": 1}', "application/json"),
        (b'{"token": "' + b"x" * 10_000 + b'"}', "application/json"),
    ],
)
async def test_only_json_with_a_token_is_taken(
    puter: PuterDouble, with_puter: Site, body: bytes, content_type: str
) -> None:
    answer = await with_puter.http.post("/auth/puter", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_arguments")
    assert puter.asked == []
