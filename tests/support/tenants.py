"""Users of a real server, each with a token of their own, over REST and MCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.mcp_caller import McpCaller

PASSWORD = "correct horse battery staple"
Era = Literal["modern", "legacy"]


@dataclass(slots=True, frozen=True)
class Tenant:
    """A user who has logged in to the server at ``url``."""

    url: str
    email: str
    token: str
    workspace_id: str

    @property
    def headers(self) -> dict[str, str]:
        """What every request of theirs carries."""
        return {"authorization": f"Bearer {self.token}"}

    def http(self) -> httpx2.AsyncClient:
        """A client of the REST API."""
        return httpx2.AsyncClient(base_url=self.url, headers=self.headers, timeout=30)

    @asynccontextmanager
    async def mcp(self, era: Era = "modern", **options: Any) -> AsyncIterator[McpCaller]:
        """A client in a session; ``options`` are the SDK client's own."""
        mode: Literal["legacy", "auto"] = "legacy" if era == "legacy" else "auto"
        async with httpx2.AsyncClient(headers=self.headers, timeout=30) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport, mode=mode, **options) as client:
                yield McpCaller(client)


async def registered(url: str, name: str) -> Tenant:
    """A new user, in a workspace of their own."""
    email = f"{name}@example.com"
    async with httpx2.AsyncClient(base_url=url) as http:
        answer = await http.post("/auth/register", json={"email": email, "password": PASSWORD, "name": name})
    assert answer.status_code == 201, answer.text
    return _tenant(url, email, answer.json())


async def logged_in(url: str, email: str, workspace_id: str) -> Tenant:
    """The user in a session for a workspace that they are a member of."""
    body = {"email": email, "password": PASSWORD, "workspace_id": workspace_id}
    async with httpx2.AsyncClient(base_url=url) as http:
        answer = await http.post("/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    return _tenant(url, email, answer.json())


async def member(owner: Tenant, name: str, role: str) -> Tenant:
    """A new user who has been invited into the owner's workspace, in a session for it."""
    user = await registered(owner.url, name)
    async with owner.http() as http:
        invited = await http.post(f"/api/workspaces/{owner.workspace_id}/invitations", json={"role": role})
        assert invited.status_code == 201, invited.text
    async with user.http() as http:
        accepted = await http.post("/api/invitations/accept", json={"token": invited.json()["token"]})
        assert accepted.status_code == 200, accepted.text
    return await logged_in(owner.url, user.email, owner.workspace_id)


def _tenant(url: str, email: str, answer: dict[str, Any]) -> Tenant:
    return Tenant(url, email, answer["access_token"], answer["workspace_id"])
