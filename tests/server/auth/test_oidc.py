"""Signing in through an OpenID Connect issuer: the way through, and everything that must not lead through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import get_args
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from server.auth.outside.issuer import Issuer
from server.auth.outside.oidc import TIME_TO_SIGN_IN, Departure, OidcSignIn
from server.auth.outside.person import SignInFailedError
from server.auth.outside.requests import IssuerUnavailableError
from tests.doubles.issuer import IssuerDouble, Twist, issuing
from tests.support.engine import FixedClock

BACK = "https://jobsprint.example/auth/oidc/callback"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def double(clock: FixedClock) -> AsyncIterator[IssuerDouble]:
    async with issuing(IssuerDouble(clock)) as double:
        yield double


@pytest.fixture
async def http() -> AsyncIterator[OutboundHttp]:
    rules = AddressRules(allowed=(), is_loopback_allowed=True)
    async with OutboundHttp(rules=rules, max_connections=10, max_response_bytes=1 << 20, user_agent="test") as http:
        yield http


@pytest.fixture
def sign_in(double: IssuerDouble, clock: FixedClock, http: OutboundHttp) -> OidcSignIn:
    return made(double, clock, http)


def made(double: IssuerDouble, clock: FixedClock, http: OutboundHttp) -> OidcSignIn:
    return OidcSignIn(
        issuer=Issuer(double.url, http=http, clock=clock),
        client_id=double.client_id,
        client_secret=double.client_secret,
        redirect_uri=BACK,
        key=b"k" * 32,
    )


async def at_the_issuer(departure: Departure) -> dict[str, str]:
    """What the issuer sends the browser back with."""
    async with httpx2.AsyncClient() as browser:
        answer = await browser.get(departure.url)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(f"{BACK}?")
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_user_who_signs_in_at_the_issuer_is_known_here(
    double: IssuerDouble, sign_in: OidcSignIn, algorithm: str
) -> None:
    double.rotate(algorithm)
    departure = await sign_in.depart("/auth/consent?client=1")
    arrival = await sign_in.arrive(await at_the_issuer(departure), departure.cookie)
    person = arrival.person
    assert (person.issuer, person.subject) == (double.url, "248289761001")
    assert (person.email, person.name) == ("jane@example.com", "Jane Doe")
    assert arrival.next == "/auth/consent?client=1"


@pytest.mark.parametrize("methods", [["client_secret_basic", "client_secret_post"], ["client_secret_post"], None])
async def test_the_server_proves_itself_as_the_issuer_wants(
    double: IssuerDouble, sign_in: OidcSignIn, methods: list[str] | None
) -> None:
    double.metadata_changes = {"token_endpoint_auth_methods_supported": methods}
    departure = await sign_in.depart("/")
    await sign_in.arrive(await at_the_issuer(departure), departure.cookie)
    assert ("client_secret" in double.token_requests[-1]) == (methods == ["client_secret_post"])


async def test_a_public_client_proves_itself_by_pkce(
    double: IssuerDouble, clock: FixedClock, http: OutboundHttp
) -> None:
    double.client_secret = None
    sign_in = made(double, clock, http)
    departure = await sign_in.depart("/")
    assert (await sign_in.arrive(await at_the_issuer(departure), departure.cookie)).person.subject == "248289761001"


async def test_whether_an_address_is_verified_says_the_issuer(double: IssuerDouble, sign_in: OidcSignIn) -> None:
    for said, is_verified in [(True, True), ("true", True), (False, False), ("false", False), (None, False)]:
        double.person["email_verified"] = said
        departure = await sign_in.depart("/")
        person = (await sign_in.arrive(await at_the_issuer(departure), departure.cookie)).person
        assert (person.email, person.is_email_verified) == ("jane@example.com", is_verified)


async def test_what_is_no_address_or_name_is_passed_over(double: IssuerDouble, sign_in: OidcSignIn) -> None:
    double.person |= {"email": "<script>@", "name": " \ud800\n\x00 ", "preferred_username": "jane\x07\u202edoe"}
    departure = await sign_in.depart("/")
    person = (await sign_in.arrive(await at_the_issuer(departure), departure.cookie)).person
    assert (person.email, person.name) == (None, "jane doe")


@pytest.mark.parametrize("twist", get_args(Twist))
async def test_an_answer_in_which_one_thing_is_wrong_lets_nobody_in(
    double: IssuerDouble, sign_in: OidcSignIn, twist: Twist
) -> None:
    double.twist = twist
    departure = await sign_in.depart("/")
    back = await at_the_issuer(departure)
    with pytest.raises(SignInFailedError, match="issuer's answer"):
        await sign_in.arrive(back, departure.cookie)


async def test_a_sign_in_counts_once(double: IssuerDouble, sign_in: OidcSignIn) -> None:
    departure = await sign_in.depart("/")
    back = await at_the_issuer(departure)
    await sign_in.arrive(back, departure.cookie)
    with pytest.raises(SignInFailedError, match="done already"):
        await sign_in.arrive(back, departure.cookie)


async def test_another_process_learns_from_the_issuer_that_a_code_is_spent(
    double: IssuerDouble, sign_in: OidcSignIn, clock: FixedClock, http: OutboundHttp
) -> None:
    departure = await sign_in.depart("/")
    back = await at_the_issuer(departure)
    await sign_in.arrive(back, departure.cookie)
    with pytest.raises(SignInFailedError, match="does not know the code"):
        await made(double, clock, http).arrive(back, departure.cookie)


async def test_only_the_browser_that_left_can_come_back(double: IssuerDouble, sign_in: OidcSignIn) -> None:
    mine, others = await sign_in.depart("/"), await sign_in.depart("/")
    back = await at_the_issuer(mine)
    head, payload, _ = mine.cookie.split(".")
    for cookie in (None, "", "a.b.c", others.cookie, f"{head}.{payload}.", f"{mine.cookie}x"):
        with pytest.raises(SignInFailedError):
            await sign_in.arrive(back, cookie)
    for changed in ({**back, "state": "x"}, {**back, "state": "\udfff"}, {"code": back["code"]}):
        with pytest.raises(SignInFailedError):
            await sign_in.arrive(changed, mine.cookie)
    assert double.token_requests == []


async def test_another_issuers_answer_is_not_taken(double: IssuerDouble, sign_in: OidcSignIn) -> None:
    for named in ({"iss": "https://issuer.example"}, {}):
        departure = await sign_in.depart("/")
        back = await at_the_issuer(departure)
        del back["iss"]
        with pytest.raises(SignInFailedError, match="another issuer's"):
            await sign_in.arrive({**back, **named}, departure.cookie)
    assert double.token_requests == []


async def test_an_issuer_that_never_names_itself_need_not(double: IssuerDouble, sign_in: OidcSignIn) -> None:
    double.metadata_changes = {"authorization_response_iss_parameter_supported": False}
    departure = await sign_in.depart("/")
    back = await at_the_issuer(departure)
    del back["iss"]
    assert (await sign_in.arrive(back, departure.cookie)).person.subject == "248289761001"


async def test_a_user_whom_the_issuer_refuses_is_refused_here(double: IssuerDouble, sign_in: OidcSignIn) -> None:
    double.denies = True
    departure = await sign_in.depart("/")
    with pytest.raises(SignInFailedError, match="refused: access_denied") as caught:
        await sign_in.arrive(await at_the_issuer(departure), departure.cookie)
    assert "<b>" not in caught.value.message


async def test_a_sign_in_does_not_take_for_ever(double: IssuerDouble, sign_in: OidcSignIn, clock: FixedClock) -> None:
    departure = await sign_in.depart("/")
    back = await at_the_issuer(departure)
    clock.at += TIME_TO_SIGN_IN + timedelta(seconds=1)
    with pytest.raises(SignInFailedError, match="too long"):
        await sign_in.arrive(back, departure.cookie)


async def test_a_code_without_the_right_verifier_is_worth_nothing(double: IssuerDouble, sign_in: OidcSignIn) -> None:
    mine, others = await sign_in.depart("/"), await sign_in.depart("/")
    stolen = (await at_the_issuer(others))["code"]
    state = dict(parse_qsl(urlsplit(mine.url).query))["state"]
    with pytest.raises(SignInFailedError, match="does not know the code"):
        await sign_in.arrive({"state": state, "code": stolen, "iss": double.url}, mine.cookie)


async def test_an_issuer_that_does_not_know_us_is_no_fault_of_who_signs_in(
    double: IssuerDouble, sign_in: OidcSignIn
) -> None:
    departure = await sign_in.depart("/")
    back = await at_the_issuer(departure)
    double.client_secret = "another one"
    with pytest.raises(IssuerUnavailableError, match="status 401 and 'invalid_client'"):
        await sign_in.arrive(back, departure.cookie)


@pytest.mark.parametrize("lacking", ["authorization_endpoint", "jwks_uri"])
async def test_nobody_is_sent_to_an_issuer_without_what_it_takes(
    double: IssuerDouble, sign_in: OidcSignIn, lacking: str
) -> None:
    double.metadata_changes = {lacking: None}
    with pytest.raises(IssuerUnavailableError, match="does not say where"):
        await sign_in.depart("/")


async def test_while_the_issuer_is_down_nobody_is_sent_there(double: IssuerDouble, sign_in: OidcSignIn) -> None:
    double.is_down = True
    with pytest.raises(IssuerUnavailableError, match="status 503"):
        await sign_in.depart("/")
