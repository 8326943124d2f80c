"""REST routes for a workflow's versions: listed, compared, published, restored; and for its deletion undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.authoring import Authoring
from engine.publishing import Publishing
from server.rest import expected_version, json_response, optional_json, query_in, saved_content, validated
from tools.authoring import workflow_header
from tools.caller import LOCAL_USER
from tools.publishing import ToolOffer, published_content
from tools.workflows import difference_content, versions_content


class PublishBody(BaseModel):
    """Body of ``POST /api/workflows/{id}/publish``; by default the current version is published, and no tool made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int | None = Field(default=None, ge=1)
    tool: ToolOffer | None = None


class VersionsQuery(BaseModel):
    """Query of ``GET /api/workflows/{id}/versions``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None


class DifferenceQuery(BaseModel):
    """Query of ``GET /api/workflows/{id}/difference``; by default the current version and the one before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_version: int | None = Field(default=None, ge=1)
    version: int | Literal["published"] | None = None


@dataclass(slots=True, frozen=True)
class Publications:
    """Routes under ``/api/workflows/{workflow_id}/``."""

    authoring: Authoring
    publishing: Publishing

    def routes(self) -> list[Route]:
        """Every route; ``server.openapi`` describes the same ones."""
        one = "/api/workflows/{workflow_id}"
        return [
            Route(f"{one}/restore", self.restore, methods=["POST"]),
            Route(f"{one}/versions", self.list_versions, methods=["GET"]),
            Route(f"{one}/versions/{{version}}/restore", self.restore_version, methods=["POST"]),
            Route(f"{one}/difference", self.compare, methods=["GET"]),
            Route(f"{one}/publish", self.publish, methods=["POST"]),
            Route(f"{one}/unpublish", self.unpublish, methods=["POST"]),
            Route(f"{one}/tool", self.withdraw_tool, methods=["DELETE"]),
        ]

    async def restore(self, request: Request) -> Response:
        """Bring a deleted workflow back, as a draft."""
        return json_response(workflow_header(await self.authoring.restore(request.path_params["workflow_id"])))

    async def list_versions(self, request: Request) -> Response:
        """A page of versions with what changed in each, newest first."""
        query, workflow_id = query_in(request, VersionsQuery), request.path_params["workflow_id"]
        current = await self.authoring.workflows.get(workflow_id)
        page = await self.authoring.workflows.versions(workflow_id, limit=query.limit, cursor=query.cursor)
        return json_response({**versions_content(page, current), "next_cursor": page.next_cursor})

    async def restore_version(self, request: Request) -> Response:
        """Make an old version the draft again, as the next version. ``If-Match`` as for PUT."""
        version = validated(_VersionInPath, {"version": request.path_params["version"]}).version
        saved = await self.authoring.restore_version(
            request.path_params["workflow_id"], version, expected_version=expected_version(request)
        )
        return json_response(saved_content(saved))

    async def compare(self, request: Request) -> Response:
        """How a version differs from another: in lines, and as a JSON Patch."""
        query = query_in(request, DifferenceQuery)
        base, version, found = await self.authoring.compare(
            request.path_params["workflow_id"], query.base_version, query.version
        )
        return json_response({"version": version, **difference_content(base, found)})

    async def publish(self, request: Request) -> Response:
        """Put a version into use, and offer it as a tool where asked; an older version rolls back."""
        body = validated(PublishBody, await optional_json(request))
        exposure = body.tool.exposure(LOCAL_USER) if body.tool is not None else None
        published = await self.publishing.publish(
            request.path_params["workflow_id"], version=body.version, exposure=exposure
        )
        return json_response(published_content(published, exposure, self.publishing))

    async def unpublish(self, request: Request) -> Response:
        """Take a workflow out of use."""
        workflow_id = request.path_params["workflow_id"]
        await self.publishing.unpublish(workflow_id)
        return json_response(workflow_header(await self.authoring.workflows.get(workflow_id)))

    async def withdraw_tool(self, request: Request) -> Response:
        """Offer a workflow as a tool no more; it stays published."""
        await self.publishing.withdraw_tool(request.path_params["workflow_id"])
        return Response(status_code=204)


class _VersionInPath(BaseModel):
    version: int = Field(ge=1)
