"""REST routes for connections to other people's systems."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.connections import Connected, Connections
from server.auth.sessions.own_login import require_person
from server.http.access import GuardedRoute, actor_of
from server.http.json import json_response, optional_json, query_in, validated
from tools.integrations.search import search
from tools.integrations.views import action_content, connected_content, connection_content
from workflow.identity import Scope
from workflow.ports import Clock

READ, WRITE = [Scope.INTEGRATIONS_READ], [Scope.INTEGRATIONS_WRITE]
FIGURES_DAYS = 30


class ActionsQuery(BaseModel):
    """Query of ``GET /api/integrations/{name}/actions``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(default=None, description="Words to look for.")
    limit: int = Field(default=50, ge=1, le=500)


class DeclaredEffect(BaseModel):
    """Body of ``PUT /api/integrations/{name}/actions/{action}/effect``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effect: Literal["read"]


class FiguresQuery(BaseModel):
    """Query of ``GET /api/integrations/{name}/figures``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(default=FIGURES_DAYS, ge=1, le=366, description="How many days back, today included.")


@dataclass(slots=True, frozen=True)
class IntegrationRoutes:
    """Routes under ``/api/integrations``."""

    connections: Connections
    clock: Clock

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes the same ones."""
        one = "/api/integrations/{name}"
        effect = f"{one}/actions/{{action:path}}/effect"
        return [
            GuardedRoute("/api/integrations", self.list_connections, methods=["GET"], scopes=READ),
            GuardedRoute("/api/integrations", self.connect, methods=["POST"], scopes=WRITE),
            GuardedRoute(one, self.get_connection, methods=["GET"], scopes=READ),
            GuardedRoute(one, self.change_connection, methods=["PATCH"], scopes=WRITE),
            GuardedRoute(one, self.disconnect, methods=["DELETE"], scopes=WRITE),
            GuardedRoute(f"{one}/check", self.check_connection, methods=["POST"], scopes=WRITE),
            GuardedRoute(f"{one}/authorize", self.authorize_connection, methods=["POST"], scopes=WRITE),
            GuardedRoute(f"{one}/actions", self.list_actions, methods=["GET"], scopes=READ),
            GuardedRoute(effect, self.declare_effect, methods=["PUT"], scopes=WRITE),
            GuardedRoute(
                f"{one}/actions/{{action:path}}/effect", self.withdraw_effect, methods=["DELETE"], scopes=WRITE
            ),
            GuardedRoute(f"{one}/figures", self.list_figures, methods=["GET"], scopes=READ),
        ]

    async def list_connections(self, request: Request) -> Response:
        """Every connection of the workspace, without its secret."""
        listed = await self.connections.all(actor_of(request))
        return json_response({"connections": [connection_content(each) for each in listed]})

    async def connect(self, request: Request) -> Response:
        """Make a connection and test it: 201; with ``authorization_url`` where a user has to consent in a browser."""
        made = await self.connections.connect(actor_of(request), await optional_json(request))
        location = {"location": f"/api/integrations/{made.connection.name}"}
        return json_response(connected_content(made), 201, location)

    async def get_connection(self, request: Request) -> Response:
        """A connection without its secret."""
        return json_response(connection_content(await self.connections.get(actor_of(request), _name(request))))

    async def change_connection(self, request: Request) -> Response:
        """Change its settings or its secret, and test it."""
        made = await self.connections.change(actor_of(request), _name(request), await optional_json(request))
        return json_response(connected_content(made))

    async def disconnect(self, request: Request) -> Response:
        """204 when it is deleted, and its grant is revoked."""
        await self.connections.disconnect(actor_of(request), _name(request))
        return Response(status_code=204)

    async def check_connection(self, request: Request) -> Response:
        """Test the connection now; the answer has the result."""
        return json_response(connected_content(await self.connections.check(actor_of(request), _name(request))))

    async def authorize_connection(self, request: Request) -> Response:
        """The address where a user has to consent in a browser, for the first time or again."""
        begun: Connected = await self.connections.authorize(actor_of(request), _name(request))
        return json_response(connected_content(begun))

    async def list_actions(self, request: Request) -> Response:
        """Its allowed actions with their schemas; with search words the best match first."""
        query = query_in(request, ActionsQuery)
        actions = await self.connections.actions(actor_of(request), _name(request))
        found = search(actions, query.text)
        shapes = await self.connections.shapes(actor_of(request), _name(request))
        shown = [action_content(each, shapes.get(each.name)) for each in found[: query.limit]]
        return json_response({"actions": shown, "total": len(found)})

    async def declare_effect(self, request: Request) -> Response:
        """Declare that an action of which the other side does not say so only reads. Only a person can."""
        actor = actor_of(request)
        require_person(actor)
        validated(DeclaredEffect, await optional_json(request))
        declared = await self.connections.declare_read(actor, _name(request), request.path_params["action"])
        return json_response(action_content(declared))

    async def withdraw_effect(self, request: Request) -> Response:
        """Have the action be an assumed write again."""
        actor, action = actor_of(request), request.path_params["action"]
        return json_response(action_content(await self.connections.withdraw_read(actor, _name(request), action)))

    async def list_figures(self, request: Request) -> Response:
        """The outcomes of its calls, by action and day, the latest day first."""
        query = query_in(request, FiguresQuery)
        since = (self.clock.now() - timedelta(days=query.days - 1)).date().isoformat()
        figures = await self.connections.figures(actor_of(request), _name(request), since=since)
        return json_response({"figures": [_figures_content(each) for each in figures]})


def _figures_content(figures: Any) -> dict[str, Any]:
    return {
        "action": figures.action,
        "day": figures.day,
        "calls": figures.calls,
        "failures": figures.failures,
        "in_doubt": figures.in_doubt,
        "fallbacks": figures.fallbacks,
        "quota": figures.quota,
        "seconds": round(figures.seconds, 3),
    }


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name
