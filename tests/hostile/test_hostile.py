"""The corpus against a real server, through REST and through MCP in both eras.

Each input is refused with a documented code that says what to do, or is data and comes back exactly as it was sent.
Meanwhile somebody else asks for something plain, and hardly notices.
"""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.hostile import corpus
from tests.hostile.sending import PLAIN, WAYS, created, executed, level, must_refuse, workflow
from tests.support.hostile_client import ERAS, Answer, Era, HostileClient
from tests.support.http_target import listening
from tests.support.server_process import ServerProcess


@pytest.fixture(scope="module")
def hostile_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of its own: what is done to it is not for the others."""
    settings = {
        "JOBSPRINT_LOG_FORMAT": "json",
        "JOBSPRINT_EXPRESSION_CPU_SECONDS": "0.5",
        "JOBSPRINT_EXPRESSION_GRACE_SECONDS": "1",
        "JOBSPRINT_EXPRESSION_MEMORY_BYTES": str(64 << 20),
        "JOBSPRINT_HTTP_MAX_RESPONSE_BYTES": "1000000",
    }
    with ServerProcess(tmp_path_factory.mktemp("hostile"), settings) as server:
        yield server


@pytest.mark.parametrize(
    "requests", [corpus.JSON_BOMBS, corpus.ENCODED, corpus.HEADS], ids=["JSON", "encoded", "heads"]
)
async def test_requests_that_are_wrong_are_refused(client: HostileClient, requests: list[corpus.RawRequest]) -> None:
    workflow_id = await workflow(client)
    async with level(client) as complaints:
        for request in requests:
            path = request.path.replace("{workflow}", workflow_id)
            content = request.content() or None
            send = partial(client.send, request.method, path, headers=request.headers, content=content)
            answer = await client.tried(request.name, send)
            complaint = answer.complaint() if request.may_succeed else must_refuse(answer)
            if complaint:
                complaints.append(f"{request.name}: {complaint}")
    assert (await client.send("GET", f"/api/workflows/{workflow_id}")).status == 200, "nothing was deleted by a trick"


@pytest.mark.parametrize("era", ERAS)
async def test_bodies_that_are_wrong_are_refused_over_mcp(client: HostileClient, era: Era) -> None:
    async with level(client) as complaints:
        for request in [*corpus.JSON_BOMBS, *corpus.ENCODED]:
            answer = await client.tried(request.name, partial(client.mcp, era, request.content()))
            if answer.status != 202 and (complaint := must_refuse(answer)):
                complaints.append(f"{request.name}: {complaint}")
        for name, body in corpus.MCP_BODIES:
            answer = await client.tried(name, partial(client.mcp, era, body))
            if complaint := answer.complaint():
                complaints.append(f"{name}: {complaint}")


@pytest.mark.parametrize("way", WAYS)
async def test_definitions_that_are_wrong_are_refused(client: HostileClient, way: str) -> None:
    async with level(client) as complaints:
        for name, definition in corpus.WRONG_DEFINITIONS.items():
            answer = await client.tried(name, partial(created, client, way, definition()))
            if complaint := must_refuse(answer):
                complaints.append(f"{name}: {complaint}")


@pytest.mark.parametrize("way", WAYS)
async def test_texts_are_kept_as_they_are_or_refused(client: HostileClient, way: str) -> None:
    async with level(client) as complaints:
        for name, text in {**corpus.TEXTS, **corpus.BROKEN_TEXTS}.items():
            nodes = {"start": {"type": "manual"}, text: {"type": "no_op", "notes": text}}
            definition = {"name": text, "description": text, "nodes": nodes, "connections": [["start", text]]}
            answer = await client.tried(name, partial(created, client, way, definition))
            complaint = answer.complaint()
            if complaint is None and answer.error is None:
                stored = (await client.send("GET", f"/api/workflows/{answer.result['workflow_id']}")).content
                kept = {key: stored["definition"].get(key) for key in definition}
                complaint = None if kept == definition else f"{definition!a} became {kept!a:.500}"
            elif complaint is None and name in corpus.TEXTS:
                complaint = f"data was refused: {answer.error!r:.300}"
            if complaint:
                complaints.append(f"{name}: {complaint}")


@pytest.mark.parametrize("way", WAYS)
async def test_values_are_kept_as_they_are_or_refused(client: HostileClient, way: str) -> None:
    workflow_id = await workflow(client)
    async with level(client) as complaints:
        for name, value in {**corpus.VALUES, **corpus.BROKEN_VALUES}.items():
            answer = await client.tried(name, partial(executed, client, way, workflow_id, {"value": value}))
            complaint = answer.complaint()
            if complaint is None and answer.error is None:
                shown = await client.send("GET", f"/api/executions/{answer.result['execution_id']}")
                complaint = _kept(value, shown.content)
            elif complaint is None and name in corpus.VALUES:
                complaint = f"data was refused: {answer.error!r:.300}"
            if complaint:
                complaints.append(f"{name}: {complaint}")


def _kept(value: Any, execution: Any) -> str | None:
    """What is wrong with an execution whose input and output should be the value."""
    if execution["status"] != "succeeded":
        return f"the run failed: {execution.get('error')!r:.300}"
    if json.dumps(execution["input"]["value"]) != json.dumps(value):
        return f"the input became {execution['input']!a:.200}"
    return None


@pytest.mark.parametrize(
    "path", ["/api/workflows/", "/api/executions/", "/webhooks/", "/resume/", "/api/workflows/{}/versions", "/"]
)
async def test_ids_that_are_paths_lead_nowhere(client: HostileClient, path: str) -> None:
    async with level(client) as complaints:
        for each in corpus.IDS:
            target = path.replace("{}", each) if "{}" in path else path + each
            answer = await client.tried(target, partial(client.send, "GET", target.replace(" ", "%20")))
            # Dots are resolved by the client itself, and may lead to a list.
            complaint = answer.complaint()
            if complaint is None and answer.status < 400 and each.strip("./\\"):
                complaint = f"{answer.status}: {answer.content!r:.200}"
            if complaint or "root:x" in str(answer.content):
                complaints.append(f"{target!a:.100}: {complaint}")


@pytest.mark.parametrize("era", ERAS)
async def test_ids_that_are_paths_lead_nowhere_over_mcp(client: HostileClient, era: Era) -> None:
    async with level(client) as complaints:
        for each in corpus.IDS:
            for tool, name in (("get_workflow", "workflow_id"), ("inspect_execution", "execution_id")):
                answer = await client.tried(f"{tool} {each}", partial(client.call, era, tool, {name: each}))
                if complaint := must_refuse(answer):
                    complaints.append(f"{tool} {each!a:.60}: {complaint}")
            for scheme in ("workflow", "execution", "guide", "file", "ui"):
                uri = f"{scheme}://{each}"
                answer = await client.tried(uri, partial(_read, client, era, uri))
                if complaint := must_refuse(answer):
                    complaints.append(f"{scheme}://{each!a:.60}: {complaint}")


async def _read(client: HostileClient, era: Era, uri: str) -> Answer:
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": uri}}
    return await client.mcp(era, json.dumps(body).encode())


@pytest.mark.parametrize("way", WAYS)
async def test_texts_that_are_searched_for_mean_themselves(client: HostileClient, way: str) -> None:
    for name in ("100% sure", "100_ sure", "1000 sure"):
        await client.json("POST", "/api/workflows", {**PLAIN, "name": name})
    async with level(client) as complaints:
        for name, text in {**corpus.TEXTS, **corpus.BROKEN_TEXTS}.items():
            answer = await client.tried(name, partial(_search, client, way, text))
            complaint = answer.complaint()
            if complaint is None and answer.error is None:
                folded = unicodedata.normalize("NFC", text).lower()
                found = [each["name"] for each in answer.result["workflows"]]
                stray = [each for each in found if folded not in unicodedata.normalize("NFC", each).lower()]
                complaint = (
                    f"it found {stray!a:.200}" if stray and text.isascii() and "description" not in text else None
                )
            if complaint:
                complaints.append(f"{name}: {complaint}")
    found = [each["name"] for each in (await _search(client, way, "100%")).result["workflows"]]
    assert "100% sure" in found
    assert not {"100_ sure", "1000 sure"} & set(found)


async def _search(client: HostileClient, way: str, text: str) -> Answer:
    if way == "rest":
        query = httpx2.QueryParams({"text": text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")})
        return await client.send("GET", f"/api/workflows?{query}")
    return await client.call("modern" if way == "modern" else "legacy", "list_workflows", {"text": text})


@pytest.mark.parametrize("way", ["rest", "modern"])
async def test_requests_of_workflows_reach_no_inner_address(client: HostileClient, way: str) -> None:
    made = await created(
        client,
        way,
        {
            "name": "fetch",
            "nodes": {
                "start": {"type": "manual"},
                "fetch": {
                    "type": "http_request",
                    "parameters": {"url": "={{ $json.url }}", "timeout_seconds": 5},
                    "retry": {"max_attempts": 1},
                },
            },
            "connections": [["start", "fetch"]],
        },
    )
    async with level(client) as complaints:
        for url in corpus.INNER_ADDRESSES:
            send = partial(executed, client, way, made.result["workflow_id"], {"url": url})
            ran = await client.tried(url, send)
            if complaint := _failed(
                ran, {"address_not_allowed", "invalid_request", "connection_failed", "unstorable_value"}
            ):
                complaints.append(f"{url!a}: {complaint}")


def _failed(ran: Answer, codes: set[str]) -> str | None:
    complaint = ran.complaint()
    if complaint is not None:
        return complaint
    error = ran.error or ran.result.get("error") or {}
    return None if error.get("code") in codes else f"{error!r:.300} {ran.content!r:.300}"


EXPRESSION_CODES = {
    "bad_parameter",
    "bad_text",
    "expression_crashed",
    "expression_failed",
    "expression_memory",
    "expression_stack",
    "expression_timeout",
    "object_in_text",
    "promise_result",
    "unstorable_value",
}
POLLUTED = "polluted"
CLEAN = {"items": {"step": [{"value": "clean", "got": "clean"}]}}


async def test_expressions_find_no_way_out(client: HostileClient) -> None:
    workflow_id = await workflow(client)
    async with level(client) as complaints:
        for expression in corpus.ESCAPES:
            nodes = {
                "start": {"type": "manual"},
                "step": {"type": "set", "parameters": {"fields": {"x": f"={expression}"}, "keep_input": True}},
            }
            definition = {"name": "e", "nodes": nodes, "connections": [["start", "step"]]}
            made = await client.tried(f"made: {expression}", partial(created, client, "rest", definition))
            if made.error is not None:
                complaint = made.complaint()
            else:
                send = partial(executed, client, "rest", made.result["workflow_id"], {"value": 1})
                ran = await client.tried(f"run: {expression}", send)
                complaint = ran.complaint()
                failed = ran.error or ran.result.get("error")
                if complaint is None and failed and failed["code"] not in EXPRESSION_CODES:
                    complaint = f"{failed!r:.300}"
                if "root:x" in str(ran.content) or "PATH" in str(ran.content):
                    complaint = f"it found a way: {ran.content!r:.300}"
            if complaint:
                complaints.append(f"{expression}: {complaint}")
            after = await executed(client, "rest", workflow_id, {"value": "clean"})
            if POLLUTED in str(after.content) or after.result.get("output") != CLEAN:
                complaints.append(f"{expression}: what ran next was {after.content!r:.300}")


@pytest.mark.parametrize("name", corpus.ANSWER_HEADERS)
async def test_answers_to_webhooks_cannot_break_out_of_their_headers(client: HostileClient, name: str) -> None:
    headers = corpus.ANSWER_HEADERS[name]
    path = f"headers-{list(corpus.ANSWER_HEADERS).index(name)}"
    nodes = {
        "hook": {"type": "webhook", "parameters": {"path": path, "methods": ["POST"]}},
        "answer": {
            "type": "respond",
            "parameters": {"headers": {"X-A": "={{ $json.body.value }}"}, "body": "fine"},
        },
    }
    wrong = {**nodes, "answer": {"type": "respond", "parameters": {"headers": headers}}}
    connections = [["hook", "answer"]]
    definition = {"name": "h", "nodes": wrong, "connections": connections}
    refused = await client.tried(f"made: {name}", partial(created, client, "rest", definition))
    assert must_refuse(refused) is None, must_refuse(refused)
    made = await client.json(
        "POST", "/api/workflows?publish=true", {"name": "h", "nodes": nodes, "connections": connections}
    )
    assert made.error is None
    value = next(iter(headers.values()))
    answer = await client.tried(f"run: {name}", partial(client.json, "POST", f"/webhooks/{path}", {"value": value}))
    if any(ord(character) < 32 or ord(character) > 255 for character in value):
        assert (answer.status, answer.content["code"]) == (500, "execution_failed")
    assert "set-cookie" not in answer.headers
    assert "location" not in answer.headers
    assert await client.others.judged(client) == []


@pytest.mark.parametrize(
    "bomb",
    [lambda: gzip.compress(bytes(300 << 20), 6), lambda: gzip.compress(gzip.compress(bytes(300 << 20), 6))],
    ids=["once", "twice"],
)
async def test_answers_that_inflate_are_cut_off(client: HostileClient, bomb: Callable[[], bytes]) -> None:
    content = bomb()

    async def answer(request: Request) -> Response:
        return Response(content, headers={"content-encoding": request.path_params["encoding"].replace("+", ", ")})

    async with listening(Starlette(routes=[Route("/{encoding}", answer)])) as url, level(client) as complaints:
        for encoding in ("gzip", "gzip+gzip", "deflate"):
            fetch = {
                "type": "http_request",
                "parameters": {"url": f"{url}/{encoding}"},
                "retry": {"max_attempts": 1},
            }
            nodes = {"start": {"type": "manual"}, "fetch": fetch}
            made = await created(client, "rest", {"name": "f", "nodes": nodes, "connections": [["start", "fetch"]]})
            ran = await client.tried(encoding, partial(executed, client, "rest", made.result["workflow_id"], {}))
            # Twice compressed and once inflated, it is small.
            is_small = ran.content.get("status") == "succeeded"
            if not is_small and (complaint := _failed(ran, {"response_too_large", "bad_response"})):
                complaints.append(f"{encoding}: {complaint}")


async def test_no_text_forges_a_line_of_the_log(client: HostileClient, hostile_server: ServerProcess) -> None:
    """The lines of ``hostile_server.log`` are checked when the server has ended."""
    for text in corpus.TEXTS.values():
        await client.send("GET", "/api/workflows/" + text.encode().hex(), headers={"x-request-id": text.encode().hex()})
        await client.json("POST", "/webhooks/absent", {"text": text})
        await client.tried(text, partial(created, client, "rest", {"name": text, "nodes": {}}))
    assert not any("forged" in line or "\x1b" in line for line in hostile_server.log)
    assert await client.others.judged(client) == []


def test_there_are_enough_and_no_two_are_the_same() -> None:
    names = list(corpus.inputs())
    assert len(names) == len(set(names)) >= 200
