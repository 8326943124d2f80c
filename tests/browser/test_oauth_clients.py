"""Clients that nobody here wrote get their user's leave: they register, a human lets them in on our pages in a real
Chromium, they call, refresh, are shut out."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

import httpx2
import orjson
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from playwright.async_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.foreign import CannotInstallError, node_command
from tests.support.server_process import ServerProcess
from tests.support.services import go_without

DRIVERS = Path(__file__).parents[1] / "clients" / "drivers"
LEGACY, MODERN = "2025-11-25", "2026-07-28"
EMAIL, PASSWORD = "ada@example.org", "correct horse battery staple"
ACCESS_TOKEN_SECONDS = 3
PATIENCE_SECONDS = 30


def own_command(script: Path) -> list[str]:
    """The command that runs ``script`` in the environment that the tests run in."""
    return [sys.executable, str(script)]


@dataclass(slots=True, frozen=True)
class Client:
    """A client: its driver's program, how that is run, and the protocol that it speaks."""

    name: str
    program: str
    command: Callable[[Path], list[str]]
    protocol: str


CLIENTS = [
    Client("python-sdk", "python_sdk_oauth.py", own_command, MODERN),
    Client("python-sdk", "python_sdk_oauth.py", own_command, LEGACY),
    Client("typescript-v1", "typescript_v1_oauth.mjs", node_command, LEGACY),
    Client("typescript-v2", "typescript_v2_oauth.mjs", node_command, MODERN),
]


@dataclass(slots=True)
class Driver:
    """The client in a process of its own, driven by lines of JSON; an async context manager."""

    command: list[str]
    target: dict[str, Any]
    process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            *self.command,
            json.dumps(self.target),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.communicate(), PATIENCE_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.communicate()

    async def answer(self, *, may_end: bool = False) -> dict[str, Any]:
        """The next line; an error where the client ends instead and ``may_end``."""
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_SECONDS)
        if not line and may_end:
            return {"error": "the client ended"}
        if not line:
            pytest.fail(f"the client ended:\n{(await self.process.stderr.read()).decode()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What comes of a call."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"method": method, "params": params}).encode() + b"\n")
        await self.process.stdin.drain()
        return await self.answer()


@dataclass
class ClientSite:
    """Where the client's document is. ``fetched`` counts who asked for it."""

    name: str = ""
    url: str = ""
    fetched: int = 0
    certificate: Path = field(default_factory=Path)

    async def show(self, request: Request) -> Response:
        """The document (client id metadata documents, 4)."""
        self.fetched += 1
        return JSONResponse(
            {
                "client_id": self.url,
                "client_name": self.name,
                "redirect_uris": ["http://127.0.0.1/callback"],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
            }
        )


@asynccontextmanager
async def https_site(folder: Path) -> AsyncIterator[ClientSite]:
    """The site, on https with a certificate of its own."""
    site = ClientSite(certificate=folder / "certificate.pem")
    _make_certificate(site.certificate, folder / "key.pem")
    app = Starlette(routes=[Route("/client.json", site.show)])
    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        lifespan="off",
        ws="none",
        ssl_certfile=str(site.certificate),
        ssl_keyfile=str(folder / "key.pem"),
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    site.url = f"https://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/client.json"
    loop = asyncio.create_task(server.main_loop())
    try:
        yield site
    finally:
        server.should_exit = True
        await loop
        await server.shutdown()


