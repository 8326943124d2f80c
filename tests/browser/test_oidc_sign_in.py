"""Signing in through an OpenID Connect issuer of another site, in a real Chromium: its rules for cookies hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from starlette.types import ASGIApp, Receive, Scope, Send

from storage.clock import SystemClock
from tests.doubles.issuer import IssuerDouble, issuing
from tests.support.http_target import listening
from tests.support.site import opened


class Later:
    """An application that is known only once its address is."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the application does."""
        await self.app(scope, receive, send)


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerDouble]:
    """An issuer at 127.0.0.1, which for a browser is another site than localhost."""
    async with issuing(IssuerDouble(SystemClock())) as double:
        yield double


@pytest.fixture
async def url(issuer: IssuerDouble, data_dir: Path) -> AsyncIterator[str]:
    """A server at localhost on which people sign in through the issuer."""
    later = Later()
    async with AsyncExitStack() as stack:
        url = (await stack.enter_async_context(listening(later))).replace("127.0.0.1", "localhost")
        site = await stack.enter_async_context(
            opened(
                data_dir,
                SystemClock(),
                url=url,
                oidc_issuer=issuer.url,
                oidc_client_id=issuer.client_id,
                oidc_client_secret=issuer.client_secret,
                oidc_name="Example & Sons",
                issuer_registration=True,
            )
        )
        later.app = site.door
        yield url


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of a browser that knows nothing yet."""
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


async def test_a_person_signs_in_by_the_button_and_is_logged_in_until_they_log_out(page: Page, url: str) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto(f"{url}/auth/account")
    await page.get_by_role("link", name="Sign in with Example & Sons").click()
    await expect(page.get_by_text("You are logged in as Jane Doe (jane@example.com).")).to_be_visible()
    assert page.url == f"{url}/auth/account"
    kept = {cookie["name"]: cookie for cookie in await page.context.cookies(url)}
    assert "jobsprint_sign_in" not in kept
    assert kept["jobsprint_session"]["httpOnly"]
    await page.get_by_role("button", name="Log out").click()
    await page.goto(f"{url}/auth/account")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert complaints == []


async def test_a_person_whom_the_issuer_does_not_let_in_reads_why(page: Page, url: str, issuer: IssuerDouble) -> None:
    issuer.denies = True
    await page.goto(f"{url}/auth/oidc/start")
    await expect(page.get_by_text("access_denied")).to_be_visible()
    await page.get_by_role("link", name="To the page to sign in").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()


async def test_a_link_that_somebody_else_began_to_sign_in_with_lets_nobody_in(
    browser: Browser, page: Page, url: str
) -> None:
    """An attacker who sends their own way back would have their victim work in the attacker's account."""
    theirs = await browser.new_context()
    response = await theirs.request.get(f"{url}/auth/oidc/start", max_redirects=0)
    issuer_page = await theirs.request.get(response.headers["location"], max_redirects=0)
    await theirs.close()
    await page.goto(issuer_page.headers["location"])
    await expect(page.get_by_text("This browser did not start to sign in")).to_be_visible()
    await page.goto(f"{url}/auth/account")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
