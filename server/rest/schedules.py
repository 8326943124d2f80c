"""REST routes for schedules: listed, looked at, paused, resumed, run now, run for past slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.schedules.schedules import Schedules
from engine.schedules.views import entry_json
from server.http.access import GuardedRoute, actor_of
from server.http.json import json_response, optional_json, query_in, validated
from server.rest.operation import Operation
from workflow.identity import READS_WORKFLOWS, RUNS
from workflow.schedules.schedules import ScheduleState, SlotOutcome

NOTE_MAX_LENGTH = 500


class SchedulesQuery(BaseModel):
    """Query of ``GET /api/schedules``; with a workflow its ended schedules are listed too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow_id: str | None = None
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None


class SlotsQuery(BaseModel):
    """Query of ``GET /api/schedules/{id}/slots``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: SlotOutcome | None = None
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None


class PauseBody(BaseModel):
    """Body of ``POST /api/schedules/{id}/pause``; the note says why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    note: str | None = Field(default=None, max_length=NOTE_MAX_LENGTH)


class BackfillBody(BaseModel):
    """Body of ``POST /api/schedules/{id}/backfill``: a time that is past, both ends included, with offsets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    begin: AwareDatetime
    end: AwareDatetime


class SlotAnswer(BaseModel):
    """What became of a slot, or of ``count`` slots up to ``until``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    slot_at: datetime
    outcome: SlotOutcome
    execution_id: str = ""
    reason: str = ""


class ScheduleAnswer(BaseModel):
    """A schedule: when it fires in words, its next firings, its last slot, and what became of all slots."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schedule_id: str
    workflow_id: str
    trigger: str
    state: ScheduleState
    when: str
    next: list[datetime] = []
    last: SlotAnswer | None = None
    slots: dict[SlotOutcome, int] = {}


class SchedulesAnswer(BaseModel):
    """A page of schedules, newest first."""

    schedules: list[ScheduleAnswer]
    next_cursor: str | None


class SlotsAnswer(BaseModel):
    """A page of a schedule's ledger, newest slot first."""

    slots: list[SlotAnswer]
    next_cursor: str | None


class RunNowAnswer(BaseModel):
    """The execution that was started."""

    execution_id: str


class BackfillAnswer(BaseModel):
    """The executions that were started; ``already`` slots had one."""

    execution_ids: list[str]
    already: int


@dataclass(slots=True, frozen=True)
class ScheduleRoutes:
    """Routes under ``/api/schedules``."""

    schedules: Schedules

    def routes(self) -> list[Route]:
        """Every route."""
        one, reads, runs = "/api/schedules/{schedule_id}", READS_WORKFLOWS, RUNS
        return [
            GuardedRoute("/api/schedules", self.list_all, methods=["GET"], scopes=reads),
            GuardedRoute(one, self.get, methods=["GET"], scopes=reads),
            GuardedRoute(f"{one}/slots", self.slots, methods=["GET"], scopes=reads),
            GuardedRoute(f"{one}/pause", self.pause, methods=["POST"], scopes=runs),
            GuardedRoute(f"{one}/resume", self.resume, methods=["POST"], scopes=runs),
            GuardedRoute(f"{one}/run", self.run_now, methods=["POST"], scopes=runs),
            GuardedRoute(f"{one}/backfill", self.backfill, methods=["POST"], scopes=runs),
        ]

    async def list_all(self, request: Request) -> Response:
        """A page of schedules, newest first."""
        query = query_in(request, SchedulesQuery)
        page = await self.schedules.page(
            actor_of(request).workspace_id, workflow_id=query.workflow_id, limit=query.limit, cursor=query.cursor
        )
        return json_response({"schedules": page.items, "next_cursor": page.next_cursor})

    async def get(self, request: Request) -> Response:
        """One schedule."""
        return json_response(await self.schedules.get(actor_of(request).workspace_id, _id_in(request)))

    async def slots(self, request: Request) -> Response:
        """A page of what became of a schedule's slots."""
        query = query_in(request, SlotsQuery)
        page = await self.schedules.ledger(
            actor_of(request).workspace_id,
            _id_in(request),
            outcome=query.outcome,
            limit=query.limit,
            cursor=query.cursor,
        )
        return json_response({"slots": [entry_json(each) for each in page.items], "next_cursor": page.next_cursor})

    async def pause(self, request: Request) -> Response:
        """Let it start nothing until it is resumed."""
        body = validated(PauseBody, await optional_json(request))
        return json_response(await self.schedules.pause(actor_of(request), _id_in(request), note=body.note))

    async def resume(self, request: Request) -> Response:
        """Let it fire again; the slots of the pause stay skipped."""
        return json_response(await self.schedules.resume(actor_of(request), _id_in(request)))

    async def run_now(self, request: Request) -> Response:
        """Start an execution now, beside the slots."""
        return json_response({"execution_id": await self.schedules.run_now(actor_of(request), _id_in(request))}, 202)

    async def backfill(self, request: Request) -> Response:
        """Start an execution for each past slot in a time that has none."""
        body = validated(BackfillBody, await optional_json(request))
        found = await self.schedules.backfill(actor_of(request), _id_in(request), begin=body.begin, end=body.end)
        return json_response({"execution_ids": found.execution_ids, "already": found.already}, 202)


def _id_in(request: Request) -> str:
    return str(request.path_params["schedule_id"])


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/api/schedules"): Operation(success={200: "A page of schedules."}, query=SchedulesQuery, problems=(400,)),
    ("GET", "/api/schedules/{schedule_id}"): Operation(success={200: "The schedule."}, problems=(404,)),
    ("GET", "/api/schedules/{schedule_id}/slots"): Operation(
        success={200: "A page of the ledger."}, query=SlotsQuery, problems=(400, 404)
    ),
    ("POST", "/api/schedules/{schedule_id}/pause"): Operation(
        success={200: "The schedule, paused."}, body=PauseBody, problems=(400, 404, 409)
    ),
    ("POST", "/api/schedules/{schedule_id}/resume"): Operation(
        success={200: "The schedule, active."}, problems=(404, 409)
    ),
    ("POST", "/api/schedules/{schedule_id}/run"): Operation(
        success={202: "The execution that was started."}, problems=(404, 409, 429)
    ),
    ("POST", "/api/schedules/{schedule_id}/backfill"): Operation(
        success={202: "The executions that were started."}, body=BackfillBody, problems=(400, 404, 409, 429)
    ),
}
"""What the description of the REST API says of these routes."""

ANSWERS: Mapping[tuple[str, str], type[BaseModel]] = {
    ("GET", "/api/schedules"): SchedulesAnswer,
    ("GET", "/api/schedules/{schedule_id}"): ScheduleAnswer,
    ("GET", "/api/schedules/{schedule_id}/slots"): SlotsAnswer,
    ("POST", "/api/schedules/{schedule_id}/pause"): ScheduleAnswer,
    ("POST", "/api/schedules/{schedule_id}/resume"): ScheduleAnswer,
    ("POST", "/api/schedules/{schedule_id}/run"): RunNowAnswer,
    ("POST", "/api/schedules/{schedule_id}/backfill"): BackfillAnswer,
}
"""The model of each route's answer when it succeeds."""
