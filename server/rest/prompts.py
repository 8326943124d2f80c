"""REST routes for prompt templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from prompts.documents import (
    NamedDocument,
    document_of,
    exported,
    imported,
    read_text,
    template_of,
    toml_text,
)
from prompts.manager import PromptManager, SavedPrompt
from server.http.access import GuardedRoute, actor_of
from server.http.json import (
    PageQuery,
    expected_version,
    json_response,
    large_json_response,
    optional_json,
    query_in,
    validated,
)
from tools.prompt_templates import message_content, prompt_header, prompt_summary, version_content
from workflow.identity import READS_PROMPTS, WRITES_PROMPTS
from workflow.prompt_templates import InvalidPromptError, PromptTemplate

TOML_TYPE = "application/toml"


class PromptVersionQuery(BaseModel):
    """Query of ``GET /api/prompts/{name}``; by default the current version, as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int | None = Field(default=None, ge=0, description="0 is the built-in one.")
    format: Literal["json", "toml"] = "json"


class ExportQuery(BaseModel):
    """Query of ``GET /api/prompts/export``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["json", "toml"] = "json"


class PromptDifferenceQuery(BaseModel):
    """Query of ``GET /api/prompts/{name}/difference``; by default the current version and the one before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_version: int | None = Field(default=None, ge=0)
    version: int | None = Field(default=None, ge=0)


