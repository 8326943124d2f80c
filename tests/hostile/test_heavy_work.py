"""Inputs that mean much work, against a server with the limits that it has by default: others hardly notice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.hostile import heavy
from tests.hostile.sending import WAYS, created, executed
from tests.support.hostile_client import Answer, HostileClient
from tests.support.http_target import listening
from tests.support.server_process import ServerProcess

_numbers = count()


@pytest.fixture(scope="module")
def hostile_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of its own, with the limits that servers have."""
    with ServerProcess(tmp_path_factory.mktemp("heavy")) as server:
        yield server


@pytest.mark.parametrize("way", WAYS)
async def test_heavy_definitions(client: HostileClient, way: str) -> None:
    complaints = []
    for name, definition in heavy.DEFINITIONS.items():
        answer = await client.tried(name, partial(created, client, way, definition()))
        if complaint := answer.complaint():
            complaints.append(f"{name}: {complaint}")
    complaints += await client.others.judged(client)
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.parametrize("way", ["rest", "modern"])
@pytest.mark.parametrize("name", heavy.RUNS)
async def test_heavy_runs(client: HostileClient, name: str, way: str) -> None:
    made = await created(client, way, heavy.RUNS[name])
    assert made.error is None, made.error
    ran = await client.tried(name, partial(executed, client, way, made.result["workflow_id"], {}))
    assert ran.complaint() is None
    assert await client.others.judged(client) == []


async def test_heavy_requests_to_a_webhook(client: HostileClient) -> None:
    nodes = {
        "hook": {"type": "webhook", "parameters": {"path": "heavy"}},
        "step": {"type": "set", "parameters": {"fields": {"size": "={{ $json.method }}"}}},
        "answer": {"type": "respond", "parameters": {"body": "fine"}},
    }
    edges = [["hook", "step"], ["step", "answer"]]
    made = await client.json(
        "POST", "/api/workflows?publish=true", {"name": "heavy", "nodes": nodes, "connections": edges}
    )
    assert made.error is None, made.error
    complaints = []
    for request in heavy.WEBHOOK_BODIES:
        send = partial(client.send, "POST", "/webhooks/heavy", headers=request.headers, content=request.content())
        answer = await client.tried(request.name, send)
        if complaint := answer.complaint():
            complaints.append(f"{request.name}: {complaint}")
    complaints += await client.others.judged(client)
    assert not complaints, "\n" + "\n".join(complaints)


async def test_heavy_documents(client: HostileClient) -> None:
    """Of APIs, which a connection is made from."""
    documents = {str(number): made() for number, made in enumerate(heavy.DOCUMENTS.values())}

    async def document(request: Request) -> Response:
        return Response(documents[request.path_params["number"]], media_type="application/yaml")

    async def connected(url: str) -> Answer:
        settings = {"url": url}
        name = f"heavy-{next(_numbers)}"
        return await client.json("POST", "/api/integrations", {"name": name, "kind": "openapi", "settings": settings})

    complaints = []
    async with listening(Starlette(routes=[Route("/{number}", document)])) as url:
        for number, name in enumerate(heavy.DOCUMENTS):
            answer = await client.tried(name, partial(connected, f"{url}/{number}"))
            if complaint := answer.complaint():
                complaints.append(f"{name}: {complaint}")
        complaints += await client.others.judged(client)
    assert not complaints, "\n" + "\n".join(complaints)


async def test_heavy_templates(client: HostileClient) -> None:
    """Of prompts, which are rendered."""
    made = await client.json(
        "POST",
        "/api/prompts",
        {"name": "heavy", "title": "x", "messages": [{"role": "user", "content": "x"}], "variables": []},
    )
    assert made.error is None, made.error
    complaints = []
    for title, text in heavy.TEMPLATES.items():
        for name, variable in heavy.TEMPLATE_VARIABLES.items():
            value = variable()
            kind = "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
            template = {
                "title": "x",
                "messages": [{"role": "user", "content": text}],
                "variables": [{"name": "value", "type": kind}],
            }
            body = {"variables": {"value": value}, "template": template}
            send = partial(client.json, "POST", "/api/prompts/heavy/preview", body)
            answer = await client.tried(f"{title}, with {name}", send)
            if complaint := answer.complaint():
                complaints.append(f"{title}, with {name}: {complaint}")
    complaints += await client.others.judged(client)
    assert not complaints, "\n" + "\n".join(complaints)


def test_no_two_inputs_have_the_same_name() -> None:
    names = [*heavy.DEFINITIONS, *heavy.RUNS, *(each.name for each in heavy.WEBHOOK_BODIES), *heavy.DOCUMENTS]
    assert len(names) == len(set(names)) >= 60
