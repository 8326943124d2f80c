"""``/auth`` over HTTP: accounts, sessions, and who is let in to what is behind them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.auth.accounts.accounts import EmailNotVerifiedError, RegistrationClosedError, SignIn
from server.auth.sessions.tokens import token_hash
from storage.people.audit import AuditFilter
from storage.people.invitations import SqlInvitations
from tests.support.auth import PASSWORD, AuthHarness, auth_harness
from workflow.errors import InvalidArgumentsError
from workflow.identity import Role
from workflow.workspaces import Invitation

ADA = {"email": "ada@example.com", "password": PASSWORD}


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[AuthHarness]:
    """A server that others reach, where everybody may register."""
    async with auth_harness(tmp_path, host="0.0.0.0", registration="open") as harness:
        yield harness


@pytest.fixture
async def http(harness: AuthHarness) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of it."""
    async with harness.client() as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"authorization": f"Bearer {token}"}


async def logged_in(http: httpx2.AsyncClient, body: dict[str, Any] = ADA) -> dict[str, Any]:
    """What logging in gives."""
    answer = await http.post("/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def test_somebody_registers_and_is_in_for_a_day(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    made = await http.post("/auth/register", json={**ADA, "email": " Ada@Example.com", "name": "Ada"})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    content = made.json()
    assert (content["email"], content["name"], content["token_type"]) == ("ada@example.com", "Ada", "Bearer")
    assert (content["workspace_id"], content["expires_in"]) == (content["user_id"], 900)
    assert content["session_expires_at"] == (harness.clock.now() + timedelta(hours=24)).isoformat().replace(
        "+00:00", "Z"
    )
    me = await http.get("/auth/me", headers=bearer(content["access_token"]))
    assert me.json() == {
        "user_id": content["user_id"],
        "email": "ada@example.com",
        "name": "Ada",
        "workspace_id": content["user_id"],
        "workspaces": [{"workspace_id": content["user_id"], "name": "Ada", "role": "owner"}],
        "scope": content["scope"],
        "attainable_scope": content["scope"],
        "client": "login (python-httpx2/" + httpx2.__version__ + ")",
        "session": {"session_id": content["session_id"], "expires_at": content["session_expires_at"]},
    }


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({"email": "ada", "password": PASSWORD}, 400, "invalid_arguments", "/email"),
        ({"email": "a b@example.com", "password": PASSWORD}, 400, "invalid_arguments", "/email"),
        ({"email": f"{'a' * 250}@example.com", "password": PASSWORD}, 400, "invalid_arguments", "/email"),
        ({**ADA, "password": "too short"}, 400, "invalid_arguments", "/password"),
        ({**ADA, "password": "x" * 1_001}, 400, "invalid_arguments", "/password"),
        ({**ADA, "name": "\u202eada"}, 400, "invalid_arguments", "/name"),
        ({**ADA, "name": "x" * 201}, 400, "invalid_arguments", "/name"),
        ({**ADA, "role": "owner"}, 400, "invalid_arguments", "/role"),
        ({"email": "ada@example.com"}, 400, "invalid_arguments", "/password"),
        ([], 400, "invalid_arguments", ""),
        ({**ADA, "invitation": "unknown"}, 404, "invitation_not_found", None),
    ],
)
async def test_a_wrong_registration_is_refused_with_where_it_is_wrong(
    harness: AuthHarness, http: httpx2.AsyncClient, body: Any, status: int, code: str, pointer: str | None
) -> None:
    refused = await http.post("/auth/register", json=body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.json().get("pointer") == pointer
    assert not await harness.auth.users.has_any()


async def test_an_address_has_one_account(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    await harness.add_user()
    again = await http.post("/auth/register", json={**ADA, "email": "ADA@example.com"})
    assert (again.status_code, again.json()["code"]) == (409, "email_taken")


async def test_a_wrong_password_and_an_unknown_address_look_alike(
    harness: AuthHarness, http: httpx2.AsyncClient
) -> None:
    await harness.add_user()
    wrong = await http.post("/auth/login", json={**ADA, "password": "wrong " + PASSWORD})
    unknown = await http.post("/auth/login", json={**ADA, "email": "ben@example.com"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["code"] == "wrong_credentials"
    assert wrong.headers["www-authenticate"] == "Bearer"
    for email in ("", "nobody", "a\u0000b@example.com", "\ud800@example.com", f"{'a' * 900}@example.com"):
        impossible = await http.post(
            "/auth/login",
            content=json.dumps({**ADA, "email": email}),
            headers={"content-type": "application/json"},
        )
        assert impossible.status_code in (400, 401)


async def test_a_wrong_password_is_in_the_log_of_the_users_own_workspace(
    harness: AuthHarness, http: httpx2.AsyncClient
) -> None:
    user_id = await harness.add_user()
    await http.post("/auth/login", json={**ADA, "password": "wrong " + PASSWORD})
    await http.post("/auth/login", json={**ADA, "email": "ben@example.com"})
    await http.post("/auth/login", json=ADA)
    home = await harness.auth.users.home(user_id)
    page = await harness.audit.page(home, AuditFilter(action="session."), limit=9, cursor=None)
    assert [each.action for each in page.items] == ["session.opened", "session.refused"]
    assert (page.items[1].user_id, page.items[1].subject) == (user_id, f"user:{user_id}")
    assert "wrong" not in str(page.items)


async def test_after_five_wrong_passwords_a_login_has_to_wait(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    await harness.add_user()
    for _ in range(5):
        assert (await http.post("/auth/login", json={**ADA, "password": "wrong"})).status_code == 401
    held_up = await http.post("/auth/login", json=ADA)
    assert (held_up.status_code, held_up.json()["code"]) == (429, "login_throttled")
    assert held_up.headers["retry-after"] == "1"
    harness.clock.at += timedelta(seconds=1)
    await logged_in(http)


async def test_a_login_may_name_a_workspace_that_the_user_belongs_to(
    harness: AuthHarness, http: httpx2.AsyncClient
) -> None:
    ada, ben = await harness.add_user(), await harness.add_user("ben")
    await harness.auth.workspaces.put_member(ben, ada, Role.VIEWER, now=harness.clock.now())
    own = await logged_in(http)
    assert own["workspace_id"] == "local"
    bens = await logged_in(http, {**ADA, "workspace_id": ben})
    assert (bens["workspace_id"], "workflows:write" in bens["scope"]) == (ben, False)
    who = await http.get("/api/who", headers=bearer(bens["access_token"]))
    assert who.json() == {"user_id": ada, "workspace_id": ben}
    none = await http.post("/auth/login", json={**ADA, "workspace_id": "none"})
    assert (none.status_code, none.json()["code"]) == (404, "workspace_not_found")


async def test_tokens_are_refreshed_once_each(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    await harness.add_user()
    first = await logged_in(http)
    second = await http.post("/auth/refresh", json={"refresh_token": first["refresh_token"], "scope": "workflows:*"})
    assert (second.status_code, second.headers["cache-control"]) == (200, "no-store")
    assert second.json()["scope"] == "workflows:read workflows:write"
    assert (await http.get("/auth/me", headers=bearer(second.json()["access_token"]))).status_code == 200
    again = await http.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert (again.status_code, again.json()["code"]) == (401, "invalid_grant")
    assert (await http.get("/auth/me", headers=bearer(second.json()["access_token"]))).status_code == 401


@pytest.mark.parametrize("by", ["access_token", "refresh_token"])
async def test_a_logout_counts_at_once(harness: AuthHarness, http: httpx2.AsyncClient, by: str) -> None:
    await harness.add_user()
    tokens = await logged_in(http)
    other = await logged_in(http)
    assert (await http.get("/auth/me", headers=bearer(tokens["access_token"]))).status_code == 200
    if by == "access_token":
        left = await http.post("/auth/logout", headers=bearer(tokens["access_token"]))
    else:
        left = await http.post("/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    assert left.status_code == 204
    refused = await http.get("/auth/me", headers=bearer(tokens["access_token"]))
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert (await http.get("/auth/me", headers=bearer(other["access_token"]))).status_code == 200
    assert (await http.post("/auth/logout")).status_code == 204


async def test_a_disabled_user_is_out_at_once_and_cannot_log_in(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    await harness.add_user()
    tokens = await logged_in(http)
    assert (await http.get("/auth/me", headers=bearer(tokens["access_token"]))).status_code == 200
    await harness.auth.accounts.set_disabled("ada@example.com", is_disabled=True, client="test")
    assert (await http.get("/auth/me", headers=bearer(tokens["access_token"]))).status_code == 401
    assert (await http.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})).status_code == 401
    refused = await http.post("/auth/login", json=ADA)
    assert (refused.status_code, refused.json()["code"]) == (403, "account_disabled")
    wrong = await http.post("/auth/login", json={**ADA, "password": "wrong"})
    assert wrong.json()["code"] == "wrong_credentials"
    await harness.auth.accounts.set_disabled("ada@example.com", is_disabled=False, client="test")
    await logged_in(http)


async def test_another_password_ends_the_other_sessions(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    await harness.add_user()
    here, there = await logged_in(http), await logged_in(http)
    change = {"current_password": PASSWORD, "new_password": "another horse battery"}
    for body, status, code in (
        ({**change, "current_password": "wrong"}, 401, "wrong_credentials"),
        ({**change, "new_password": "short"}, 400, "invalid_arguments"),
        ({"new_password": "another horse battery"}, 401, "wrong_credentials"),
    ):
        refused = await http.post("/auth/password", json=body, headers=bearer(here["access_token"]))
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    changed = await http.post("/auth/password", json=change, headers=bearer(here["access_token"]))
    assert changed.status_code == 204
    assert (await http.get("/auth/me", headers=bearer(here["access_token"]))).status_code == 200
    assert (await http.get("/auth/me", headers=bearer(there["access_token"]))).status_code == 401
    assert (await http.post("/auth/login", json=ADA)).status_code == 401
    await logged_in(http, {**ADA, "password": "another horse battery"})


async def test_a_client_that_was_let_in_cannot_set_the_password(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    ada = await harness.add_user()
    await harness.auth.users.set_password(ada, None)
    tokens = await harness.auth.sessions.open(
        user_id=ada,
        workspace_id="local",
        scopes=frozenset(),
        client_id="client",
        client_name="Claude",
        lifetime=timedelta(days=1),
    )
    refused = await http.post(
        "/auth/password", json={"new_password": "another horse battery"}, headers=bearer(tokens.access_token)
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "own_login_needed")
    assert (await harness.auth.accounts.of_email("ada@example.com")).password_hash is None


async def test_without_a_token_nobody_gets_behind_the_door(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    await harness.add_user()
    tokens = await logged_in(http)
    metadata = f"{harness.settings.base_url}/.well-known/oauth-protected-resource/mcp"
    for path in ("/api/who", "/mcp", "/nothing", "/", "/auth/me", "/auth/password", "/healthz/", "//healthz", "/oauth"):
        refused = await http.get(path)
        assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
        assert refused.headers["www-authenticate"] == f'Bearer resource_metadata="{metadata}"'
        assert refused.headers["content-type"] == "application/problem+json"
    assert (await http.get("/healthz")).status_code == 200
    for query in ("access_token", "token"):
        by_query = await http.get("/api/who", params={query: tokens["access_token"]})
        assert by_query.status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer wrong")],
        [("authorization", "Bearer ")],
        [("authorization", "Basic YWRhOnBhc3N3b3Jk")],
        [("authorization", "TOKEN")],
        [("authorization", "TOKEN"), ("authorization", "TOKEN")],
    ],
)
async def test_a_wrong_token_is_refused_as_one(
    harness: AuthHarness, http: httpx2.AsyncClient, headers: list[tuple[str, str]]
) -> None:
    await harness.add_user()
    token = (await logged_in(http))["access_token"]
    sent = [
        (name, value.replace("TOKEN", token if len(headers) == 1 else f"Bearer {token}")) for name, value in headers
    ]
    refused = await http.get("/api/who", headers=sent)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].endswith(', error="invalid_token"')


PASSED_ON = (
    "x-forwarded-for",
    "x-forwarded-host",
    "X-Forwarded-Proto",
    "x-forwarded-client-cert",
    "X_Forwarded_For",
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "CF-Connecting-IP",
    "cf-ray",
    "cdn-loop",
    "fastly-client-ip",
    "x-original-host",
    "tailscale-user-login",
    "fly-client-ip",
    "x-envoy-external-address",
)
"""Headers with which proxies, tunnels and CDNs forward a request."""


async def test_the_local_user_is_let_in_until_there_is_an_account(tmp_path: Path) -> None:
    async with auth_harness(tmp_path) as harness, harness.client() as http:
        assert (await http.get("/api/who")).json() == {"user_id": "local", "workspace_id": "local"}
        me = (await http.get("/auth/me")).json()
        assert (me["user_id"], me["workspaces"][0]["workspace_id"], me["session"]) == ("local", "local", None)
        wrong = await http.get("/api/who", headers=bearer("wrong"))
        assert (wrong.status_code, 'error="invalid_token"' in wrong.headers["www-authenticate"]) == (401, True)
        for header in PASSED_ON:
            assert (await http.get("/api/who", headers={header: "203.0.113.1"})).status_code == 401, header
        refused = await http.post("/auth/password", json={"new_password": "another horse battery"})
        assert refused.status_code == 403

        made = await http.post("/auth/register", json=ADA)
        assert (made.status_code, made.json()["workspace_id"]) == (201, "local")
        assert (await http.get("/api/who")).status_code == 401
        who = await http.get("/api/who", headers=bearer(made.json()["access_token"]))
        assert who.json()["workspace_id"] == "local"
        second = await http.post("/auth/register", json={**ADA, "email": "ben@example.com"})
        assert (second.status_code, second.json()["code"]) == (403, "registration_closed")


async def test_an_account_that_another_process_made_ends_the_first_run_too(tmp_path: Path) -> None:
    async with auth_harness(tmp_path) as harness, harness.client() as http:
        assert (await http.get("/api/who")).status_code == 200
        await harness.add_user()
        harness.clock.at += timedelta(seconds=1)
        assert (await http.get("/api/who")).status_code == 401


async def test_on_a_server_that_others_reach_the_first_to_register_gets_nothing_of_the_local_users(
    harness: AuthHarness, http: httpx2.AsyncClient
) -> None:
    assert (await http.get("/api/who")).status_code == 401
    made = (await http.post("/auth/register", json=ADA)).json()
    assert made["workspace_id"] == made["user_id"] != "local"


async def invite(harness: AuthHarness, owner_id: str, token: str, email: str | None = None) -> None:
    """An invitation to be an editor in the owner's workspace."""
    now = harness.clock.now()
    invitation = Invitation(
        id=token,
        email=email,
        workspace_id=(await harness.auth.logins.membership(owner_id)).workspace_id,
        role=Role.EDITOR,
        invited_by=owner_id,
        created_at=now,
        expires_at=now + timedelta(days=7),
    )
    await SqlInvitations(harness.database).add(invitation, token_hash=token_hash(token))


async def test_registration_by_invitation_takes_one_and_makes_a_member(tmp_path: Path) -> None:
    async with (
        auth_harness(tmp_path, host="0.0.0.0", registration="invitation") as harness,
        harness.client() as http,
    ):
        ada = await harness.add_user()
        await invite(harness, ada, "for anybody")
        ben = {"email": "ben@example.com", "password": PASSWORD}
        without = await http.post("/auth/register", json=ben)
        assert (without.status_code, without.json()["code"]) == (403, "registration_closed")
        made = await http.post("/auth/register", json={**ben, "invitation": "for anybody"})
        assert made.status_code == 201
        me = await http.get("/auth/me", headers=bearer(made.json()["access_token"]))
        roles = {each["workspace_id"]: each["role"] for each in me.json()["workspaces"]}
        assert roles == {made.json()["user_id"]: "owner", "local": "editor"}
        again = await http.post(
            "/auth/register", json={**ben, "email": "cleo@example.com", "invitation": "for anybody"}
        )
        assert again.status_code == 404


async def test_whom_an_issuer_vouches_for_is_the_same_user_every_time(harness: AuthHarness) -> None:
    accounts = harness.auth.accounts
    google = SignIn(issuer="https://issuer.example", subject="42", email="ada@example.com", is_email_verified=True)
    first = await accounts.sign_in_as(google, client="sign-in")
    moved = SignIn(issuer="https://issuer.example", subject="42", email="new@example.com", is_email_verified=False)
    assert (await accounts.sign_in_as(moved, client="sign-in")).id == first.id
    other = SignIn(issuer="https://other.example", subject="42", email="ben@example.com", is_email_verified=False)
    assert (await accounts.sign_in_as(other, client="sign-in")).id != first.id
    nobody = SignIn(issuer="https://other.example", subject="43", email=None, is_email_verified=False)
    with pytest.raises(InvalidArgumentsError):
        await accounts.sign_in_as(nobody, client="sign-in")


async def test_an_address_alone_takes_over_no_account(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    ada = await harness.add_user()
    tokens = await logged_in(http)
    unverified = SignIn(issuer="https://issuer.example", subject="1", email="Ada@example.com", is_email_verified=False)
    with pytest.raises(EmailNotVerifiedError):
        await harness.auth.accounts.sign_in_as(unverified, client="sign-in")
    assert (await http.get("/auth/me", headers=bearer(tokens["access_token"]))).status_code == 200
    verified = SignIn(issuer="https://issuer.example", subject="1", email="Ada@example.com", is_email_verified=True)
    assert (await harness.auth.accounts.sign_in_as(verified, client="sign-in")).id == ada
    # The user of the password is logged out: they have not shown that the address is theirs.
    assert (await http.get("/auth/me", headers=bearer(tokens["access_token"]))).status_code == 401
    assert (await http.post("/auth/login", json=ADA)).status_code == 401


async def test_where_registration_is_closed_an_issuer_lets_in_only_those_who_are_known(tmp_path: Path) -> None:
    async with auth_harness(tmp_path, host="0.0.0.0") as harness:
        ada = await harness.add_user()
        new = SignIn(issuer="https://issuer.example", subject="2", email="ben@example.com", is_email_verified=True)
        with pytest.raises(RegistrationClosedError):
            await harness.auth.accounts.sign_in_as(new, client="sign-in")
        assert (await harness.auth.accounts.sign_in_as(new, may_register=True, client="sign-in")).id != ada


async def test_an_invitation_for_an_address_is_not_for_a_user_who_only_claims_it(
    harness: AuthHarness,
) -> None:
    await invite(harness, await harness.add_user(), "bens", email="ben@example.com")
    claimed = SignIn(issuer="https://issuer.example", subject="3", email="ben@example.com", is_email_verified=False)
    with pytest.raises(EmailNotVerifiedError):
        await harness.auth.accounts.sign_in_as(claimed, invitation="bens", client="sign-in")


async def test_coming_and_going_is_in_the_audit_log(harness: AuthHarness, http: httpx2.AsyncClient) -> None:
    made = (await http.post("/auth/register", json=ADA)).json()
    change = {"current_password": PASSWORD, "new_password": "another horse battery"}
    await http.post("/auth/password", json=change, headers=bearer(made["access_token"]))
    await http.post("/auth/logout", headers=bearer(made["access_token"]))
    await harness.audit.written()
    page = await harness.audit.page(made["workspace_id"], AuditFilter(), limit=10, cursor=None)
    assert sorted(entry.action for entry in page.items) == [
        "session.ended",
        "session.opened",
        "user.password_changed",
        "user.registered",
    ]
    assert {entry.user_id for entry in page.items} == {made["user_id"]}
    assert all(PASSWORD not in str(entry) for entry in page.items)
