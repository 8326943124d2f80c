"""The pages on which people log in with a browser, without JavaScript."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest

from server.auth.pages.browser_sessions import own_path
from server.auth.pages.html import Html, element, page, together
from server.auth.pages.routes import SignInOption
from tests.support.auth import PASSWORD, AuthHarness, auth_harness
from workflow.identity import LOCAL_ID

NEXT = "/oauth/authorize?client_id=https%3A%2F%2Fclient.example%2Fid&state=a%26b"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[AuthHarness]:
    """A server that is reached over https, with one user."""
    async with auth_harness(tmp_path, public_url="https://jobsprint.example") as harness:
        await harness.add_user()
        yield harness


@pytest.fixture
async def browser(harness: AuthHarness) -> AsyncIterator[httpx2.AsyncClient]:
    """Keeps cookies, and does not follow redirects by itself."""
    async with harness.client() as client:
        yield client


class Forms(HTMLParser):
    """The fields of a page's forms, and whether every one that is seen has a label."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.action = ""
        self._in_label = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        attributes = dict(attrs)
        if tag == "form":
            self.action = attributes["action"] or ""
        elif tag == "label":
            self._in_label = True
        elif tag == "input":
            assert self._in_label or attributes["type"] == "hidden"
            self.fields[attributes["name"] or ""] = attributes.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        """Leave a label."""
        if tag == "label":
            self._in_label = False


async def fill_in(browser: httpx2.AsyncClient, path: str, *, expect: int = 200, **values: str) -> httpx2.Response:
    """Load a page, fill in its form and send it."""
    shown = await browser.get(path)
    assert shown.status_code == expect, shown.text
    form = Forms(shown.text)
    return await browser.post(form.action, data={**form.fields, **values})


async def test_somebody_logs_in_goes_where_they_wanted_and_logs_out(
    harness: AuthHarness, browser: httpx2.AsyncClient
) -> None:
    wanted = await browser.get("/auth/account")
    assert (wanted.status_code, wanted.headers["location"]) == (303, "/auth/login?next=%2Fauth%2Faccount")
    path = f"/auth/login?{urlencode({'next': NEXT})}"
    logged_in = await fill_in(browser, path, email="Ada@example.com", password=PASSWORD)
    assert (logged_in.status_code, logged_in.headers["location"]) == (303, NEXT)
    cookie = next(c for c in logged_in.headers.get_list("set-cookie") if c.startswith("jobsprint_session="))
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=86400"} <= set(cookie.split("; "))
    account = await browser.get("/auth/account")
    assert "Ada (ada@example.com)" in account.text
    assert (await browser.get(path)).headers["location"] == NEXT
    (session,) = await harness.auth.session_store.of_user(
        (await harness.auth.accounts.of_email("ada@example.com")).id, now=harness.clock.now()
    )
    assert session.client_name.startswith("browser")

    kept = browser.cookies["jobsprint_session"]
    left = await fill_in(browser, "/auth/account")
    assert (left.status_code, left.headers["location"]) == (303, "/auth/login")
    assert "jobsprint_session" not in browser.cookies
    stolen = await browser.get("/auth/account", headers={"cookie": f"jobsprint_session={kept}"})
    assert stolen.status_code == 303


async def test_a_browsers_cookie_opens_pages_and_nothing_else(browser: httpx2.AsyncClient) -> None:
    await fill_in(browser, "/auth/login", email="ada@example.com", password=PASSWORD)
    assert (await browser.get("/auth/account")).status_code == 200
    assert (await browser.get("/api/who")).status_code == 401
    assert (await browser.get("/auth/me")).status_code == 401


async def test_a_session_without_our_proof_is_nobodys(harness: AuthHarness, browser: httpx2.AsyncClient) -> None:
    tokens = (await browser.post("/auth/login", json={"email": "ada@example.com", "password": PASSWORD})).json()
    for value in (tokens["session_id"], f"{tokens['session_id']}.", f"{tokens['session_id']}.{'0' * 64}", ".", ""):
        answer = await browser.get("/auth/account", headers={"cookie": f"jobsprint_session={value}"})
        assert answer.status_code == 303


async def test_a_wrong_password_is_told_beside_what_was_typed_but_not_the_password(
    browser: httpx2.AsyncClient,
) -> None:
    path = f"/auth/login?{urlencode({'next': NEXT})}"
    wrong = await fill_in(browser, path, email="<ada>@example.com", password="my secret")
    assert wrong.status_code == 401
    assert 'role="alert"' in wrong.text
    assert "my secret" not in wrong.text
    assert "<ada>" not in wrong.text
    form = Forms(wrong.text)
    assert (form.fields["email"], form.fields["next"]) == ("<ada>@example.com", NEXT)


