"""A Chromium, and in it a host of MCP Apps that is connected to a real server."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Frame, FrameLocator, Page, Route, async_playwright

from tests.support.server_process import ServerProcess
from tests.support.services import need_program

HERE = Path(__file__).parent
HOST = "http://host.localhost"
SANDBOX = "http://sandbox.localhost"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The policy that the specification names for an app which asks for no origin.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "media-src 'self' data:; connect-src 'none'; frame-src 'none'; object-src 'none'; base-uri 'self'"
)


@pytest.fixture(scope="session")
def host_script() -> str:
    """The host's script with what it imports, bundled."""
    bundle = subprocess.run(
        [HERE / "node_modules/.bin/esbuild", HERE / "host/host.js", "--bundle", "--format=iife", "--target=chrome130"],
        check=True,
        capture_output=True,
        text=True,
    )
    return bundle.stdout


@pytest.fixture(scope="session")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    """A Chromium that the machine has; without one these tests have nothing to run in."""
    path = need_program("chromium", "chromium-browser", "google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


@dataclass
class AppHost:
    """A page that shows the app. ``strangers`` are requests to any origin but the host's own, ``complaints`` what
    the browser had to say of errors and broken policies."""

    page: Page
    server: ServerProcess
    script: str
    strangers: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def open(self) -> None:
        """Load the host."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await self.page.route("**/*", self._serve)
        await self.page.goto(f"{HOST}/")

    async def show(self, tool: str, *, theme: str = "light", **arguments: Any) -> FrameLocator:
        """Have the tool called, and its result shown; the frame that the app is in."""
        call = "([tool, args, context]) => window.host.show(tool, args, context)"
        context = {"theme": theme, "locale": "en-GB", "timeZone": "UTC"}
        await self.page.evaluate(call, [tool, arguments, context])
        return self.page.frame_locator("iframe").frame_locator("iframe")

    async def change_host(self, script: str) -> None:
        """Run a script in the host, which it knows as ``host``."""
        await self.page.evaluate(f"() => {{ const host = window.host; {script} }}")

    async def seen(self, what: str) -> Any:
        """What the host noted of the app: ``calls``, ``contexts``, ``sizes``, ``modes``."""
        return await self.page.evaluate(f"() => window.host.seen.{what}")

    @property
    def app(self) -> Frame:
        """The app's own frame, to run scripts in."""
        return self.page.frames[-1]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location['url']})")

    async def _serve(self, route: Route) -> None:
        url = route.request.url
        if url == f"{HOST}/mcp":
            await self._pass_on(route)
        elif url == f"{HOST}/":
            await route.fulfill(path=HERE / "host/host.html")
        elif url == f"{HOST}/host.js":
            await route.fulfill(body=self.script, content_type="text/javascript; charset=utf-8")
        elif url == f"{SANDBOX}/sandbox.html":
            await route.fulfill(
                path=HERE / "host/sandbox.html",
                headers={"content-security-policy": POLICY, "content-type": "text/html; charset=utf-8"},
            )
        else:
            self.strangers.append(url)
            await route.abort()

    async def _pass_on(self, route: Route) -> None:
        """To the server, which for the browser has the host's origin: that is how a host's back end stands there."""
        headers = {**await route.request.all_headers(), "origin": self.server.url, "host": self.server.url[7:]}
        if route.request.method != "POST":
            await route.fulfill(status=405)
            return
        response = await route.fetch(url=f"{self.server.url}/mcp", headers=headers)
        await route.fulfill(response=response)


@pytest.fixture
async def app_host(browser: Browser, server: ServerProcess, host_script: str) -> AsyncIterator[AppHost]:
    """A host with a page of its own; whatever the test does, the app asks no other origin and breaks no policy."""
    page = await browser.new_page(viewport={"width": 760, "height": 900})
    host = AppHost(page, server, host_script)
    await host.open()
    yield host
    found = ([*host.strangers], [*host.complaints])
    # What is still under way meets no server any more, and complains of that.
    await page.unroute_all(behavior="ignoreErrors")
    await page.close()
    assert found == ([], [])
