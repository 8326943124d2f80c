"""A user lets a client in, or not; a redirect URI that is not the client's gets no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx2
import pytest

from server.oauth.consent import WORDS
from server.oauth.metadata import ASKED_BY_DEFAULT, listed
from tests.server.oauth.conftest import (
    ADA,
    BASE_URL,
    CHALLENGE,
    PASSWORD,
    REDIRECT,
    WORKSPACE,
    OAuthServer,
    add_user,
    exchange,
    oauth_server,
)
from tests.server.oauth.forms_in_pages import FORM, Form
from workflow.identity import ALL_SCOPES, LOCAL_ID, Role, Scope


def asking(client_id: str, /, **changed: Any) -> str:
    """The address that a client sends its user to; parameters that are None are left out."""
    given = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": REDIRECT,
        "scope": "workflows:read executions:run",
        "state": "a state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "resource": f"{BASE_URL}/mcp",
        **changed,
    }
    return f"/oauth/authorize?{urlencode({name: value for name, value in given.items() if value is not None})}"


async def log_in(oauth: OAuthServer, name: str = ADA, *, back_to: str = "/auth/account") -> httpx2.Response:
    """Log in with the page's form."""
    page = Form((await oauth.http.get(f"/auth/login?{urlencode({'next': back_to})}")).text)
    return await page.send(oauth.http, email=f"{name}@example.org", password=PASSWORD)


@pytest.fixture
async def client_id(oauth: OAuthServer) -> str:
    """A client; Ada's browser is logged in."""
    await log_in(oauth)
    return str((await oauth.register())["client_id"])


async def consent(oauth: OAuthServer, address: str) -> Form:
    """The consent page's form."""
    response = await oauth.http.get(address)
    assert response.status_code == 200, response.text
    return Form(response.text)


def answer(response: httpx2.Response, redirect_uri: str = REDIRECT) -> dict[str, str]:
    """What the redirect brings the client."""
    assert response.status_code == 303, response.text
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    location = response.headers["location"]
    assert location.startswith(redirect_uri)
    return dict(parse_qsl(urlsplit(location).query))


async def test_a_user_logs_in_and_lets_a_client_in(oauth: OAuthServer) -> None:
    client_id = (await oauth.register())["client_id"]
    address = asking(client_id)
    sent_away = await oauth.http.get(address)
    assert sent_away.status_code == 303
    login = urlsplit(sent_away.headers["location"])
    assert (login.path, parse_qs(login.query)["next"]) == ("/auth/login", [address])
    back = await log_in(oauth, back_to=address)
    assert (back.status_code, back.headers["location"]) == (303, address)
    form = await consent(oauth, address)
    redirected = answer(await form.send(oauth.http, decision="allow"))
    assert redirected.keys() == {"code", "state", "iss"}
    assert (redirected["state"], redirected["iss"]) == ("a state", BASE_URL)
    tokens = await oauth.token(**exchange(client_id, redirected["code"]))
    assert tokens["scope"] == "workflows:read executions:run"
    actor = await oauth.sessions.actor(tokens["access_token"])
    assert actor is not None
    assert (actor.user_id, actor.workspace_id, actor.client) == (ADA, WORKSPACE, "Example")
    assert ("ada", "grant.made", "user:ada") in oauth.notes.entries


async def test_the_page_says_who_asks_for_what_and_is_in_no_frame(oauth: OAuthServer, client_id: str) -> None:
    response = await oauth.http.get(asking(client_id))
    text = Form(response.text).text
    for part in ("Example wants to use Jobsprint", "nobody has checked it", "127.0.0.1:4000", "ada@example.org"):
        assert part in text
    assert WORDS[Scope.WORKFLOWS_READ] in text
    assert WORDS[Scope.ADMIN] not in text
    policy = response.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:4000" in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert response.headers["cache-control"] == "no-store"


async def test_a_clients_words_are_text_on_the_page(oauth: OAuthServer) -> None:
    await log_in(oauth)
    name = '<script>alert(1)</script>"><b>'
    client_id = (await oauth.register(client_name=name))["client_id"]
    state = '"><script>alert(2)</script>'
    response = await oauth.http.get(asking(client_id, state=state))
    assert "<script" not in response.text
    assert name in Form(response.text).text
    redirected = answer(await Form(response.text).send(oauth.http, decision="allow"))
    assert redirected["state"] == state


