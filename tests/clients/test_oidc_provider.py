"""An issuer that nobody here wrote (oidc-provider): people sign in through it, and its access tokens count."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

from storage.clock import SystemClock
from tests.clients.conftest import Row
from tests.support.foreign import NPM_PACKAGES, CannotInstallError, node_command
from tests.support.services import go_without
from tests.support.site import AUDIENCE, US, opened

DRIVER = Path(__file__).with_name("drivers") / "oidc_provider.mjs"
BACK = f"{US}/auth/oidc/callback"


@asynccontextmanager
async def provider() -> AsyncIterator[str]:
    """The address of the issuer, which runs until the context is left."""
    try:
        command = node_command(DRIVER)
    except CannotInstallError as error:
        go_without(f"oidc-provider was not tried: {error}")
    process = await asyncio.create_subprocess_exec(
        *command,
        BACK,
        AUDIENCE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        # What it says of its settings for development comes before.
        while not line.startswith(b'{"url"'):
            assert line, "the issuer ended"
            line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield json.loads(line)["url"]
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)


async def signed_in_there(start: str, person: str) -> str:
    """Where the issuer sends a browser in which ``person`` signs in and agrees."""
    async with httpx2.AsyncClient() as browser:
        answer = await browser.get(start)
        for _ in range(10):
            if answer.is_redirect:
                location = urljoin(str(answer.url), answer.headers["location"])
                if location.startswith(BACK):
                    return location
                answer = await browser.get(location)
                continue
            action = re.search(r'<form autocomplete="off" action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert action is not None, answer.text
            assert prompt is not None
            form = {"prompt": prompt[1], "login": person, "password": "any"}
            answer = await browser.post(urljoin(str(answer.url), action[1]), data=form)
    raise AssertionError("the issuer went on asking")


@pytest.mark.anyio
async def test_people_sign_in_through_an_issuer_that_nobody_here_wrote(data_dir: Path, rows: list[Row]) -> None:
    async with (
        provider() as url,
        opened(
            data_dir,
            SystemClock(),
            oidc_issuer=url,
            oidc_client_id="jobsprint",
            oidc_client_secret="a secret: of the client's + 1",
            issuer_registration=True,
        ) as site,
    ):
        leaving = await site.http.get("/auth/oidc/start?next=/auth/account")
        answer = await site.http.get(await signed_in_there(leaving.headers["location"], "jane"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/auth/account"), answer.text
        assert "jane of the issuer (jane@example.com)" in (await site.http.get("/auth/account")).text
    rows.append(("oidc-provider", NPM_PACKAGES["oidc-provider"], "HTTP", "OpenID Connect", "1", "yes"))


@pytest.mark.anyio
async def test_access_tokens_of_an_issuer_that_nobody_here_wrote_count(data_dir: Path, rows: list[Row]) -> None:
    async with (
        provider() as url,
        opened(data_dir, SystemClock(), oauth_issuer=url, issuer_registration=True) as site,
        httpx2.AsyncClient(auth=("an-agent", "an%20agent%27s%20secret")) as agent,
    ):
        wanted = {"grant_type": "client_credentials", "scope": "workflows:read", "resource": AUDIENCE}
        granted = (await agent.post(f"{url}/token", data=wanted)).json()
        known = await site.known(granted["access_token"])
        assert (known["scope"], known["client"]) == ("workflows:read", f"an-agent of {url.removeprefix('http://')}")
    rows.append(("oidc-provider", NPM_PACKAGES["oidc-provider"], "HTTP", "RFC 9068", "1", "yes"))
