"""Times in arguments: without an offset they are in UTC, in tools as in REST; other texts get a helpful error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from pydantic import TypeAdapter

from tests.server.conftest import connected
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess
from tools.protocol.moments import Moment

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T12:00:00", NOON),
        ("2026-03-01T12:00", NOON),
        ("2026-03-01 12:00:00", NOON),
        ("2026-03-01 12:00", NOON),
        ("2026-03-01", NOON.replace(hour=0)),
        ("2026-03-01T13:00:00+01:00", NOON),
        ("2026-03-01T13:00:00 01:00", NOON),
        ("2026-03-01T13:00:00.000 0100", NOON),
        ("2026-03-01T07:00:00-05:00", NOON),
        (1772366400, NOON),
    ],
)
def test_a_time_without_an_offset_is_in_utc(written: Any, meant: datetime) -> None:
    assert TypeAdapter(Moment).validate_python(written) == meant


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[tuple[McpCaller, str, list[str]]]:
    """A client, the server's address, and the ids of two executions."""
    with ServerProcess(tmp_path / "data") as server:
        async with connected("http", "modern", server, tmp_path) as mcp:
            workflow_id = await mcp.create({"start": {"type": "manual"}})
            ran = [await mcp.call("execute_workflow", workflow_id=workflow_id, input={}) for _ in range(2)]
            yield mcp, server.url, [each["execution_id"] for each in ran]


async def test_executions_are_listed_since_a_time_with_or_without_an_offset(
    caller: tuple[McpCaller, str, list[str]],
) -> None:
    mcp, url, ids = caller
    now = datetime.now(UTC).replace(microsecond=0)
    earlier, later = now - timedelta(minutes=5), now + timedelta(minutes=5)
    west = (earlier - timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%S-05:00")
    east = (later + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M:%S+09:00")
    async with httpx2.AsyncClient(base_url=url) as http:
        for since, expected in (
            (earlier.strftime("%Y-%m-%dT%H:%M:%S"), ids),
            (later.strftime("%Y-%m-%dT%H:%M:%S"), []),
            (earlier.strftime("%Y-%m-%dT%H:%M:%SZ"), ids),
            (west, ids),
            (east, []),
            ((now - timedelta(days=1)).date().isoformat(), ids),
            ((now + timedelta(days=1)).date().isoformat(), []),
        ):
            listed = await mcp.call("list_executions", created_after=since)
            assert {each["execution_id"] for each in listed["executions"]} == set(expected), since
            for query in (quote(since, safe=""), since):  # a + that nobody has escaped is a blank
                answer = await http.get(f"/api/executions?created_after={query}")
                assert answer.status_code == 200, answer.text
                assert len(answer.json()["executions"]) == len(expected), since


async def test_what_is_no_time_is_told_with_what_to_send(caller: tuple[McpCaller, str, list[str]]) -> None:
    mcp, url, _ = caller
    for written in ("yesterday", "2026-13-01", "12:00", "01.03.2026"):
        error = await mcp.fail("list_executions", created_after=written)
        assert error["pointer"] == "/created_after"
        assert "ISO 8601" in str(error)
        async with httpx2.AsyncClient(base_url=url) as http:
            answer = await http.get("/api/executions", params={"created_after": written})
        assert answer.status_code == 400
        assert "ISO 8601" in answer.text