async def test_forms_that_were_not_made_for_this_browser_are_refused(
    harness: AuthHarness, browser: httpx2.AsyncClient
) -> None:
    data = {"email": "ada@example.com", "password": PASSWORD}
    assert (await browser.post("/auth/login", data=data)).status_code == 403
    async with harness.client() as other:
        token = Forms((await other.get("/auth/login")).text).fields["csrf_token"]
        assert (await browser.post("/auth/login", data={**data, "csrf_token": token})).status_code == 403
        assert (await other.post("/auth/login", data={**data, "csrf_token": token})).status_code == 303
        assert (await other.post("/auth/logout", data={"csrf_token": token})).status_code == 403
        assert (await other.get("/auth/account")).status_code == 200


async def test_a_form_that_is_none_is_refused(browser: httpx2.AsyncClient) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for content in (b"\xff", b"a=%ff", b"&".join(b"a=1" for _ in range(100))):
        answer = await browser.post("/auth/login", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_arguments")


async def test_a_guesser_sees_how_long_to_wait(browser: httpx2.AsyncClient) -> None:
    for _ in range(5):
        assert (await fill_in(browser, "/auth/login", email="ada@example.com", password="wrong")).status_code == 401
    held_up = await fill_in(browser, "/auth/login", email="ada@example.com", password=PASSWORD)
    assert (held_up.status_code, held_up.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/a\r\nset-cookie: a=b",
        "/\tevil",
        "javascript:alert(1)",
        "evil",
        "",
        "/auth/login",
        "/auth/login?next=/auth/login",
        "/ä",
    ],
)
async def test_nobody_is_sent_to_another_site_after_login(browser: httpx2.AsyncClient, path: str) -> None:
    assert own_path(path) is None
    logged_in = await fill_in(
        browser, f"/auth/login?{urlencode({'next': path})}", email="ada@example.com", password=PASSWORD
    )
    assert logged_in.headers["location"] == "/auth/account"


async def test_pages_take_nothing_from_other_origins_and_are_framed_by_nobody(browser: httpx2.AsyncClient) -> None:
    shown = await browser.get("/auth/login")
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert shown.headers["x-frame-options"] == "DENY"
    assert shown.headers["cache-control"] == "no-store"
    # With no-referrer browsers would send "Origin: null" with the form.
    assert shown.headers["referrer-policy"] == "same-origin"
    assert "<script" not in shown.text
    assert not re.search(r"\s(?:style|on\w+)=", shown.text)
    assert '<html lang="en">' in shown.text


async def test_closed_registration_has_no_form_and_no_link(browser: httpx2.AsyncClient) -> None:
    assert "/auth/register" not in (await browser.get("/auth/login")).text
    closed = await browser.get("/auth/register")
    assert (closed.status_code, "<form" in closed.text) == (403, False)


async def test_the_first_account_is_made_in_the_browser(tmp_path: Path) -> None:
    async with auth_harness(tmp_path) as harness, harness.client() as browser:
        assert "/auth/register" in (await browser.get("/auth/login")).text
        short = await fill_in(browser, "/auth/register", email="ada@example.com", password="short")
        assert (short.status_code, 'role="alert"' in short.text) == (400, True)
        made = await fill_in(browser, "/auth/register", email="ada@example.com", name="Ada", password=PASSWORD)
        assert (made.status_code, made.headers["location"]) == (303, "/auth/account")
        assert "Secure" not in made.headers["set-cookie"]
        assert "Ada (ada@example.com)" in (await browser.get("/auth/account")).text
        ada = await harness.auth.accounts.of_email("ada@example.com")
        assert await harness.auth.users.standing(ada.id, LOCAL_ID) == "owner"
        assert (await browser.get("/api/who")).status_code == 401


async def test_a_disabled_users_browser_is_out(harness: AuthHarness, browser: httpx2.AsyncClient) -> None:
    await fill_in(browser, "/auth/login", email="ada@example.com", password=PASSWORD)
    await harness.auth.accounts.set_disabled("ada@example.com", is_disabled=True, client="test")
    assert (await browser.get("/auth/account")).status_code == 303


async def test_other_ways_to_sign_in_are_offered_and_keep_where_to_go(harness: AuthHarness) -> None:
    pages = harness.auth.api(options=(SignInOption(label="Sign in with <Example>", path="/auth/sign-in/example"),))
    (route,) = [each for each in pages.routes() if each.path == "/auth/login" and "GET" in (each.methods or ())]
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=route.app), base_url="https://x.example"
    ) as client:
        text = (await client.get("/auth/login", params={"next": NEXT})).text
    assert "Sign in with &lt;Example&gt;" in text
    assert f"/auth/sign-in/example?{urlencode({'next': NEXT})}" in unescape(text)


def test_what_is_put_into_a_page_is_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    written = element("a", {"href": evil, "hidden": True, "id": None, "title": False}, evil, element("b", None, "&"))
    assert written == (
        '<a href="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;" hidden>'
        "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;<b>&amp;</b></a>"
    )
    assert isinstance(together(evil, written), Html)
    assert b"<script" not in page(evil, evil, element("input", {"value": evil})).body
    # Put together as text it is no HTML any more.
    assert not isinstance(written + evil, Html)


def test_forms_may_lead_on_to_named_origins_only() -> None:
    policy = page("Consent", form_targets=["https://client.example"]).headers["content-security-policy"]
    assert policy.endswith("form-action 'self' https://client.example")
