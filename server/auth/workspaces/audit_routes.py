"""The route that shows the audit log of a workspace to its owners."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.http.access import GuardedRoute, actor_of
from server.http.json import json_response, query_in
from storage.people.audit import AuditFilter, SqlAuditLog
from workflow.audit import AuditEntry
from workflow.identity import Scope


class AuditQuery(BaseModel):
    """Query of ``GET /api/audit``; ``action`` is how the action begins, ``workflow.`` or ``effect.sent``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str | None = Field(default=None, max_length=40)
    subject: str | None = Field(default=None, max_length=200)
    user_id: str | None = Field(default=None, max_length=200)
    after: AwareDatetime | None = None
    before: AwareDatetime | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class AuditRoutes:
    """``/api/audit``."""

    log: SqlAuditLog

    def routes(self) -> list[Route]:
        """The route; ``server.rest.openapi`` describes the same one."""
        return [GuardedRoute("/api/audit", self.list_entries, methods=["GET"], scopes=[Scope.ADMIN])]

    async def list_entries(self, request: Request) -> Response:
        """A page of the workspace's audit log, newest first: who changed or sent what, when, through which client."""
        actor = actor_of(request)
        query = query_in(request, AuditQuery)
        where = AuditFilter(
            action=query.action,
            subject=query.subject,
            user_id=query.user_id,
            after=query.after,
            before=query.before,
        )
        page = await self.log.page(actor.workspace_id, where, limit=query.limit, cursor=query.cursor)
        return json_response({"entries": [_shown(each) for each in page.items], "next_cursor": page.next_cursor})


def _shown(entry: AuditEntry) -> dict[str, Any]:
    at: datetime = entry.at
    shown: dict[str, Any] = {
        "id": entry.id,
        "at": at.isoformat(),
        "user_id": entry.user_id,
        "client": entry.client,
        "action": entry.action,
        "subject": entry.subject,
    }
    if entry.details is not None:
        shown["details"] = entry.details
    return shown
