"""Tokens of an outside issuer: which count, and how the issuer is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from server.auth.outside.cached_documents import FRESH, KEPT, PAUSE
from server.auth.outside.issuer import Issuer, metadata_urls
from server.auth.outside.requests import IssuerUnavailableError
from server.auth.outside.signed_tokens import unverified_issuer, verified_claims
from tests.doubles.issuer import IssuerDouble, issuing, new_key
from tests.support.engine import FixedClock
from workflow.errors import JobsprintError
from workflow.identity import NotAuthenticatedError

US = "https://jobsprint.example/mcp"
LOOPBACK = AddressRules(allowed=(), is_loopback_allowed=True)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def double(clock: FixedClock) -> AsyncIterator[IssuerDouble]:
    async with issuing(IssuerDouble(clock)) as double:
        yield double


@pytest.fixture
async def issuer(double: IssuerDouble, clock: FixedClock) -> AsyncIterator[Issuer]:
    async with OutboundHttp(rules=LOOPBACK, max_connections=10, max_response_bytes=1 << 20, user_agent="test") as http:
        yield Issuer(double.url, http=http, clock=clock)


async def refusal(token: str, issuer: Issuer) -> JobsprintError:
    with pytest.raises(JobsprintError) as caught:
        await verified_claims(token, issuer=issuer, audience=US)
    return caught.value


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_token_of_the_issuer_for_us_counts(double: IssuerDouble, issuer: Issuer, algorithm: str) -> None:
    double.rotate(algorithm)
    claims = await verified_claims(double.access_token(audience=US), issuer=issuer, audience=US)
    assert (claims["sub"], claims["scope"]) == ("248289761001", "workflows:read")


async def test_one_audience_of_several_is_enough(double: IssuerDouble, issuer: Issuer) -> None:
    token = double.access_token(audience=US, aud=["https://other.example", US])
    assert (await verified_claims(token, issuer=issuer, audience=US))["iss"] == double.url


async def test_a_token_without_kid_counts_where_a_key_fits(double: IssuerDouble, issuer: Issuer) -> None:
    double.rotate("ES256", keep=True)
    token = double.signed({"iss": double.url, "aud": US, "exp": 2e9, "sub": "me"}, kid=None)
    assert (await verified_claims(token, issuer=issuer, audience=US))["sub"] == "me"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "https://other.example"}, "is not for https://jobsprint.example/mcp"),
        ({"aud": None}, "is not for"),
        ({"aud": f"{US}/"}, "is not for"),
        ({"iss": "https://issuer.example"}, "by somebody else"),
        ({"iss": None}, "by somebody else"),
        ({"exp": 1_704_542_400 - 31}, "has expired"),
        ({"exp": None}, "has no exp"),
        ({"exp": "tomorrow"}, "has a wrong exp"),
        ({"exp": float("nan")}, "has a wrong exp"),
        ({"exp": True}, "has a wrong exp"),
        ({"nbf": 1_704_542_400 + 31}, "does not count yet"),
        ({"nbf": float("nan")}, "has a wrong nbf"),
        ({"iat": 1_704_542_400 + 31}, "in the future"),
        ({"sub": None}, "who it is about"),
        ({"sub": ""}, "who it is about"),
        ({"sub": "x" * 256}, "who it is about"),
    ],
)
async def test_a_token_with_a_wrong_claim_does_not_count(
    double: IssuerDouble, issuer: Issuer, claims: dict[str, Any], why: str
) -> None:
    error = await refusal(double.access_token(audience=US, **claims), issuer)
    assert isinstance(error, NotAuthenticatedError)
    assert why in error.message


async def test_clocks_may_differ_a_little(double: IssuerDouble, issuer: Issuer) -> None:
    now = 1_704_542_400
    token = double.access_token(audience=US, exp=now - 29, nbf=now + 29, iat=now + 29)
    assert await verified_claims(token, issuer=issuer, audience=US)


async def test_a_token_that_is_not_signed_by_the_issuer_does_not_count(double: IssuerDouble, issuer: Issuer) -> None:
    claims = {"iss": double.url, "aud": US, "exp": 2e9, "sub": "me"}
    foreign = new_key()
    valid = double.signed(claims)
    header, _, signature = valid.split(".")
    other_payload = double.signed({**claims, "sub": "you"}).split(".")[1]
    for token, why in [
        (double.unsigned(claims), "is signed with 'none'"),
        (double.signed_with_public_key(claims), "is signed with 'HS256'"),
        (double.signed(claims, key=foreign), "not signed with one of the issuer's keys"),
        (double.signed(claims, key=foreign, kid=double.keys[-1].id), "not signed with one of the issuer's keys"),
        (double.signed(claims, crit=["new"], new=True), "no JSON Web Token"),
        (f"{header}.{other_payload}.{signature}", "not signed with one of the issuer's keys"),
        (f"{header}.{other_payload}.", "not signed with one of the issuer's keys"),
        (valid + "x" * (16 << 10), "too long"),
        ("not.a.token", "no JSON Web Token"),
        ("", "no JSON Web Token"),
    ]:
        error = await refusal(token, issuer)
        assert isinstance(error, NotAuthenticatedError), token
        assert why in error.message


async def test_keys_of_other_kinds_are_passed_over(double: IssuerDouble, issuer: Issuer) -> None:
    token = double.access_token(audience=US)
    good = double.keys[-1]

    class Odd:
        def __init__(self, entry: Any) -> None:
            self.entry = entry

        def public(self) -> Any:
            return self.entry

    odd: list[Any] = [
        Odd("a text"),
        Odd({"kty": "oct", "k": "c2VjcmV0", "kid": good.id}),
        Odd({**new_key().public(), "use": "enc", "kid": good.id}),
        Odd({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": good.id}),
        Odd({"kty": "EC", "crv": "P-999", "x": "", "y": "", "kid": good.id}),
    ]
    double.keys[:] = [*odd, good]
    assert await verified_claims(token, issuer=issuer, audience=US)


async def test_a_private_key_that_was_published_by_mistake_does_not_sign(double: IssuerDouble, issuer: Issuer) -> None:
    token = double.signed_with_public_key({"iss": double.url, "aud": US, "exp": 2e9, "sub": "me"})
    assert "HS256" in (await refusal(token, issuer)).message


async def test_keys_are_fetched_once_and_again_when_an_unknown_one_signs(
    double: IssuerDouble, issuer: Issuer, clock: FixedClock
) -> None:
    for _ in range(3):
        await verified_claims(double.access_token(audience=US), issuer=issuer, audience=US)
    assert double.asked == ["/.well-known/openid-configuration", "/keys"]
    double.rotate("ES256")
    clock.at += PAUSE
    await verified_claims(double.access_token(audience=US), issuer=issuer, audience=US)
    assert double.asked.count("/keys") == 2


async def test_made_up_key_ids_do_not_make_us_ask_the_issuer_all_the_time(
    double: IssuerDouble, issuer: Issuer, clock: FixedClock
) -> None:
    await verified_claims(double.access_token(audience=US), issuer=issuer, audience=US)
    clock.at += PAUSE
    for number in range(20):
        token = double.signed({"iss": double.url}, kid=f"made-up-{number}")
        assert "not signed" in (await refusal(token, issuer)).message
    assert double.asked.count("/keys") == 2


async def test_a_key_that_the_issuer_withdrew_counts_no_more_after_a_while(
    double: IssuerDouble, issuer: Issuer, clock: FixedClock
) -> None:
    token = double.access_token(audience=US, exp=2e9)
    await verified_claims(token, issuer=issuer, audience=US)
    double.rotate()
    clock.at += FRESH
    assert "not signed" in (await refusal(token, issuer)).message


async def test_what_was_fetched_is_used_while_the_issuer_is_down_but_not_for_good(
    double: IssuerDouble, issuer: Issuer, clock: FixedClock
) -> None:
    token = double.access_token(audience=US, exp=2e9)
    await verified_claims(token, issuer=issuer, audience=US)
    double.is_down = True
    clock.at += FRESH
    await verified_claims(token, issuer=issuer, audience=US)
    clock.at += KEPT
    assert isinstance(await refusal(token, issuer), IssuerUnavailableError)
    double.is_down = False
    clock.at += PAUSE
    await verified_claims(token, issuer=issuer, audience=US)


async def test_while_the_issuer_is_slow_one_caller_waits_and_the_others_have_what_was_fetched_before(
    double: IssuerDouble, issuer: Issuer, clock: FixedClock
) -> None:
    token = double.access_token(audience=US, exp=2e9)
    await verified_claims(token, issuer=issuer, audience=US)
    clock.at += FRESH
    double.answers.clear()
    double.was_asked.clear()
    async with asyncio.timeout(20):
        first = asyncio.create_task(verified_claims(token, issuer=issuer, audience=US))
        await double.was_asked.wait()
        await verified_claims(token, issuer=issuer, audience=US)
        assert not first.done()
        double.answers.set()
        assert await first


async def test_callers_who_need_the_keys_at_once_ask_once_and_one_who_goes_away_keeps_nobody_waiting(
    double: IssuerDouble, issuer: Issuer
) -> None:
    double.answers.clear()
    async with asyncio.timeout(20):
        first, *others = (
            asyncio.create_task(verified_claims(double.access_token(audience=US), issuer=issuer, audience=US))
            for _ in range(5)
        )
        await double.was_asked.wait()
        first.cancel()
        double.answers.set()
        assert all(await asyncio.gather(*others))
    assert double.asked.count("/keys") == 1


async def test_an_issuer_that_is_down_is_not_asked_by_every_request(
    double: IssuerDouble, issuer: Issuer, clock: FixedClock
) -> None:
    double.is_down = True
    token = double.access_token(audience=US)
    for _ in range(5):
        error = await refusal(token, issuer)
        assert isinstance(error, IssuerUnavailableError)
        assert "status 503" in error.message
    assert len(double.asked) == 1
    double.is_down = False
    clock.at += PAUSE
    assert await verified_claims(token, issuer=issuer, audience=US)


async def test_an_issuer_that_nobody_listens_for_is_unavailable(clock: FixedClock) -> None:
    async with OutboundHttp(rules=LOOPBACK, max_connections=1, max_response_bytes=1_000, user_agent="test") as http:
        issuer = Issuer("http://127.0.0.1:9", http=http, clock=clock)
        with pytest.raises(IssuerUnavailableError, match="cannot be asked"):
            await issuer.metadata()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "https://issuer.example"}, "calls itself 'https://issuer.example'"),
        ({"issuer": None}, "calls itself None"),
        ({"jwks_uri": None}, "where its keys are"),
        ({"jwks_uri": "file:///etc/passwd"}, "not https"),
        ({"token_endpoint": 7}, "not https"),
        ({"padding": "x" * (300 << 10)}, "more than 262144 bytes"),
    ],
)
async def test_metadata_of_somebody_else_or_without_what_is_needed_is_not_taken(
    double: IssuerDouble, issuer: Issuer, changes: dict[str, Any], why: str
) -> None:
    double.metadata_changes = changes
    with pytest.raises(IssuerUnavailableError, match="issuer"):
        await issuer.metadata()
    assert why in (await refusal(double.access_token(audience=US), issuer)).message


async def test_keys_that_are_no_keys_are_not_taken(double: IssuerDouble, issuer: Issuer) -> None:
    double.metadata_changes = {"jwks_uri": f"{double.url}/.well-known/openid-configuration"}
    assert "no list of keys" in (await refusal(double.access_token(audience=US), issuer)).message


def test_metadata_is_looked_for_where_the_standards_say() -> None:
    assert metadata_urls("https://issuer.example/tenant/") == [
        "https://issuer.example/tenant/.well-known/openid-configuration",
        "https://issuer.example/.well-known/oauth-authorization-server/tenant",
        "https://issuer.example/.well-known/openid-configuration/tenant",
    ]
    assert metadata_urls("https://issuer.example") == [
        "https://issuer.example/.well-known/openid-configuration",
        "https://issuer.example/.well-known/oauth-authorization-server",
    ]


def test_only_tokens_with_an_issuer_have_one(clock: FixedClock) -> None:
    double = IssuerDouble(clock, url="https://issuer.example")
    assert unverified_issuer(double.access_token(audience=US)) == "https://issuer.example"
    assert unverified_issuer(double.signed({"iss": 7})) is None
    assert unverified_issuer(double.signed({})) is None
    assert unverified_issuer("jsk_an_api_key") is None
    assert unverified_issuer("a.b.c") is None
    assert unverified_issuer("." * (17 << 10)) is None