class PreviewBody(BaseModel):
    """Body of ``POST /api/prompts/{name}/preview``; ``template`` is an unsaved one to render instead."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variables: dict[str, Any] = {}
    version: int | None = Field(default=None, ge=0)
    template: dict[str, Any] | None = None
    outside: list[str] = Field(default=[], description="More variables whose values come from outside.")


class PromptExport(RootModel[dict[str, list[NamedDocument]]]):
    """``{"prompts": […]}`` in the form of an export; or the same as TOML."""


@dataclass(slots=True, frozen=True)
class PromptRoutes:
    """Routes under ``/api/prompts``. Bodies are JSON or TOML."""

    manager: PromptManager

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes the same ones."""
        one, reads, writes = "/api/prompts/{name}", READS_PROMPTS, WRITES_PROMPTS
        return [
            GuardedRoute("/api/prompts", self.list_prompts, methods=["GET"], scopes=reads),
            GuardedRoute("/api/prompts", self.create_prompt, methods=["POST"], scopes=writes),
            GuardedRoute("/api/prompts/export", self.export_prompts, methods=["GET"], scopes=reads),
            GuardedRoute("/api/prompts/import", self.import_prompts, methods=["POST"], scopes=writes),
            GuardedRoute(one, self.get_prompt, methods=["GET"], scopes=reads),
            GuardedRoute(one, self.save_prompt, methods=["PUT"], scopes=writes),
            GuardedRoute(one, self.delete_prompt, methods=["DELETE"], scopes=writes),
            GuardedRoute(f"{one}/versions", self.list_versions, methods=["GET"], scopes=reads),
            GuardedRoute(f"{one}/versions/{{version}}/restore", self.restore_version, methods=["POST"], scopes=writes),
            GuardedRoute(f"{one}/difference", self.compare, methods=["GET"], scopes=reads),
            GuardedRoute(f"{one}/preview", self.preview, methods=["POST"], scopes=reads),
        ]

    async def list_prompts(self, request: Request) -> Response:
        """A page of the workspace's templates by name; the first page also has the built-in ones."""
        query = query_in(request, PageQuery)
        page = await self.manager.repository.page(
            actor_of(request).workspace_id, text=query.text, limit=query.limit, cursor=query.cursor
        )
        content: dict[str, Any] = {
            "prompts": [prompt_summary(each) for each in page.items],
            "next_cursor": page.next_cursor,
        }
        if query.cursor is None:
            content["built_in"] = [
                prompt_summary(each) for each in self.manager.built_in() if _has_text(each, query.text or "")
            ]
        return json_response(content)

    async def create_prompt(self, request: Request) -> Response:
        """Check and store a new template: 201 with its version 1."""
        document = read_text(await request.body())
        name = document.get("name") if isinstance(document, dict) else None
        template = template_of(name if isinstance(name, str) else "", document)
        saved = await self.manager.save(actor_of(request), template, expected_version=0)
        return json_response(_saved(saved), 201, {"location": f"/api/prompts/{template.name}", "etag": '"1"'})

    async def get_prompt(self, request: Request) -> Response:
        """The current version, or ``?version=n``; with ``?format=toml`` as a file to keep and send back."""
        query = query_in(request, PromptVersionQuery)
        template = await self.manager.get(actor_of(request).workspace_id, request.path_params["name"], query.version)
        if query.format == "toml":
            return _toml({"name": template.name, **document_of(template)})
        content = {**prompt_header(template), "template": document_of(template)}
        return await large_json_response(content, headers={"etag": f'"{template.version}"'})

    async def save_prompt(self, request: Request) -> Response:
        """Check and store the next version. ``If-Match: "n"`` refuses where the current one is not ``n``."""
        expected = expected_version(request)
        document = read_text(await request.body())
        template = template_of(request.path_params["name"], document)
        saved = await self.manager.save(actor_of(request), template, expected_version=expected)
        return json_response(_saved(saved), headers={"etag": f'"{saved.template.version}"'})

    async def delete_prompt(self, request: Request) -> Response:
        """204 when the template is deleted with all its versions."""
        await self.manager.delete(actor_of(request), request.path_params["name"])
        return Response(status_code=204)

    async def list_versions(self, request: Request) -> Response:
        """Every version, newest first; the built-in one is 0."""
        name = request.path_params["name"]
        versions = await self.manager.versions(actor_of(request).workspace_id, name)
        return json_response({"name": name, "versions": [version_content(each) for each in versions]})

    async def restore_version(self, request: Request) -> Response:
        """Store an old version again, as the next one. ``If-Match`` as for PUT."""
        version = validated(_VersionInPath, {"version": request.path_params["version"]}).version
        saved = await self.manager.restore_version(
            actor_of(request), request.path_params["name"], version, expected_version=expected_version(request)
        )
        return json_response(_saved(saved))

    async def compare(self, request: Request) -> Response:
        """How a version differs from another, in lines."""
        query = query_in(request, PromptDifferenceQuery)
        name = request.path_params["name"]
        before, after, lines = await self.manager.difference(
            actor_of(request).workspace_id, name, query.base_version, query.version
        )
        return json_response({"name": name, "version": after, "base_version": before, "changes": list(lines)})

    async def preview(self, request: Request) -> Response:
        """The rendered messages of the template with these variables. No model is called."""
        owner, name = actor_of(request).workspace_id, request.path_params["name"]
        body = validated(PreviewBody, await optional_json(request))
        content: dict[str, Any] = {}
        if body.template is not None:
            template = template_of(name, body.template)
            findings = await self.manager.check(owner, template)
            if any(each.severity == "error" for each in findings):
                raise InvalidPromptError(findings)
            content["warnings"] = [each.to_json() for each in findings]
        else:
            template = await self.manager.get(owner, name, body.version)
            content |= prompt_header(template)
        preview = await self.manager.preview(owner, template, body.variables, outside=body.outside)
        return await large_json_response({**content, "messages": [message_content(each) for each in preview.messages]})

    async def export_prompts(self, request: Request) -> Response:
        """The current version of every template of the workspace, in one document that can be imported."""
        query = query_in(request, ExportQuery)
        document = exported(await self.manager.repository.every(actor_of(request).workspace_id))
        return _toml(document) if query.format == "toml" else json_response(document)

    async def import_prompts(self, request: Request) -> Response:
        """Check all templates of an export, then store each that differs from what is there as its next version."""
        templates = imported(read_text(await request.body()))
        done = await self.manager.import_all(actor_of(request), templates)
        outcomes = [
            {"name": each.template.name, "version": each.template.version, "outcome": each.outcome} for each in done
        ]
        return json_response({"prompts": outcomes})


class _VersionInPath(BaseModel):
    version: int = Field(ge=0)


def _has_text(template: PromptTemplate, text: str) -> bool:
    found = (template.name, template.title, template.description)
    return any(text.lower() in each.lower() for each in found)


def _saved(saved: SavedPrompt) -> dict[str, Any]:
    content = {**prompt_header(saved.template), "template": document_of(saved.template)}
    if saved.warnings:
        content["warnings"] = [each.to_json() for each in saved.warnings]
    return content


def _toml(document: dict[str, Any]) -> Response:
    return Response(toml_text(document), media_type=TOML_TYPE)
