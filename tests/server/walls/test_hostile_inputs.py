"""A handful of the hostile corpus, against the server that all tests share; ``make hostile`` sends the whole of it."""

from __future__ import annotations

import httpx2
import pytest

from tests.hostile import corpus
from tests.support.hostile_client import HostileClient
from tests.support.server_process import ServerProcess

EVERY = 7


@pytest.fixture
def client(server: ServerProcess, http: httpx2.AsyncClient) -> HostileClient:
    return HostileClient(http, server.pid)


@pytest.mark.parametrize(
    "request_", [*corpus.JSON_BOMBS, *corpus.ENCODED][::EVERY], ids=lambda each: each.name.replace(" ", "-")
)
async def test_a_body_that_is_wrong_is_refused_over_rest_and_mcp(
    client: HostileClient, request_: corpus.RawRequest
) -> None:
    content = request_.content()
    answers = [
        await client.send("POST", "/api/workflows", headers=request_.headers, content=content),
        await client.mcp("modern", content),
        await client.mcp("legacy", content),
    ]
    for answer in answers:
        assert answer.complaint() is None
        assert answer.error is not None


@pytest.mark.parametrize("name", list(corpus.TEXTS)[::EVERY])
async def test_a_strange_text_is_kept_as_it_is(client: HostileClient, name: str) -> None:
    text = corpus.TEXTS[name]
    definition = {"name": text, "nodes": {text: {"type": "manual", "notes": text}}}
    made = await client.call("modern", "create_workflow", {"definition": definition})
    stored = await client.send("GET", f"/api/workflows/{made.result['workflow_id']}")
    assert stored.content["definition"] == definition


async def test_ids_that_are_paths_lead_nowhere(client: HostileClient) -> None:
    for each in corpus.IDS[::EVERY]:
        answer = await client.call("modern", "get_workflow", {"workflow_id": each})
        assert answer.complaint() is None
        assert answer.error is not None
