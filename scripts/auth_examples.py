"""Real examples of the codes of accounts and sessions, provoked at a separate server in this process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import httpx2
import jwt

from server.assembly.app import http_app
from server.assembly.composition import running_services
from server.auth.accounts.accounts import AccountDisabledError, EmailNotVerifiedError, RegistrationClosedError
from server.auth.accounts.passwords import TooManyLoginsError
from server.auth.accounts.throttle import LoginThrottledError
from server.auth.pages.browser_sessions import ForgedFormError
from server.settings.settings import Settings
from server.walls.rate_limits import RateLimitedError
from storage.people.accounts import NotFirstError, UserNotFoundError
from tools.protocol.tool import error_content
from workflow.identity import InsufficientScopeError, Scope

Example = dict[str, Any]

FOR_AN_APP = jwt.encode({"type": "app-under-user"}, "not Puter's secret, but of its length", algorithm="HS256")
ADA = {"email": "ada@example.com", "password": "correct horse battery"}


async def auth_examples() -> dict[str, Example]:
    """An example of each code, as the caller sees it."""
    found: dict[str, Example] = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            data_dir=Path(folder),
            host="192.0.2.1",
            registration="open",
            puter_sign_in=True,
            puter_api_origin="http://127.0.0.1:9",
        )
        async with running_services(settings, has_http=True) as services, http_app(settings, services) as app:
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url=settings.base_url) as http:
                tokens = (await http.post("/auth/register", json=ADA)).json()
                header = {"authorization": f"Bearer {tokens['access_token']}"}
                for path in ("/api/machines/absent", "/api/grants/absent"):
                    answer = await http.delete(path, headers=header)
                    found[answer.json()["code"]] = answer.json()
                found |= await _sharing_examples(http, header, workspace_id=tokens["workspace_id"])
                await http.post("/auth/logout", headers=header)
                for answer in (
                    await http.get("/auth/me"),
                    await http.get("/auth/me", headers=header),
                    await http.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}),
                    await http.post("/auth/register", json=ADA),
                    await http.post("/auth/login", json={**ADA, "password": "wrong"}),
                    await http.post("/auth/puter", json={"token": "of.another.kind"}),
                    await http.post("/auth/puter", json={"token": FOR_AN_APP}),
                ):
                    found[answer.json()["code"]] = answer.json()
    for error in (
        AccountDisabledError(),
        EmailNotVerifiedError(),
        RegistrationClosedError("closed"),
        ForgedFormError(),
        TooManyLoginsError(),
        LoginThrottledError(8),
        NotFirstError(),
        RateLimitedError(600, retry_after_seconds=6),
        UserNotFoundError("ada@example.com"),
        InsufficientScopeError(frozenset({Scope.WORKFLOWS_WRITE}), is_attainable=True),
    ):
        found[error.code] = error_content(error)
    return found


async def _sharing_examples(
    http: httpx2.AsyncClient, header: dict[str, str], *, workspace_id: str
) -> dict[str, Example]:
    """Errors of workspaces, members, invitations and keys that an owner meets."""
    mine = f"/api/workspaces/{workspace_id}"
    other = (await http.post("/api/workspaces", json={"name": "other"}, headers=header)).json()["id"]
    invited = (await http.post(f"{mine}/invitations", json={"role": "viewer"}, headers=header)).json()
    new_key = {"name": "ci", "scopes": ["workflows:read"]}
    key = (await http.post("/api/keys", json=new_key, headers=header)).json()["key"]
    answers = [
        await http.get("/api/workspaces/absent/members", headers=header),
        await http.get(f"/api/workspaces/{other}/members", headers=header),
        await http.delete(f"{mine}/members/absent", headers=header),
        await http.delete(f"{mine}/invitations/absent", headers=header),
        await http.post("/api/invitations/accept", json={"token": invited["token"]}, headers=header),
        await http.delete("/api/keys/absent", headers=header),
        await http.post("/api/keys", json=new_key, headers={"authorization": f"Bearer {key}"}),
    ]
    user_id = (await http.get("/auth/me", headers=header)).json()["user_id"]
    answers.append(await http.delete(f"{mine}/members/{user_id}", headers=header))
    return {answer.json()["code"]: answer.json() for answer in answers}
