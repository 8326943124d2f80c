"""Signing in with Puter's token: whose it is says Puter, and it counts only where it was made for us."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from server.auth.outside.person import SignInFailedError
from server.auth.outside.puter import Puter, app_of
from server.auth.outside.requests import IssuerUnavailableError
from tests.doubles.puter import PuterDouble, PuterUser, answering, app_id

US = "https://jobsprint.example"
OTHERS = "https://other-site.example"


@pytest.fixture
async def double() -> AsyncIterator[PuterDouble]:
    async with answering(PuterDouble()) as double:
        yield double


@pytest.fixture
async def puter(double: PuterDouble) -> AsyncIterator[Puter]:
    rules = AddressRules(allowed=(), is_loopback_allowed=True)
    async with OutboundHttp(rules=rules, max_connections=10, max_response_bytes=1 << 20, user_agent="test") as http:
        yield Puter(api_origin=double.url, app=app_of(US), http=http)


async def test_a_token_that_was_made_for_us_names_its_user(double: PuterDouble, puter: Puter) -> None:
    user = PuterUser()
    for token in (double.signed_in(user, US), double.in_full(user, US)):
        person = await puter.person(token)
        assert (person.issuer, person.subject, person.name) == (double.url, user.uuid, "jane_puter")
        assert double.asked[-1] == f"Bearer {token}"


async def test_the_address_is_known_where_apps_may_read_it_and_whether_it_is_confirmed(
    double: PuterDouble, puter: Puter
) -> None:
    for lets_read, is_confirmed, email in [
        (False, True, None),
        (True, False, "jane@example.com"),
        (True, True, "jane@example.com"),
    ]:
        user = PuterUser(lets_apps_read_email=lets_read, is_email_confirmed=is_confirmed)
        person = await puter.person(double.signed_in(user, US))
        assert (person.email, person.is_email_verified) == (email, is_confirmed)


async def test_a_token_that_was_made_for_another_site_does_not_sign_in_here(double: PuterDouble, puter: Puter) -> None:
    with pytest.raises(SignInFailedError, match="not made for this site"):
        await puter.person(double.signed_in(PuterUser(), OTHERS))


async def test_tokens_that_are_not_for_a_site_to_know_somebody_by_are_not_even_sent_to_puter(
    double: PuterDouble, puter: Puter
) -> None:
    user = PuterUser()
    for token in (
        double.session(user),
        double.delegated(user, US),
        "",
        "a.b.c",
        "no token",
        "x" * 10_000,
        f"{double.signed_in(user, US)}\r\nHost: evil.example",
        f"{double.signed_in(user, US)}\u0661",
    ):
        with pytest.raises(SignInFailedError, match="not a token that Puter gives a site"):
            await puter.person(token)
    assert double.asked == []


async def test_a_token_that_puter_does_not_take_does_not_sign_in(double: PuterDouble, puter: Puter) -> None:
    user = PuterUser()
    revoked = double.signed_in(user, US)
    double.revoked.add(revoked)
    suspended = double.signed_in(PuterUser(is_suspended=True), US)
    for token in (double.forged(user, US), revoked, suspended):
        with pytest.raises(SignInFailedError, match="does not know the token"):
            await puter.person(token)


@pytest.mark.parametrize("status", [429, 500, 503, 302])
async def test_puter_that_does_not_answer_is_unavailable(double: PuterDouble, puter: Puter, status: int) -> None:
    double.status = status
    with pytest.raises(IssuerUnavailableError, match=f"status {status}"):
        await puter.person(double.signed_in(PuterUser(), US))


@pytest.mark.parametrize("subject", [None, 7, "", "../admin", "app-1"])
async def test_an_answer_without_a_users_id_is_not_taken(double: PuterDouble, puter: Puter, subject: object) -> None:
    double.changes = {"uuid": subject}
    with pytest.raises(IssuerUnavailableError, match="does not say who"):
        await puter.person(double.signed_in(PuterUser(), US))


def test_a_site_is_known_to_puter_by_its_origin() -> None:
    assert app_of("https://Jobsprint.example") == app_of("https://jobsprint.example/app") == app_id(US)
    assert app_of("https://jobsprint.example:8443") == app_id("https://jobsprint.example:8443")
    assert app_of("http://jobsprint.example") != app_id(US)
