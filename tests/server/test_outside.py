"""Those for whom somebody else vouches, at the door: which accounts and rights they get, and who stays outside."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from starlette.applications import Starlette

from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from server.auth.authentication import Authentication
from server.auth.outside import ways_in
from server.auth.remembered import PAUSE
from server.auth.services import AuthServices, running_auth
from server.auth.tokens import new_token, token_hash
from server.problems import handle_expected
from server.settings import BadSettingsError, Settings
from storage.audit import SqlAuditLog
from storage.clock import SystemClock
from storage.database import Database
from storage.ids import UuidFactory
from storage.invitations import SqlInvitations
from storage.migrations.runner import migrate
from tests.doubles.issuer import IssuerDouble, issuing
from tests.doubles.puter import PuterDouble, PuterUser, answering, app_id
from tests.support.engine import FixedClock
from workflow.errors import JobsprintError
from workflow.identity import Role
from workflow.workspaces import Invitation

US = "https://jobsprint.example"
AUDIENCE = f"{US}/mcp"


@dataclass(slots=True, frozen=True)
class Site:
    """A server, and a client at its door that keeps cookies."""

    http: httpx2.AsyncClient
    auth: AuthServices
    database: Database
    clock: FixedClock

    async def me(self, token: str) -> httpx2.Response:
        """What the server says to the bearer of a token of who they are."""
        return await self.http.get("/auth/me", headers={"authorization": f"Bearer {token}"})

    async def known(self, token: str) -> dict[str, Any]:
        """The same of somebody whom it knows."""
        answer = await self.me(token)
        assert answer.status_code == 200, answer.text
        known: dict[str, Any] = answer.json()
        return known

    async def back_from(self, issuer: IssuerDouble, start: str = "/auth/oidc/start") -> httpx2.Response:
        """The answer to a browser that starts to sign in, goes to the issuer, and comes back."""
        return await self.http.get(await self.way_back(start))

    async def way_back(self, start: str = "/auth/oidc/start") -> str:
        """The address that the issuer sends a browser to that starts to sign in."""
        leaving = await self.http.get(start)
        assert leaving.status_code == 303, leaving.text
        async with httpx2.AsyncClient() as elsewhere:
            location: str = (await elsewhere.get(leaving.headers["location"])).headers["location"]
        assert location.startswith(f"{US}/auth/oidc/callback?")
        return location


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def issuer(clock: FixedClock) -> AsyncIterator[IssuerDouble]:
    async with issuing(IssuerDouble(clock)) as double:
        yield double


@pytest.fixture
async def puter() -> AsyncIterator[PuterDouble]:
    async with answering(PuterDouble()) as double:
        yield double


@asynccontextmanager
async def opened(data_dir: Path, clock: FixedClock, **settings: Any) -> AsyncIterator[Site]:
    """A server with these settings."""
    chosen = Settings(data_dir=data_dir, public_url=US, **settings)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(chosen.effective_database_url))
        await migrate(database)
        new_id = UuidFactory(clock=SystemClock())
        audit = await stack.enter_async_context(SqlAuditLog(database, clock=clock, new_id=new_id))
        auth = await stack.enter_async_context(
            running_auth(chosen, database, secret=b"s" * 32, audit=audit, clock=clock, new_id=new_id)
        )
        rules = AddressRules(allowed=(), is_loopback_allowed=True)
        http = await stack.enter_async_context(
            OutboundHttp(rules=rules, max_connections=10, max_response_bytes=1 << 20, user_agent="test")
        )
        outside = ways_in(chosen, auth, secret=b"s" * 32, http=http, clock=clock)
        app = Starlette(
            routes=[*outside.api.routes(), *outside.routes], exception_handlers={JobsprintError: handle_expected}
        )
        door = Authentication(app, verifiers=[auth.sessions, *outside.verifiers], first_run=auth.first_run, base_url=US)
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=door), base_url=US)
        yield Site(await stack.enter_async_context(client), auth, database, clock)


# Tokens of an outside issuer.


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
        account = {"email": "ada@example.com", "password": "correct horse battery staple"}
        ours = (await site.http.post("/auth/register", json=account)).json()["access_token"]
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
        account = {"email": "ada@example.com", "password": "correct horse battery staple"}
        registered = (await site.http.post("/auth/register", json=account)).json()
        claimed = issuer.access_token(audience=AUDIENCE, email="Ada@Example.com")
        answer = await site.me(claimed)
        assert (answer.status_code, answer.json()["code"]) == (403, "email_not_verified")
        assert (await site.known(registered["access_token"]))["user_id"] == registered["user_id"]
        verified = issuer.access_token(audience=AUDIENCE, email="Ada@Example.com", email_verified=True)
        assert (await site.known(verified))["user_id"] == registered["user_id"]
        # Whoever made the account had not shown that the address is theirs.
        assert (await site.me(registered["access_token"])).status_code == 401
        assert (await site.http.post("/auth/login", json=account)).status_code == 401


# OpenID Connect.


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
    for part in ("httponly", "secure", "samesite=lax", "path=/auth/oidc/callback", "max-age=600"):
        assert part in cookie
    assert leaving.headers["cache-control"] == "no-store"
    query = dict(parse_qsl(urlsplit(leaving.headers["location"]).query))
    assert query["redirect_uri"] == f"{US}/auth/oidc/callback"
    assert {"code_challenge", "nonce", "state"} <= set(query)
    answer = await oidc.back_from(issuer)
    assert 'jobsprint_sign_in=""' in answer.headers["set-cookie"]


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


@pytest.mark.parametrize("name", ["oauth_issuer", "oidc_issuer", "puter_api_origin"])
@pytest.mark.parametrize("url", ["http://issuer.example", "ftp://issuer.example", "https://", "https://a@b", "x"])
def test_somebody_who_vouches_is_asked_over_https_only(name: str, url: str) -> None:
    with pytest.raises(BadSettingsError, match=f"JOBSPRINT_{name.upper()}"):
        Settings.load(**{name: url})
    assert Settings.load(**{name: "http://127.0.0.1:8080"})


# Puter.


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


async def test_what_is_not_set_is_not_there(clock: FixedClock, data_dir: Path) -> None:
    async with opened(data_dir, clock, registration="open") as site:
        assert (await site.http.post("/auth/puter", json={"token": "a.b.c"})).status_code == 404
        assert (await site.http.get("/auth/oidc/start")).status_code == 404
        assert "/auth/oidc" not in (await site.http.get("/auth/login")).text
        foreign = base64.urlsafe_b64encode(b'{"iss":"https://issuer.example"}').decode().rstrip("=")
        assert (await site.me(f"e30.{foreign}.e30")).status_code == 401
