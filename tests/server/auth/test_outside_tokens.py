"""Access tokens of an outside issuer at the door: whose they are, what they let do, and which stay outside."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from server.auth.outside.cached_documents import PAUSE
from server.auth.sessions.first_run import require_authentication
from server.settings.settings import BadSettingsError, Settings
from tests.doubles.issuer import IssuerDouble, issuing
from tests.support.engine import FixedClock
from tests.support.site import ACCOUNT, AUDIENCE, US, Site, opened


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still until it is moved."""
    return FixedClock()


@pytest.fixture
async def issuer(clock: FixedClock) -> AsyncIterator[IssuerDouble]:
    """The issuer."""
    async with issuing(IssuerDouble(clock)) as double:
        yield double


@pytest.fixture
async def resource(issuer: IssuerDouble, clock: FixedClock, data_dir: Path) -> AsyncIterator[Site]:
    """A server that takes the issuer's tokens."""
    async with opened(data_dir, clock, oauth_issuer=issuer.url, issuer_registration=True) as site:
        yield site


async def test_the_bearer_of_an_issuers_token_is_a_user_with_a_workspace_of_their_own(
    issuer: IssuerDouble, resource: Site
) -> None:
    token = issuer.access_token(audience=AUDIENCE, scope="openid workflows:read executions:* all:things")
    known = await resource.known(token)
    assert known["scope"] == "workflows:read executions:read executions:run"
    assert known["workspaces"][0]["role"] == "owner"
    assert known["client"] == f"an-agent of {urlsplit(issuer.url).netloc}"
    assert known["email"].endswith("@127.0.0.1.invalid")
    again = await resource.known(issuer.access_token(audience=AUDIENCE))
    assert again["user_id"] == known["user_id"]
    issuer.person["sub"] = "somebody else"
    other = await resource.known(issuer.access_token(audience=AUDIENCE))
    assert other["user_id"] != known["user_id"]
    assert other["workspace_id"] != known["workspace_id"]


@pytest.mark.parametrize(
    ("claims", "scope"),
    [
        ({"scope": None}, ""),
        ({"scope": None, "scp": "workflows:read prompts:write"}, "workflows:read prompts:write"),
        ({"scope": None, "scp": ["workflows:read", 7, None]}, "workflows:read"),
        ({"scope": 7, "scp": {"workflows:read": True}}, ""),
        ({"scope": "*:* * Workflows:Read workflows:read:x :"}, ""),
    ],
)
async def test_a_token_grants_the_scopes_of_ours_that_it_names(
    issuer: IssuerDouble, resource: Site, claims: dict[str, Any], scope: str
) -> None:
    assert (await resource.known(issuer.access_token(audience=AUDIENCE, **claims)))["scope"] == scope


async def test_an_issuer_may_write_a_prefix_before_our_scopes_and_another_audience(
    issuer: IssuerDouble, clock: FixedClock, data_dir: Path
) -> None:
    settings = {"oauth_scope_prefix": "api://jobsprint/", "oauth_audience": "api://jobsprint"}
    async with opened(data_dir, clock, oauth_issuer=issuer.url, issuer_registration=True, **settings) as site:
        token = issuer.access_token(audience="api://jobsprint", scope="api://jobsprint/workflows:read admin")
        assert (await site.known(token))["scope"] == "workflows:read"
        assert (await site.me(issuer.access_token(audience=AUDIENCE))).status_code == 401


async def test_a_token_that_does_not_count_is_refused_with_401_and_where_to_get_one(
    issuer: IssuerDouble, resource: Site
) -> None:
    for token, why in [
        (issuer.access_token(audience="https://other.example"), "is not for"),
        (issuer.access_token(audience=AUDIENCE, exp=1), "has expired"),
        (issuer.access_token(audience=AUDIENCE)[:-8] + "AAAAAAAA", "not signed"),
        (issuer.access_token(audience=AUDIENCE)[:-8] + "!", "Nobody knows"),
        (issuer.unsigned({"iss": issuer.url, "aud": AUDIENCE, "exp": 2e9, "sub": "me"}), "'none'"),
        (issuer.signed_with_public_key({"iss": issuer.url, "aud": AUDIENCE, "exp": 2e9, "sub": "me"}), "'HS256'"),
        (issuer.signed({"iss": issuer.url, "aud": AUDIENCE, "exp": 2e9, "sub": "me"}, typ="logout+jwt"), "kind"),
        (issuer.access_token(audience=AUDIENCE, cnf={"jkt": "a thumbprint"}), "bound to a key"),
        (issuer.signed({"iss": "https://issuer.example", "aud": AUDIENCE}), "Nobody knows"),
        (issuer.signed({"iss": US, "aud": AUDIENCE, "exp": 2e9, "sub": "me"}), "does not count"),
    ]:
        answer = await resource.me(token)
        assert answer.status_code == 401, (why, answer.text)
        assert why in answer.json()["title"]
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_somebody_new_stays_outside_where_registration_is_closed(
    issuer: IssuerDouble, clock: FixedClock, data_dir: Path
) -> None:
    async with opened(data_dir, clock, oauth_issuer=issuer.url) as site:
        answer = await site.me(issuer.access_token(audience=AUDIENCE))
        assert (answer.status_code, answer.json()["code"]) == (403, "registration_closed")
        assert not await site.auth.users.all()


