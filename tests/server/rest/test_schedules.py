"""Schedules over REST, in a real server: they fire by themselves, and people look at, pause and run them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.here import Here, here
from tests.support.server_process import ServerProcess
from tests.support.tenants import registered
from tests.support.waiting import found


def definition(name: str = "Tick", **parameters: Any) -> dict[str, Any]:
    """A workflow with a schedule."""
    tick = {"type": "schedule", "parameters": {"every": "1s", **parameters}}
    shape = {"type": "set", "parameters": {"fields": {"at": "={{ $json.slot_at }}", "why": "={{ $json.outcome }}"}}}
    return {"name": name, "nodes": {"tick": tick, "shape": shape}, "connections": [["tick", "shape"]]}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Here]:
    """The server."""
    async with here(tmp_path) as made:
        yield made


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with accounts."""
    with ServerProcess(tmp_path, {"JOBSPRINT_REGISTRATION": "open"}) as server:
        yield server


async def published(server: Here, **parameters: Any) -> dict[str, Any]:
    """The schedule of a new workflow."""
    made = await server.http.post("/api/workflows?publish=true", json=definition(**parameters))
    assert made.status_code == 201, made.text
    (schedule,) = (await get(server, f"/api/schedules?workflow_id={made.json()['workflow_id']}"))["schedules"]
    return dict(schedule)


def item_of(run: dict[str, Any]) -> dict[str, Any]:
    """What the workflow made of the trigger's item."""
    (item,) = run["output"]["items"]["shape"]
    return {name: item[name] for name in ("at", "why")}