async def test_a_user_takes_scopes_away(oauth: OAuthServer, client_id: str) -> None:
    form = await consent(oauth, asking(client_id, scope="workflows:* executions:run admin"))
    assert form.choices["scope_box"] == ["workflows:read", "workflows:write", "executions:run", "admin"]
    redirected = answer(await form.send(oauth.http, decision="allow", scope_box="executions:run"))
    assert (await oauth.token(**exchange(client_id, redirected["code"])))["scope"] == "executions:run"


async def test_a_form_gives_no_more_than_was_asked_for(oauth: OAuthServer, client_id: str) -> None:
    form = await consent(oauth, asking(client_id, scope="workflows:read"))
    redirected = answer(
        await form.send(oauth.http, decision="allow", scope_box=["workflows:read", "admin", "nonsense"])
    )
    assert (await oauth.token(**exchange(client_id, redirected["code"])))["scope"] == "workflows:read"


async def test_a_form_that_allows_nothing_is_shown_again(oauth: OAuthServer, client_id: str) -> None:
    form = await consent(oauth, asking(client_id))
    again = await form.send(oauth.http, decision="allow", scope_box=[])
    assert again.status_code == 400
    assert "Nothing of what you chose" in Form(again.text).text
    answer(await Form(again.text).send(oauth.http, decision="allow"))


async def test_a_client_that_does_not_say_what_it_wants_is_offered_all_but_administration(
    oauth: OAuthServer, client_id: str
) -> None:
    form = await consent(oauth, asking(client_id, scope=None))
    assert set(form.choices["scope_box"]) == {each.value for each in ALL_SCOPES - {Scope.ADMIN}}


async def test_scopes_of_other_standards_are_ignored(oauth: OAuthServer, client_id: str) -> None:
    form = await consent(oauth, asking(client_id, scope="openid workflows:read offline_access"))
    assert form.choices["scope_box"] == ["workflows:read"]


@pytest.mark.parametrize(
    "scope",
    ["openid", "offline_access", "openid offline_access", "openid email profile", "mcp", "everything", " ", "*"],
)
async def test_scopes_of_other_standards_alone_are_as_if_none_were_given(
    oauth: OAuthServer, client_id: str, scope: str
) -> None:
    form = await consent(oauth, asking(client_id, scope=scope))
    assert form.choices["scope_box"] == listed(ASKED_BY_DEFAULT)
    redirected = answer(await form.send(oauth.http, decision="allow"))
    tokens = await oauth.token(**exchange(client_id, redirected["code"]))
    assert tokens["scope"].split() == listed(ASKED_BY_DEFAULT)


async def test_a_client_works_in_the_workspace_that_was_chosen_with_what_the_role_there_lets_it(
    oauth: OAuthServer, client_id: str
) -> None:
    await add_user(oauth, "bob")
    await oauth.auth.workspaces.put_member("bob", ADA, Role.VIEWER, now=oauth.clock.now())
    form = await consent(oauth, asking(client_id, scope="workflows:read workflows:write"))
    assert form.choices["workspace"] == [WORKSPACE, "bob"]
    assert dict(form.fields)["workspace"] == WORKSPACE
    redirected = answer(await form.send(oauth.http, decision="allow", workspace="bob"))
    tokens = await oauth.token(**exchange(client_id, redirected["code"]))
    assert tokens["scope"] == "workflows:read"
    actor = await oauth.sessions.actor(tokens["access_token"])
    assert actor is not None
    assert actor.workspace_id == "bob"
    # What the role does not give cannot be allowed there at all.
    only_writing = await consent(oauth, asking(client_id, scope="workflows:write"))
    assert (await only_writing.send(oauth.http, decision="allow", workspace="bob")).status_code == 400


async def test_a_workspace_that_the_user_does_not_belong_to_is_not_opened(oauth: OAuthServer, client_id: str) -> None:
    await add_user(oauth, "bob")
    form = await consent(oauth, asking(client_id))
    for workspace in ("bob", LOCAL_ID, "", []):
        assert (await form.send(oauth.http, decision="allow", workspace=workspace)).status_code == 400


