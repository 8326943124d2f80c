"""The HTTP application: MCP at ``/mcp``, the REST API, webhooks, health, and what describes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import orjson
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from server.assembly.composition import Services
from server.assembly.identity import IdentityParts
from server.auth.sessions.authentication import Authentication
from server.http.json import json_response
from server.http.problems import handle_expected, handle_unexpected, problem
from server.mcp.direct_calls import DirectCalls
from server.mcp.direct_sessions import DirectSessionCalls
from server.mcp.front import Front
from server.mcp.replay import ResumableSessions
from server.rest.connect_pages import ConnectPages
from server.rest.connections import IntegrationRoutes
from server.rest.conversations import ConversationRoutes
from server.rest.credentials import CredentialRoutes
from server.rest.model_history import ExchangeRoutes
from server.rest.openapi import describe
from server.rest.prompts import PromptRoutes
from server.rest.resume import Resume
from server.rest.schedules import ScheduleRoutes
from server.rest.secret_pages import SecretPages
from server.rest.versions import Publications
from server.rest.webhooks import Webhooks
from server.rest.workflows_and_executions import RestApi
from server.settings.settings import Settings
from server.version import VERSION
from server.walls.guards import allowed_hosts, allowed_origins
from server.walls.walls import counted, making_buckets, walled
from workflow.errors import JobsprintError, StorageError


@asynccontextmanager
async def http_app(settings: Settings, services: Services) -> AsyncIterator[ASGIApp]:
    """The application over running services; it serves MCP sessions until the context is left."""
    identity = services.identity
    if identity is None:
        raise RuntimeError("these services were not put together for HTTP")
    hosts, origins = allowed_hosts(settings), allowed_origins(settings)
    manager = ResumableSessions(
        services.mcp,
        security_settings=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins),
        max_request_body_size=settings.request_max_bytes,
    )
    webhooks = Webhooks(
        intake=services.webhooks,
        reader=services.reader,
        response_timeout_seconds=settings.webhook_response_timeout_seconds,
        leaving=services.leaving,
    )
    async with manager.run(), making_buckets(settings) as buckets:
        app = Starlette(
            routes=_routes(settings, services, identity, manager, webhooks),
            exception_handlers={
                JobsprintError: handle_expected,
                HTTPException: _handle_http,
                Exception: handle_unexpected,
            },
        )
        # A path with a slash too many is a different path: it gets 404, not a redirect.
        app.router.redirect_slashes = False
        in_sessions = DirectSessionCalls(app, offers=services.offers)
        calls = DirectCalls(in_sessions, offers=services.offers, server=services.mcp)
        known = Authentication(
            counted(calls, settings=settings, buckets=buckets),
            verifiers=identity.verifiers,
            first_run=identity.first_run,
            base_url=settings.base_url,
        )
        yield walled(webhooks.in_front_of(known), settings=settings, buckets=buckets, hosts=hosts, origins=origins)


def _routes(
    settings: Settings, services: Services, identity: IdentityParts, manager: ResumableSessions, webhooks: Webhooks
) -> list[Route]:
    api = RestApi(services.authoring, services.requests, services.reader, services.control, services.tries)

    async def health(request: Request) -> Response:
        """The process is up."""
        return json_response({"status": "ok", "version": VERSION})

    async def readiness(request: Request) -> Response:
        """The process can do its work: its database answers."""
        try:
            await services.database.ping()
        except StorageError as error:
            return problem(503, code=error.code, title=error.message, fix=error.fix)
        return json_response({"status": "ready"})

    async def openapi(request: Request) -> Response:
        """The description of the REST API."""
        # Nothing in it is secret, but some names look like those of secrets, which a redacting answer would hide.
        return Response(description(), media_type="application/json")

    routes = [
        *webhooks.routes(),
        Route("/mcp", Front(StreamableHTTPASGIApp(manager), offers=services.offers, base_url=settings.base_url)),
        *api.routes(),
        *Publications(services.authoring, services.publishing).routes(),
        *ScheduleRoutes(services.schedules).routes(),
        *ConversationRoutes(memory=services.conversations, audit=services.audit).routes(),
        *PromptRoutes(services.prompts).routes(),
        *identity.routes,
        *CredentialRoutes(services.credentials).routes(),
        *ConnectPages(
            authorizations=services.integrations.authorizations,
            connections=services.integrations.connections,
            sessions=identity.pages,
            base_url=settings.base_url,
        ).routes(),
        *SecretPages(
            links=services.integrations.secret_links, sessions=identity.pages, first_run=identity.first_run
        ).routes(),
        *IntegrationRoutes(services.integrations.connections, services.clock).routes(),
        *ExchangeRoutes(exchanges=services.ai.exchanges).routes(),
        *Resume(
            links=services.links,
            control=services.control,
            reader=services.reader,
            authoring=services.authoring,
            sessions=identity.pages,
        ).routes(),
        Route("/healthz", health),
        Route("/readyz", readiness),
        Route("/openapi.json", openapi),
    ]

    @cache
    def description() -> bytes:
        return orjson.dumps(describe(routes, version=VERSION, base_url=settings.base_url))

    return routes


async def _handle_http(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such route, wrong method) as problem documents."""
    if not isinstance(error, HTTPException):
        raise error
    codes = {404: "no_such_route", 405: "method_not_allowed"}
    return problem(
        error.status_code,
        code=codes.get(error.status_code, "http_error"),
        title=f"{request.method} {request.url.path}: {error.detail}",
        headers=dict(error.headers or {}),
        fix="GET /openapi.json lists the routes and their methods.",
    )