async def test_an_agents_first_requests_at_once_are_one_user(issuer: IssuerDouble, resource: Site) -> None:
    token = issuer.access_token(audience=AUDIENCE)
    answers = await asyncio.gather(*(resource.known(token) for _ in range(20)))
    assert len({answer["user_id"] for answer in answers}) == 1
    assert len(await resource.auth.users.all()) == 1


async def test_while_the_issuer_is_down_its_tokens_get_503_and_ours_go_on(
    issuer: IssuerDouble, clock: FixedClock, data_dir: Path
) -> None:
    issuer.is_down = True
    async with opened(data_dir, clock, oauth_issuer=issuer.url, issuer_registration=True, registration="open") as site:
        ours = (await site.http.post("/auth/register", json=ACCOUNT)).json()["access_token"]
        theirs = issuer.access_token(audience=AUDIENCE)
        answer = await site.me(theirs)
        assert (answer.status_code, answer.json()["code"]) == (503, "issuer_unavailable")
        assert (await site.known(ours))["email"] == "ada@example.com"
        issuer.is_down = False
        clock.at += PAUSE
        assert (await site.known(theirs))["scope"] == "workflows:read"


async def test_a_user_who_is_disabled_is_outside_at_once(issuer: IssuerDouble, resource: Site) -> None:
    token = issuer.access_token(audience=AUDIENCE)
    user_id = (await resource.known(token))["user_id"]
    await resource.auth.users.set_disabled(user_id, resource.clock.now())
    assert (await resource.me(token)).status_code == 401
    assert (await resource.me(issuer.access_token(audience=AUDIENCE))).status_code == 403


async def test_a_token_counts_no_longer_than_it_says(issuer: IssuerDouble, resource: Site, clock: FixedClock) -> None:
    token = issuer.access_token(audience=AUDIENCE)
    await resource.known(token)
    clock.at += timedelta(seconds=331)
    assert (await resource.me(token)).status_code == 401


async def test_an_address_that_the_issuer_verified_leads_to_the_account_that_has_it(
    issuer: IssuerDouble, clock: FixedClock, data_dir: Path
) -> None:
    async with opened(data_dir, clock, oauth_issuer=issuer.url, issuer_registration=True, registration="open") as site:
        registered = (await site.http.post("/auth/register", json=ACCOUNT)).json()
        claimed = issuer.access_token(audience=AUDIENCE, email="Ada@Example.com")
        answer = await site.me(claimed)
        assert (answer.status_code, answer.json()["code"]) == (403, "email_not_verified")
        assert (await site.known(registered["access_token"]))["user_id"] == registered["user_id"]
        verified = issuer.access_token(audience=AUDIENCE, email="Ada@Example.com", email_verified=True)
        assert (await site.known(verified))["user_id"] == registered["user_id"]
        # The maker of the account had not shown that the address is theirs.
        assert (await site.me(registered["access_token"])).status_code == 401
        assert (await site.http.post("/auth/login", json=ACCOUNT)).status_code == 401


@pytest.mark.parametrize("name", ["oauth_issuer", "oidc_issuer", "puter_api_origin"])
@pytest.mark.parametrize("url", ["http://issuer.example", "ftp://issuer.example", "https://", "https://a@b", "x"])
def test_somebody_who_vouches_is_asked_over_https_only(name: str, url: str) -> None:
    with pytest.raises(BadSettingsError, match=f"JOBSPRINT_{name.upper()}"):
        Settings.load(**{name: url})
    assert Settings.load(**{name: "http://127.0.0.1:8080"})


@pytest.mark.parametrize("issuer_of", ["oauth_issuer", "oidc_issuer"])
def test_a_server_that_others_reach_starts_where_an_issuer_makes_accounts(issuer_of: str) -> None:
    reachable = {"host": "0.0.0.0", issuer_of: "https://issuer.example"}
    with pytest.raises(BadSettingsError, match="nobody has an account"):
        require_authentication(Settings(**reachable), has_users=False)
    require_authentication(Settings(**reachable, issuer_registration=True), has_users=False)


async def test_what_is_not_set_is_not_there(clock: FixedClock, data_dir: Path) -> None:
    async with opened(data_dir, clock, registration="open") as site:
        assert (await site.http.post("/auth/puter", json={"token": "a.b.c"})).status_code == 404
        assert (await site.http.get("/auth/oidc/start")).status_code == 404
        assert "/auth/oidc" not in (await site.http.get("/auth/login")).text
        foreign = base64.urlsafe_b64encode(b'{"iss":"https://issuer.example"}').decode().rstrip("=")
        assert (await site.me(f"e30.{foreign}.e30")).status_code == 401
