"""The route that lists exchanges with models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.http.access import GuardedRoute, actor_of
from server.http.json import json_response, query_in
from storage.models.exchanges import SqlExchanges
from workflow.exchanges import Exchange, ExchangeFilter
from workflow.identity import READS_EXECUTIONS


class ExchangesQuery(BaseModel):
    """Query of ``GET /api/exchanges``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow_id: str | None = Field(default=None, max_length=200)
    execution_id: str | None = Field(default=None, max_length=200)
    conversation_id: str | None = Field(default=None, max_length=1_000)
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ExchangeRoutes:
    """``/api/exchanges``."""

    exchanges: SqlExchanges

    def routes(self) -> list[Route]:
        """The route; ``server.rest.openapi`` describes the same one."""
        return [GuardedRoute("/api/exchanges", self.list_exchanges, methods=["GET"], scopes=READS_EXECUTIONS)]

    async def list_exchanges(self, request: Request) -> Response:
        """A page of the exchanges of the workspace's workflows with models, newest first."""
        query = query_in(request, ExchangesQuery)
        where = ExchangeFilter(
            owner=actor_of(request).workspace_id,
            workflow_id=query.workflow_id,
            execution_id=query.execution_id,
            conversation_id=query.conversation_id,
        )
        page = await self.exchanges.page(where, limit=query.limit, cursor=query.cursor)
        return json_response({"exchanges": [shown(each) for each in page.items], "next_cursor": page.next_cursor})


def shown(exchange: Exchange) -> dict[str, Any]:
    """An exchange as it is shown: its purpose, the model that answered, and its cost."""
    asker, usage = exchange.asker, exchange.usage
    return {
        "id": exchange.id,
        "at": exchange.created_at.isoformat(),
        "model": exchange.model,
        "outcome": exchange.outcome,
        "user_id": asker.user_id,
        "workflow_id": asker.workflow_id,
        "execution_id": asker.execution_id,
        "node": asker.node,
        "conversation_id": exchange.conversation_id,
        "request": exchange.request,
        "answer": exchange.answer,
        # Not "tokens": values under such a name are redacted as secrets.
        "usage": {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "is_estimate": usage.is_estimate,
            "cost_dollars": None if usage.cost_micros is None else usage.cost_micros / 1_000_000,
        },
        "latency_ms": round(exchange.latency_ms, 1),
        "attempts": [
            {
                "model": each.model,
                "outcome": each.outcome,
                "status": each.status,
                "latency_ms": round(each.latency_ms, 1),
            }
            for each in exchange.attempts
        ],
        "is_from_cache": exchange.is_from_cache,
    }