async def get(server: Here, path: str) -> dict[str, Any]:
    """What is there."""
    answer = await server.http.get(path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def post(server: Here, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
    """What comes of it."""
    answer = await server.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def test_a_published_schedule_fires_by_itself_and_says_what_became_of_its_slots(server: Here) -> None:
    schedule = await published(server)
    path = f"/api/schedules/{schedule['schedule_id']}"
    assert (schedule["state"], schedule["trigger"], schedule["when"]) == ("active", "tick", "every second")
    assert len(schedule["next"]) == 3

    async def two() -> list[dict[str, Any]] | None:
        slots: list[dict[str, Any]] = (await get(server, f"{path}/slots?outcome=started"))["slots"]
        return slots if len(slots) >= 2 else None

    later, earlier = (await found(two))[:2]
    assert datetime.fromisoformat(later["slot_at"]) - datetime.fromisoformat(earlier["slot_at"]) == timedelta(seconds=1)
    run = await server.seen(later["execution_id"])
    assert (run["status"], run["trigger"]) == ("succeeded", "schedule")
    assert item_of(run) == {"at": later["slot_at"], "why": "started"}
    assert (await get(server, path))["slots"]["started"] >= 2


async def test_it_is_paused_with_a_note_and_resumed_and_the_pause_is_in_the_ledger(server: Here) -> None:
    schedule = await published(server)
    path = f"/api/schedules/{schedule['schedule_id']}"
    paused = await post(server, f"{path}/pause", note="the shop is closed")
    assert (paused["state"], paused["note"]) == ("paused", "the shop is closed")
    assert "next" not in paused

    async def a_slot_later() -> bool | None:
        return True if datetime.now(UTC) > datetime.fromisoformat(paused["changed_at"]) + timedelta(seconds=1) else None

    await found(a_slot_later)
    resumed = await post(server, f"{path}/resume")
    assert resumed["state"] == "active"
    (skipped,) = (await get(server, f"{path}/slots?outcome=skipped"))["slots"]
    assert skipped["reason"] == "the schedule was paused"


async def test_it_is_run_now_beside_its_slots(server: Here) -> None:
    schedule = await published(server, every="10 days")
    ran = await post(server, f"/api/schedules/{schedule['schedule_id']}/run", 202)
    run = await server.seen(ran["execution_id"])
    assert (run["status"], item_of(run)["why"]) == ("succeeded", "run_now")
    assert (await get(server, f"/api/schedules/{schedule['schedule_id']}"))["last"]["outcome"] == "run_now"


async def test_slots_of_the_past_are_run_once_however_often_it_is_asked(server: Here) -> None:
    schedule = await published(server, every="1 hour", exclude=["2026-01-02"])
    path = f"/api/schedules/{schedule['schedule_id']}/backfill"
    span = {"begin": "2026-01-01T20:00:00Z", "end": "2026-01-03T02:00:00Z"}
    first = await post(server, path, 202, **span)
    assert (len(first["execution_ids"]), first["already"]) == (7, 0)
    items = [item_of(await server.seen(each)) for each in first["execution_ids"]]
    assert items[0] == {"at": "2026-01-01T20:00:00.000Z", "why": "backfilled"}
    again = await post(server, path, 202, **span)
    assert (again["execution_ids"], again["already"]) == ([], 7)
    for wrong in (
        {"begin": span["end"], "end": span["begin"]},
        {"begin": span["begin"], "end": "2100-01-01T00:00:00Z"},
        {"begin": "1990-01-01T00:00:00Z", "end": span["end"]},
        {"begin": "yesterday", "end": span["end"]},
        {},
    ):
        refused = await server.http.post(path, json=wrong)
        assert refused.status_code == 400, refused.text
        assert refused.json()["fix"]


async def test_unpublishing_ends_it_and_what_has_ended_cannot_be_paused(server: Here) -> None:
    schedule = await published(server)
    await post(server, f"/api/workflows/{schedule['workflow_id']}/unpublish")
    ended = await get(server, f"/api/schedules/{schedule['schedule_id']}")
    assert (ended["state"], ended["note"]) == ("ended", "unpublished")
    refused = await server.http.post(f"/api/schedules/{schedule['schedule_id']}/pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "schedule_state")
    absent = await server.http.get("/api/schedules/nobody")
    assert (absent.status_code, absent.json()["code"]) == (404, "schedule_not_found")


async def test_what_can_be_wrong_with_a_schedule_is_said_when_it_is_checked(server: Here) -> None:
    for wrong, says in (
        ({"cron": "0 9 * *"}, "has 4 fields"),
        ({"every": "5 fortnights"}, "no interval"),
        ({"timezone": "Europe/Lisboa"}, "not an IANA time zone"),
        ({"every": "={{ 1 }}m"}, "fires before there is an item"),
        ({"on": ["mon"]}, "on goes with at"),
        ({"exclude": ["25.12."]}, "neither a date"),
    ):
        answer = await server.http.post("/api/workflows", json=definition(**wrong))
        assert answer.status_code == 400, wrong
        assert says in answer.text, answer.text


async def test_what_people_do_to_it_is_in_the_audit_log(shared: ServerProcess) -> None:
    ann = await registered(shared.url, "ann")
    async with ann.http() as http:
        await http.post("/api/workflows?publish=true", json=definition("Hers", every="1 day"))
        (schedule,) = (await http.get("/api/schedules")).json()["schedules"]
        path = f"/api/schedules/{schedule['schedule_id']}"
        span = {"begin": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
        for do, body in (("pause", {"note": "why"}), ("resume", {}), ("run", {}), ("backfill", span)):
            assert (await http.post(f"{path}/{do}", json=body)).status_code < 300, do
        entries = (await http.get("/api/audit", params={"limit": 50})).json()["entries"]
        noted = [
            each["action"] for each in reversed(entries) if each["subject"] == f"schedule:{schedule['schedule_id']}"
        ]
        assert noted == ["schedule.paused", "schedule.resumed", "schedule.run_now", "schedule.backfilled"]


async def test_another_workspace_neither_sees_nor_changes_it(shared: ServerProcess) -> None:
    ann, bob = await registered(shared.url, "ann"), await registered(shared.url, "bob")
    async with ann.http() as http:
        made = await http.post("/api/workflows?publish=true", json=definition("Hers", every="1 day"))
        (schedule,) = (await http.get(f"/api/schedules?workflow_id={made.json()['workflow_id']}")).json()["schedules"]
    path = f"/api/schedules/{schedule['schedule_id']}"
    async with bob.http() as http:
        assert (await http.get("/api/schedules")).json()["schedules"] == []
        for method, asked in (
            ("GET", path),
            ("GET", f"{path}/slots"),
            ("POST", f"{path}/pause"),
            ("POST", f"{path}/resume"),
            ("POST", f"{path}/run"),
        ):
            assert (await http.request(method, asked)).status_code == 404, asked
        span = {"begin": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
        assert (await http.post(f"{path}/backfill", json=span)).status_code == 404
    async with ann.http() as http:
        assert (await http.get(path)).json()["state"] == "active"
