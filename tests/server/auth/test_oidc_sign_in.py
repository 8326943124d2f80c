"""Signing in with a browser through an OpenID Connect issuer, from the login page to the account and back out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from server.auth.sessions.tokens import new_token, token_hash
from server.settings.settings import BadSettingsError
from storage.people.invitations import SqlInvitations
from tests.doubles.issuer import IssuerDouble, issuing
from tests.support.engine import FixedClock
from tests.support.site import US, Site, opened
from workflow.identity import Role
from workflow.workspaces import Invitation


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
async def oidc(issuer: IssuerDouble, clock: FixedClock, data_dir: Path) -> AsyncIterator[Site]:
    """A server on which people sign in through the issuer."""
    async with opened(data_dir, clock, **oidc_settings(issuer), issuer_registration=True) as site:
        yield site


def oidc_settings(issuer: IssuerDouble) -> dict[str, Any]:
    return {
        "oidc_issuer": issuer.url,
        "oidc_client_id": issuer.client_id,
        "oidc_client_secret": issuer.client_secret,
        "oidc_name": "Example & Sons",
    }


async def test_the_login_page_leads_through_the_issuer_to_where_the_browser_wanted_to_go(
    issuer: IssuerDouble, oidc: Site
) -> None:
    login = (await oidc.http.get("/auth/login?next=/auth/account%3Fa=1")).text
    assert 'href="/auth/oidc/start?next=%2Fauth%2Faccount%3Fa%3D1"' in login
    assert "Sign in with Example &amp; Sons" in login
    answer = await oidc.back_from(issuer, "/auth/oidc/start?next=%2Fauth%2Faccount%3Fa%3D1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/auth/account?a=1")
    account = await oidc.http.get("/auth/account")
    assert "You are logged in as Jane Doe (jane@example.com)." in account.text
    assert [user.email for user in await oidc.auth.users.all()] == ["jane@example.com"]


async def test_the_same_person_is_the_same_user_next_time(issuer: IssuerDouble, oidc: Site) -> None:
    await oidc.back_from(issuer)
    issuer.person |= {"email": "jane.smith@example.com", "name": "Jane Smith"}
    await oidc.back_from(issuer)
    assert [user.email for user in await oidc.auth.users.all()] == ["jane@example.com"]


async def test_the_browser_keeps_the_sign_in_in_a_cookie_for_the_way_back_only(
    issuer: IssuerDouble, oidc: Site
) -> None:
    leaving = await oidc.http.get("/auth/oidc/start")
    cookie = leaving.headers["set-cookie"].lower()
    for part in ("__host-jobsprint_sign_in=", "httponly", "secure", "samesite=lax", "path=/;", "max-age=600"):
        assert part in cookie
    assert leaving.headers["cache-control"] == "no-store"
    query = dict(parse_qsl(urlsplit(leaving.headers["location"]).query))
    assert query["redirect_uri"] == f"{US}/auth/oidc/callback"
    assert {"code_challenge", "nonce", "state"} <= set(query)
    answer = await oidc.back_from(issuer)
    assert '__Host-jobsprint_sign_in=""' in answer.headers["set-cookie"]


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"])
async def test_nobody_is_sent_on_to_another_site(issuer: IssuerDouble, oidc: Site, elsewhere: str) -> None:
    answer = await oidc.back_from(issuer, str(httpx2.URL("/auth/oidc/start", params={"next": elsewhere})))
    assert answer.headers["location"] == "/auth/account"


async def test_a_sign_in_that_fails_ends_on_a_page_and_lets_nobody_in(issuer: IssuerDouble, oidc: Site) -> None:
    issuer.denies = True
    denied = await oidc.back_from(issuer)
    issuer.denies = False
    issuer.twist = "wrong nonce"
    twisted = await oidc.back_from(issuer)
    issuer.twist = None
    way_back = await oidc.way_back()
    oidc.http.cookies.clear()
    other_browser = await oidc.http.get(way_back)
    for answer, why in [(denied, "access_denied"), (twisted, "nonce"), (other_browser, "did not start")]:
        assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert "You are not signed in through Example &amp; Sons" in answer.text
        assert why in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "jobsprint_session" not in answer.headers["set-cookie"]
    assert (await oidc.http.get("/auth/account")).status_code == 303
    assert not await oidc.auth.users.all()


async def test_what_an_issuer_or_a_stranger_writes_is_text_on_the_page(issuer: IssuerDouble, oidc: Site) -> None:
    way_back = httpx2.URL(await oidc.way_back())
    answer = await oidc.http.get(way_back.copy_merge_params({"error": "<script>alert(1)</script>"}))
    assert "&lt;script&gt;" in answer.text
    assert "<script" not in answer.text


async def test_while_the_issuer_is_down_a_page_says_so(issuer: IssuerDouble, oidc: Site) -> None:
    issuer.is_down = True
    answer = await oidc.http.get("/auth/oidc/start")
    assert (answer.status_code, "status 503" in answer.text) == (503, True)


async def test_an_invitation_lets_in_whom_the_issuer_vouches_for(
    issuer: IssuerDouble, clock: FixedClock, data_dir: Path
) -> None:
    async with opened(data_dir, clock, **oidc_settings(issuer), registration="invitation") as site:
        owner = await site.auth.accounts.add(email="o@example.com", password="correct horse battery", client="test")
        (workspace,) = await site.auth.workspaces.of_user(owner.id)
        token = new_token("invitation_")
        await SqlInvitations(site.database).add(
            Invitation(
                id="00000000-0000-7000-8000-000000000001",
                email="jane@example.com",
                workspace_id=workspace.workspace_id,
                role=Role.VIEWER,
                invited_by=owner.id,
                created_at=clock.now(),
                expires_at=clock.now() + timedelta(days=1),
            ),
            token_hash=token_hash(token),
        )
        assert (await site.back_from(issuer)).status_code == 403
        assert (await site.back_from(issuer, f"/auth/oidc/start?invitation={token}")).status_code == 303
        jane = await site.auth.accounts.of_email("jane@example.com")
        roles = {each.workspace_id: each.role for each in await site.auth.workspaces.of_user(jane.id)}
        assert roles == {jane.id: Role.OWNER, workspace.workspace_id: Role.VIEWER}


async def test_an_id_token_is_no_access_token(issuer: IssuerDouble, clock: FixedClock, data_dir: Path) -> None:
    async with opened(
        data_dir, clock, **oidc_settings(issuer), oauth_issuer=issuer.url, issuer_registration=True
    ) as site:
        id_token = issuer.access_token(audience=issuer.client_id, nonce="a nonce")
        assert (await site.me(id_token)).status_code == 401


async def test_an_issuer_without_a_client_id_is_a_bad_setting(
    issuer: IssuerDouble, clock: FixedClock, data_dir: Path
) -> None:
    with pytest.raises(BadSettingsError, match="JOBSPRINT_OIDC_CLIENT_ID is not"):
        async with opened(data_dir, clock, oidc_issuer=issuer.url):
            raise AssertionError("it was opened")
