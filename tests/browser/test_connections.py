"""A person lets Jobsprint into other people's systems, in a real Chromium, with accounts on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, Page

from tests.doubles import sdk_authorization
from tests.doubles.zapier import running_zapier
from tests.support import foreign
from tests.support.sdk_example import SdkExample
from tests.support.server_process import ServerProcess
from tests.support.services import go_without
from tests.support.tenants import PASSWORD, Tenant, registered

TELL_TIME = {
    "name": "tell time",
    "nodes": {
        "start": {"type": "manual"},
        "now": {"type": "mcp_tool", "parameters": {"connection": "theirs", "tool": "get_time"}},
    },
    "connections": [["start", "now"]],
}


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of a browser that knows nobody."""
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def ann(tmp_path: Path) -> AsyncIterator[Tenant]:
    """A user of a server that anybody may register on."""
    settings = {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "warning"}
    with ServerProcess(tmp_path / "data", settings) as server:
        yield await registered(server.url, "ann")


async def log_in(page: Page, user: Tenant) -> None:
    """Fill in our login page."""
    await page.get_by_label("E-mail").fill(user.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()


async def go_on(page: Page, user: Tenant) -> None:
    """Log in, and go on to the other side."""
    await log_in(page, user)
    await page.get_by_text("Go on to").click()


async def begun(http: httpx2.AsyncClient, kind: str, url: str) -> str:
    """The link that a new connection gives."""
    made = await http.post("/api/integrations", json={"name": "theirs", "kind": kind, "settings": {"url": url}})
    assert made.status_code == 201, made.text
    assert made.json()["status"] == "authorizing"
    link: str = made.json()["authorization_url"]
    return link


def sdk_example() -> SdkExample:
    """The SDK's example, as its authors made it."""
    try:
        return SdkExample(foreign.sdk_example("servers/simple-auth"))
    except foreign.CannotInstallError as error:
        go_without(f"the SDK's example was not tried: {error}")


async def sign_in_there(page: Page) -> None:
    """The example fills in its demo user by itself."""
    await page.get_by_role("heading", name="MCP Demo Authentication").wait_for()
    await page.get_by_role("button", name="Sign In").click()
    await page.wait_for_selector("text=is connected to")


async def time_told(http: httpx2.AsyncClient, workflow_id: str) -> dict[str, Any]:
    """The execution of a workflow that calls the example's only tool."""
    ran = await http.post(f"/api/workflows/{workflow_id}/execute", json={"wait_seconds": 20})
    seen: dict[str, Any] = (await http.get(f"/api/executions/{ran.json()['execution_id']}")).json()
    return seen


async def test_zapier_is_connected_after_its_user_has_logged_in_and_allowed_it(ann: Tenant, page: Page) -> None:
    async with running_zapier() as zapier, ann.http() as http:
        await page.goto(await begun(http, "zapier", zapier.url))
        await go_on(page, ann)
        await page.get_by_role("button", name="Allow").click()
        await page.wait_for_selector("text=is connected to")
        seen = (await http.get("/api/integrations/theirs")).json()
        assert seen["status"] == "connected"
        gone = await http.delete("/api/integrations/theirs")
        assert gone.status_code == 204
        assert zapier.guard.grants[0].is_over


async def test_a_user_who_denies_is_told_and_may_think_better_of_it(ann: Tenant, page: Page) -> None:
    async with running_zapier() as zapier, ann.http() as http:
        await page.goto(await begun(http, "zapier", zapier.url))
        await go_on(page, ann)
        await page.get_by_role("button", name="Deny").click()
        await page.wait_for_selector("text=You did not allow it.")
        begun_again = await http.post("/api/integrations/theirs/authorize")
        await page.goto(begun_again.json()["authorization_url"])
        await page.get_by_text("Go on to").click()
        await page.get_by_role("button", name="Allow").click()
        await page.wait_for_selector("text=is connected to")


async def test_another_user_cannot_consent_in_anns_place(ann: Tenant, page: Page) -> None:
    bob = await registered(ann.url, "bob")
    async with running_zapier() as zapier, ann.http() as http:
        await page.goto(await begun(http, "zapier", zapier.url))
        await log_in(page, bob)
        await page.wait_for_selector("text=Somebody else has begun this connection.")
        assert zapier.guard.grants == []


async def test_the_sdks_example_of_an_authorization_server_lets_us_in_and_again_when_it_has_forgotten_us(
    ann: Tenant, page: Page
) -> None:
    async with sdk_example() as example, ann.http() as http:
        await page.goto(await begun(http, "mcp", example.url))
        await go_on(page, ann)
        await sign_in_there(page)
        made = await http.post("/api/workflows", json=TELL_TIME)
        workflow_id = made.json()["workflow_id"]
        execution = await time_told(http, workflow_id)
        assert execution["status"] == "succeeded"
        assert execution["output"]["items"]["now"][0]["result"]["timezone"] == "UTC"

        await example.restart_authorization()
        refused = await time_told(http, workflow_id)
        assert (refused["status"], refused["error"]["code"]) == ("failed", "connection_unauthorized")
        assert (await http.get("/api/integrations/theirs")).json()["status"] == "unauthorized"

        begun_again = await http.post("/api/integrations/theirs/authorize")
        await page.goto(begun_again.json()["authorization_url"])
        await page.get_by_text("Go on to").click()
        await sign_in_there(page)
        assert (await time_told(http, workflow_id))["status"] == "succeeded"


async def test_an_authorization_server_of_the_sdks_parts_refreshes_what_it_has_granted(ann: Tenant, page: Page) -> None:
    async with sdk_authorization.running_sdk_server() as (provider, url), ann.http() as http:
        await page.goto(await begun(http, "mcp", url))
        await go_on(page, ann)
        await page.fill("input[name=username]", sdk_authorization.USER)
        await page.fill("input[name=password]", sdk_authorization.PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_selector("text=is connected to")
        provider.access.clear()
        checked = await http.post("/api/integrations/theirs/check")
        assert (checked.json()["status"], checked.json()["total"]) == ("connected", 5)
        assert provider.refreshed == 1