@pytest.mark.parametrize("decision", ["deny", "", [], "ALLOW"])
async def test_a_client_that_is_not_let_in_is_told(oauth: OAuthServer, client_id: str, decision: Any) -> None:
    form = await consent(oauth, asking(client_id))
    redirected = answer(await form.send(oauth.http, decision=decision))
    assert (redirected["error"], redirected["state"], redirected["iss"]) == ("access_denied", "a state", BASE_URL)
    assert "code" not in redirected


@pytest.mark.parametrize("value", ["", "wrong", [], ["one", "two"]])
async def test_a_form_that_another_site_made_counts_for_nothing(
    oauth: OAuthServer, client_id: str, value: str | list[str]
) -> None:
    form = await consent(oauth, asking(client_id))
    response = await form.send(oauth.http, decision="allow", csrf_token=value)
    assert response.status_code in (400, 403)
    assert "location" not in response.headers
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]


async def test_the_form_of_another_user_counts_for_nothing(oauth: OAuthServer, client_id: str) -> None:
    bobs = await consent(oauth, asking(client_id))
    oauth.http.cookies.clear()
    await add_user(oauth, "bob")
    await log_in(oauth, "bob")
    assert (await bobs.send(oauth.http, decision="allow")).status_code == 403


async def test_a_form_without_a_login_leads_to_the_login(oauth: OAuthServer, client_id: str) -> None:
    form = await consent(oauth, asking(client_id))
    oauth.http.cookies.clear()
    response = await form.send(oauth.http, decision="allow")
    assert response.status_code == 303
    assert response.headers["location"].startswith("/auth/login?")


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": None},
        {"client_id": "another"},
        {"client_id": "https://app.invalid/client.json"},
        {"client_id": "https://app.example"},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": f"{REDIRECT}/more"},
        {"redirect_uri": f"{REDIRECT}#part"},
        {"redirect_uri": "http://localhost:4000/callback"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
async def test_where_the_client_is_not_certain_nobody_but_the_user_is_told(
    oauth: OAuthServer, client_id: str, changed: dict[str, Any]
) -> None:
    for response in (await oauth.http.get(asking(client_id, **changed)), await _send_to(oauth, client_id, changed)):
        assert response.status_code == 400
        assert "location" not in response.headers
        assert "Nothing was allowed" in Form(response.text).text


async def _send_to(oauth: OAuthServer, client_id: str, changed: dict[str, Any]) -> httpx2.Response:
    """A good form, sent to the address of a request that is none."""
    form = await consent(oauth, asking(client_id))
    form.action = asking(client_id, **changed)
    return await form.send(oauth.http, decision="allow")


async def test_a_parameter_that_is_there_twice_is_not_answered(oauth: OAuthServer, client_id: str) -> None:
    response = await oauth.http.get(f"{asking(client_id)}&redirect_uri=https://evil.example")
    assert (response.status_code, "location" in response.headers) == (400, False)


@pytest.mark.parametrize(
    ("error", "changed"),
    [
        ("invalid_request", {"response_type": None}),
        ("unsupported_response_type", {"response_type": "token"}),
        ("invalid_request", {"response_mode": "fragment"}),
        ("invalid_request", {"request": "x.y.z"}),
        ("invalid_request", {"request_uri": "https://app.example/request"}),
        ("invalid_request", {"code_challenge": None}),
        ("invalid_request", {"code_challenge_method": None}),
        ("invalid_request", {"code_challenge_method": "plain"}),
        ("invalid_request", {"code_challenge": "short"}),
        ("invalid_request", {"code_challenge": "!" * 43}),
        ("invalid_target", {"resource": "https://other.example/mcp"}),
    ],
)
async def test_what_else_is_wrong_the_client_is_told(
    oauth: OAuthServer, client_id: str, error: str, changed: dict[str, Any]
) -> None:
    for response in (await oauth.http.get(asking(client_id, **changed)), await _send_to(oauth, client_id, changed)):
        redirected = answer(response)
        assert (redirected["error"], redirected["state"], redirected["iss"]) == (error, "a state", BASE_URL)
        assert redirected["error_description"]


async def test_nobody_is_sent_to_a_site_without_having_been_asked(oauth: OAuthServer) -> None:
    await log_in(oauth)
    uri = "https://app.example/callback"
    client_id = (await oauth.register(redirect_uris=[uri]))["client_id"]
    response = await oauth.http.get(asking(client_id, redirect_uri=uri, resource="https://other.example"))
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "Go back to app.example" in Form(response.text).text
    assert f'href="{uri}?error=invalid_target' in response.text


async def test_a_native_client_listens_on_whatever_port_it_gets(oauth: OAuthServer, client_id: str) -> None:
    other = "http://127.0.0.1:51004/callback"
    form = await consent(oauth, asking(client_id, redirect_uri=other))
    redirected = answer(await form.send(oauth.http, decision="allow"), other)
    assert await oauth.refusal(**exchange(client_id, redirected["code"])) == "invalid_grant"
    await oauth.token(**exchange(client_id, redirected["code"], redirect_uri=other))


@pytest.mark.parametrize("uri", ["https://app.example/callback?a=b%20c&d", "cursor://host/callback"])
async def test_a_redirect_uri_comes_back_as_it_was_registered(oauth: OAuthServer, uri: str) -> None:
    await log_in(oauth)
    client_id = (await oauth.register(redirect_uris=[uri]))["client_id"]
    form = await consent(oauth, asking(client_id, redirect_uri=uri))
    assert answer(await form.send(oauth.http, decision="allow"), uri)["code"]


async def test_a_code_is_over_after_a_minute(oauth: OAuthServer, client_id: str) -> None:
    form = await consent(oauth, asking(client_id))
    redirected = answer(await form.send(oauth.http, decision="allow"))
    oauth.clock.advance(seconds=60)
    assert await oauth.refusal(**exchange(client_id, redirected["code"])) == "invalid_grant"


async def test_a_machine_asks_no_user(oauth: OAuthServer, client_id: str) -> None:
    from tests.server.oauth.test_machines import made

    machine = await made(oauth)
    assert (await oauth.http.get(asking(machine["client_id"]))).status_code == 400


async def test_a_body_that_is_no_form_is_refused(oauth: OAuthServer, client_id: str) -> None:
    response = await oauth.http.post(asking(client_id), json={})
    assert response.status_code == 400
    large = await oauth.http.post(asking(client_id), content="a=" + "x" * 40_000, headers=FORM)
    assert large.status_code == 400


async def test_on_a_server_without_accounts_this_machines_user_lets_clients_in(tmp_path: Path) -> None:
    async with oauth_server(tmp_path) as oauth:
        client_id = (await oauth.register())["client_id"]
        form = await consent(oauth, asking(client_id, scope="workflows:read admin"))
        assert "the user of this machine" in form.text
        redirected = answer(await form.send(oauth.http, decision="allow"))
        tokens = await oauth.token(**exchange(client_id, redirected["code"]))
        actor = await oauth.sessions.actor(tokens["access_token"])
        assert actor is not None
        assert (actor.user_id, actor.workspace_id) == (LOCAL_ID, LOCAL_ID)
        assert actor.scopes == {Scope.WORKFLOWS_READ, Scope.ADMIN}
        # Another browser's form is nobody's.
        oauth.http.cookies.clear()
        assert (await form.send(oauth.http, decision="allow")).status_code == 403
        # What a proxy passes on does not come from this machine.
        passed_on = await oauth.http.get(asking(client_id), headers={"x-forwarded-for": "192.0.2.1"})
        assert passed_on.headers["location"].startswith("/auth/login?")


async def test_the_clients_of_this_machines_user_are_out_when_there_is_an_account(tmp_path: Path) -> None:
    async with oauth_server(tmp_path) as oauth:
        client_id = (await oauth.register())["client_id"]
        form = await consent(oauth, asking(client_id))
        redirected = answer(await form.send(oauth.http, decision="allow"))
        tokens = await oauth.token(**exchange(client_id, redirected["code"]))
        await add_user(oauth, ADA)
        oauth.clock.advance(seconds=10)
        refresh = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": tokens["refresh_token"]}
        assert await oauth.refusal(**refresh) == "invalid_grant"
        assert (await oauth.http.get(asking(client_id))).headers["location"].startswith("/auth/login?")
