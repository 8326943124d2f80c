"""A real server with those who vouch for its users: what their tokens let do over MCP and REST, and what not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from storage.clock import SystemClock
from tests.doubles.issuer import IssuerDouble, issuing
from tests.doubles.puter import PuterDouble, PuterUser, answering
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess

DEFINITION = {"name": "mine", "nodes": {"start": {"type": "manual"}}, "connections": []}


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerDouble]:
    """The issuer."""
    async with issuing(IssuerDouble(SystemClock())) as double:
        yield double


@pytest.fixture
async def puter() -> AsyncIterator[PuterDouble]:
    """Puter."""
    async with answering(PuterDouble()) as double:
        yield double


@pytest.fixture
def served(issuer: IssuerDouble, puter: PuterDouble, data_dir: Path) -> Iterator[ServerProcess]:
    """A server that takes the issuer's tokens, and Puter's."""
    settings = {
        "JOBSPRINT_OAUTH_ISSUER": issuer.url,
        "JOBSPRINT_ISSUER_REGISTRATION": "true",
        "JOBSPRINT_PUTER_SIGN_IN": "true",
        "JOBSPRINT_PUTER_API_ORIGIN": puter.url,
        "JOBSPRINT_REGISTRATION": "open",
        "JOBSPRINT_LOG_LEVEL": "warning",
    }
    with ServerProcess(data_dir, settings) as server:
        yield server


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_user_of_the_issuer_works_in_a_workspace_of_their_own_with_the_scopes_of_the_token(
    issuer: IssuerDouble, served: ServerProcess
) -> None:
    audience = f"{served.url}/mcp"
    writer = issuer.access_token(audience=audience, scope="workflows:read workflows:write")
    reader = issuer.access_token(audience=audience, scope="workflows:read")
    issuer.person["sub"] = "somebody else"
    stranger = issuer.access_token(audience=audience, scope="workflows:read workflows:write")
    async with httpx2.AsyncClient(base_url=served.url) as http:
        made = await http.post("/api/workflows", json=DEFINITION, headers=bearer(writer))
        assert made.status_code == 201, made.text
        path = made.headers["location"]
        assert (await http.get(path, headers=bearer(reader))).status_code == 200
        refused = await http.post("/api/workflows", json=DEFINITION, headers=bearer(reader))
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert (await http.get(path, headers=bearer(stranger))).status_code == 404
        assert (await http.get(path)).status_code == 401


async def test_an_mcp_client_works_with_the_issuers_token(issuer: IssuerDouble, served: ServerProcess) -> None:
    token = issuer.access_token(audience=f"{served.url}/mcp", scope="workflows:read workflows:write")
    async with (
        httpx2.AsyncClient(headers=bearer(token)) as http,
        Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client,
    ):
        listed = await McpCaller(client).call("list_workflows")
    assert listed["workflows"] == []


async def test_a_token_for_another_resource_opens_neither_mcp_nor_rest(
    issuer: IssuerDouble, served: ServerProcess
) -> None:
    token = issuer.access_token(audience="https://another-resource.example")
    async with httpx2.AsyncClient(base_url=served.url, headers=bearer(token)) as http:
        for answer in (await http.get("/api/workflows"), await http.post("/mcp", json={})):
            assert answer.status_code == 401
            assert "resource_metadata=" in answer.headers["www-authenticate"]


async def test_a_user_of_puter_works_with_the_session_that_puters_token_opened(
    puter: PuterDouble, served: ServerProcess
) -> None:
    async with httpx2.AsyncClient(base_url=served.url) as http:
        token = puter.signed_in(PuterUser(), served.url)
        signed_in = (await http.post("/auth/puter", json={"token": token})).json()
        made = await http.post("/api/workflows", json=DEFINITION, headers=bearer(signed_in["access_token"]))
        assert made.status_code == 201, made.text
        described = (await http.get("/openapi.json")).json()
        assert described["paths"]["/auth/puter"]["post"]["responses"]["503"]