def _make_certificate(certificate: Path, key_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client site")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert ssl.create_default_context(cafile=str(certificate)).get_ca_certs()


@dataclass(slots=True)
class Ada:
    """The user, at her browser and at the REST API."""

    browser: Browser
    http: httpx2.AsyncClient

    async def register(self) -> None:
        """Make the account."""
        body = {"email": EMAIL, "password": PASSWORD, "name": "Ada"}
        response = await self.http.post("/auth/register", json=body)
        assert response.status_code == 201, response.text

    async def release_deferred(self, url: str, *, client_name: str, takes_away: str | None = None) -> None:
        """Follow the client's link: log in, look at what it asks for, perhaps take one thing away, allow the rest."""
        context = await self.browser.new_context()
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        await page.goto(url)
        await page.get_by_label("E-mail").fill(EMAIL)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("button", name="Allow").wait_for()
        assert await page.get_by_text(f"{client_name} wants to use Jobsprint in your name.").is_visible()
        assert await page.get_by_text("a program on this device (127.0.0.1:").is_visible()
        assert await page.evaluate("window.origin") == str(self.http.base_url).rstrip("/")
        if takes_away is not None:
            await page.get_by_label(takes_away).uncheck()
        await page.get_by_role("button", name="Allow").click()
        await page.get_by_text("You can close this page.").wait_for()
        # The browser asks every site for a picture.
        assert [each for each in complaints if "favicon" not in each and "404" not in each] == []
        await context.close()

    async def shut_out(self, client_name: str) -> None:
        """Take the leave back."""
        login = await self.http.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
        headers = {"authorization": f"Bearer {login.json()['access_token']}"}
        grants = (await self.http.get("/api/grants", headers=headers)).json()["grants"]
        assert {each["client_name"] for each in grants} == {client_name}
        for each in grants:
            response = await self.http.delete(f"/api/grants/{each['id']}", headers=headers)
            assert response.status_code == 204


async def call_with(http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    """A bare call of the endpoint."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
    }
    return await http.post("/mcp", content=orjson.dumps(message), headers=headers)


async def until_over(http: httpx2.AsyncClient, token: str, *, had_at: float) -> None:
    """Return when the access token does not count any more, neither for the server nor for a client that counts from
    when it got it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < had_at + ACCESS_TOKEN_SECONDS or (await call_with(http, token)).status_code != 401:
        assert time.monotonic() < end, "the token does not end"
        await asyncio.sleep(0.1)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("known_by", ["registration with a secret", "registration", "document"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: f"{client.name}, {client.protocol}")
async def test_a_foreign_client_is_let_in_calls_refreshes_and_is_shut_out(
    client: Client, known_by: str, browser: Browser, tmp_path: Path
) -> None:
    try:
        command = client.command(DRIVERS / client.program)
        if client.command is node_command:
            node_command(DRIVERS / "oauth.mjs")
    except CannotInstallError as error:
        go_without(f"{client.name} was not tried: {error}")
    async with https_site(tmp_path) as site:
        site.name = client.name
        settings = {
            "JOBSPRINT_REGISTRATION": "open",
            "JOBSPRINT_ACCESS_TOKEN_SECONDS": str(ACCESS_TOKEN_SECONDS),
            "JOBSPRINT_LOG_LEVEL": "warning",
            "SSL_CERT_FILE": str(site.certificate),
        }
        with ServerProcess(tmp_path / "server", settings) as server:
            async with httpx2.AsyncClient(base_url=server.url) as http:
                target: dict[str, Any] = {
                    "url": f"{server.url}/mcp",
                    "protocol": client.protocol,
                    "name": client.name,
                    "public": known_by == "registration",
                }
                if known_by == "document":
                    target["client_metadata_url"] = site.url
                ada = Ada(browser, http)
                await ada.register()
                async with Driver(command, target) as driver:
                    await _play(driver, ada, client, site, known_by)


async def _play(driver: Driver, ada: Ada, client: Client, site: ClientSite, known_by: str) -> None:
    sent = await driver.answer()
    await ada.release_deferred(
        sent["authorize"], client_name=client.name, takes_away="Make, change, publish and delete workflows"
    )
    assert (await driver.answer())["protocol"] == client.protocol

    listed = (await driver.call("tools/call", name="list_workflows", arguments={}))["result"]
    assert listed["structuredContent"]["workflows"] == []
    first = (await driver.call("tokens"))["result"]
    assert "workflows:write" not in first["scope"]
    assert first["refresh_token"]
    assert (first["client_id"] == site.url) == (known_by == "document")
    assert site.fetched == (1 if known_by == "document" else 0)

    # What was taken away stays away, until the user gives it after all.
    definition = {"name": "one", "nodes": {"start": {"type": "manual"}}}
    created = await driver.call("tools/call", name="create_workflow", arguments={"definition": definition})
    if "authorize" in created and client.name == "python-sdk":
        await ada.release_deferred(created["authorize"], client_name=client.name)
        created = await driver.answer()
        assert created["result"]["structuredContent"]["version"] == 1
    elif "authorize" in created:
        # This client leaves it to its user to call again.
        assert "error" in await driver.answer()
    else:
        assert "insufficient_scope" in json.dumps(created), created

    first, had_at = (await driver.call("tokens"))["result"], time.monotonic()
    await until_over(ada.http, first["access_token"], had_at=had_at)
    again = await driver.call("tools/call", name="list_workflows", arguments={})
    assert again["result"]["structuredContent"]["workflows"] is not None
    second = (await driver.call("tokens"))["result"]
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]

    await ada.shut_out(client.name)
    shut = await call_with(ada.http, second["access_token"])
    assert shut.status_code == 401
    assert "/.well-known/oauth-protected-resource" in shut.headers["www-authenticate"]
    # The client comes back to its user, who is not there any more.
    await driver.call("leave")
    assert "authorize" in await driver.call("tools/call", name="list_workflows", arguments={})
    assert "error" in await driver.answer(may_end=True)
