"""The whole server in this process, with a client of its REST API and a browser."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from engine.dispatch.milestones import Milestones
from server.assembly.app import http_app
from server.assembly.composition import Services, running_services
from server.settings.settings import Settings
from tests.support.databases import put_newest
from tests.support.waiting import found
from workflow.actions import ActionCall
from workflow.identity import LOCAL_ID

BASE = "http://127.0.0.1:8765"


@dataclass(slots=True)
class Here:
    """A server in this process, and a browser."""

    services: Services
    http: httpx2.AsyncClient

    async def run(self, connection: str = "shop", **arguments: Any) -> Any:
        """What the echo of the MCP server's double says."""
        call = ActionCall(owner=LOCAL_ID, connection=connection, action="echo", arguments=arguments or {"text": "hi"})
        return (await self.services.integrations.actions.run(call)).data

    async def execution(self, definition: dict[str, Any], **body: Any) -> dict[str, Any]:
        """What an execution of a new workflow comes to, or waits for."""
        made = await self.http.post("/api/workflows", json=definition)
        assert made.status_code == 201, made.text
        path = f"/api/workflows/{made.json()['workflow_id']}/execute"
        ran = await self.http.post(path, json={"wait_seconds": 20, **body})
        return await self.seen(ran.json()["execution_id"])

    async def seen(self, execution_id: str, *, left: str | None = None) -> dict[str, Any]:
        """The execution when it is over or waits, and is not in the state that it has ``left``."""

        async def seen() -> dict[str, Any] | None:
            execution: dict[str, Any] = (await self.http.get(f"/api/executions/{execution_id}")).json()
            return None if execution["status"] in ("queued", "running", left) else execution

        return await found(seen)

    async def consent(self, url: str, decision: str = "allow") -> httpx2.Response:
        """What a browser sees last that opens the link and presses a button."""
        return await self.http.get(await self.way_back(url, decision))

    async def way_back(self, url: str, decision: str = "allow") -> str:
        """Where the other side sends a browser that opens the link and presses a button."""
        out = await self.http.get(url)
        assert out.status_code == 200, out.text
        (there,) = re.findall(r'href="([^"]+)"', out.text)
        async with httpx2.AsyncClient() as browser:
            page = await browser.get(html.unescape(there))
            assert "Allow" in page.text
            back = await browser.post(html.unescape(there), data={"decision": decision})
        return back.headers["location"]


@asynccontextmanager
async def here(data_dir: Path, *, milestones: Milestones | None = None, **settings: Any) -> AsyncIterator[Here]:
    """The server over a data folder."""
    made = Settings(data_dir=data_dir, expression_workers=1, **settings)
    if made.database_url is None:
        await put_newest(data_dir / "jobsprint.db")
    async with (
        running_services(made, has_http=True, milestones=milestones) as services,
        http_app(made, services) as app,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app, client=("127.0.0.1", 5000)), base_url=BASE) as http,
    ):
        yield Here(services, http)
