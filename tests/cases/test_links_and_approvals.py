"""Links that answer one question once, who is shown them, and approvals that only people answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx2
import pytest

from tests.support.server_process import ServerProcess
from tests.support.tenants import PASSWORD, Tenant, member, registered
from tests.support.waiting import found

START = {"type": "manual"}
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def open_server(data_dir: Path) -> AsyncIterator[ServerProcess]:
    """A server on which anybody makes an account."""
    with ServerProcess(data_dir, {"JOBSPRINT_REGISTRATION": "open"}) as server:
        yield server


def approval(question: str, **parameters: Any) -> dict[str, Any]:
    """A node that asks a person."""
    return {"type": "approval", "parameters": {"question": question, **parameters}}


async def started(http: httpx2.AsyncClient, nodes: dict[str, Any], *edges: str, data: Any = None) -> str:
    """The id of an execution of these nodes, as far as it goes by itself; an edge is written ``a>b``."""
    definition = {"name": "asks", "nodes": nodes, "connections": [edge.split(">") for edge in edges]}
    made = await http.post("/api/workflows", json=definition)
    assert made.status_code == 201, made.text
    path = f"/api/workflows/{made.json()['workflow_id']}/execute"
    ran = await http.post(path, json={"wait_seconds": 20, **({"input": data} if data is not None else {})})
    assert ran.status_code in (200, 202), ran.text
    return str(ran.json()["execution_id"])


async def seen(http: httpx2.AsyncClient, execution_id: str) -> dict[str, Any]:
    """The execution as REST shows it."""
    answer = await http.get(f"/api/executions/{execution_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def asked(http: httpx2.AsyncClient, execution_id: str, node: str) -> dict[str, Any]:
    """What the node asks, once it waits."""

    async def question() -> dict[str, Any] | None:
        waiting = (await seen(http, execution_id)).get("waiting", [])
        return next((dict(each) for each in waiting if each["node"] == node), None)

    return await found(question)


async def ended(http: httpx2.AsyncClient, execution_id: str) -> dict[str, Any]:
    """The execution at its end."""

    async def over() -> dict[str, Any] | None:
        execution = await seen(http, execution_id)
        return None if execution["status"] in ("queued", "running", "waiting") else execution

    return await found(over)


TWO = {"start": START, "one": approval("Send it?"), "two": approval("Delete everything?")}
TWO_EDGES = ("start>one", "one.approve>two")


async def test_the_link_of_an_answered_question_does_not_answer_the_next_one(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=server.url) as http:
        execution_id = await started(http, TWO, *TWO_EDGES)
        first = (await asked(http, execution_id, "one"))["resume_url"]
        assert (await http.post(first, data={"choice": "approve"})).status_code == 200
        second = (await asked(http, execution_id, "two"))["resume_url"]
        assert second != first
        for send in (http.post(first, data={"choice": "approve"}), http.get(first)):
            stale = await send
            assert (stale.status_code, stale.json()["code"]) == (409, "not_waiting")
        assert (await asked(http, execution_id, "two"))["for"] == "approval"


class TestOneLinkIsOneQuestion:
    async def test_people_get_a_page_that_says_that_the_link_is_used(self, server: ServerProcess) -> None:
        async with httpx2.AsyncClient(base_url=server.url, headers=PAGE) as http:
            execution_id = await started(http, TWO, *TWO_EDGES)
            link = (await asked(http, execution_id, "one"))["resume_url"]
            assert "Send it?" in (await http.get(link)).text
            thanks = await http.post(link, data={"choice": "approve"})
            assert (thanks.status_code, "goes on" in thanks.text) == (200, True)
            await asked(http, execution_id, "two")
            wrong = link[:-1] + ("A" if link[-1] != "A" else "B")
            for answer, status, words in (
                (await http.get(link), 409, "was answered at"),
                (await http.post(link, data={"choice": "approve"}), 409, "was answered at"),
                (await http.get(wrong), 403, "not made by the server"),
                (await http.get(link.replace(execution_id, execution_id[::-1])), 403, "not made by the server"),
            ):
                assert answer.status_code == status
                assert answer.headers["content-type"].startswith("text/html")
                assert words in answer.text

    async def test_each_item_has_a_link_of_its_own(self, server: ServerProcess) -> None:
        nodes = {"start": START, "ask": approval("=Pay {{ $json.n }}?")}
        async with httpx2.AsyncClient(base_url=server.url) as http:
            execution_id = await started(http, nodes, "start>ask", data=[{"n": 1}, {"n": 2}])
            waiting = {each["question"]: each["resume_url"] for each in (await seen(http, execution_id))["waiting"]}
            assert len(set(waiting.values())) == 2
            assert "Pay 2?" in (await http.get(waiting["Pay 2?"])).text
            assert (await http.post(waiting["Pay 2?"], data={"choice": "reject"})).status_code == 200
            assert (await http.post(waiting["Pay 2?"], data={"choice": "approve"})).status_code == 409
            assert (await http.post(waiting["Pay 1?"], data={"choice": "approve"})).status_code == 200
            done = await ended(http, execution_id)
        choices = {item["n"]: item["approval"]["choice"] for items in _outputs(done) for item in items}
        assert choices == {1: "approve", 2: "reject"}

    async def test_a_link_from_before_answers_what_is_asked_behind_its_node_once(self, server: ServerProcess) -> None:
        link = {"type": "set", "parameters": {"fields": {"link": "={{ $execution.resumeUrl.split('').join(' ') }}"}}}
        # The link is written with blanks, so that the test reads what is hidden from readers of outputs.
        nodes = {
            "start": START,
            "make": link,
            "aside": approval("Something else?"),
            "ask": approval("Send it?"),
            "again": approval("Delete everything?"),
        }
        async with httpx2.AsyncClient(base_url=server.url) as http:
            edges = ("start>make", "start>aside", "make>ask", "ask.approve>again")
            execution_id = await started(http, nodes, *edges)
            await asked(http, execution_id, "aside")
            await asked(http, execution_id, "ask")
            made = await _called(http, "inspect_execution", execution_id=execution_id, node="make")
            (run,) = made["structuredContent"]["runs"]
            url = run["outputs"]["main"][0]["link"].replace(" ", "")
            page = await http.get(url)
            assert "Send it?" in page.text
            assert (await http.post(url, data={"choice": "approve"})).status_code == 200
            await asked(http, execution_id, "again")
            assert (await http.post(url, data={"choice": "approve"})).status_code == 409
            waiting = {each["node"] for each in (await seen(http, execution_id))["waiting"]}
            assert waiting == {"aside", "again"}

    async def test_a_head_request_answers_nothing(self, server: ServerProcess) -> None:
        nodes = {"start": START, "wait": {"type": "wait", "parameters": {"for_call": True}}}
        async with httpx2.AsyncClient(base_url=server.url) as http:
            execution_id = await started(http, nodes, "start>wait")
            link = (await asked(http, execution_id, "wait"))["resume_url"]
            assert (await http.head(link)).status_code == 200
            assert (await seen(http, execution_id))["status"] == "waiting"
            assert (await http.post(link, json={"paid": 1})).status_code == 200
            used = await http.get(link, headers=PAGE)
            assert (used.status_code, used.headers["content-type"][:9]) == (409, "text/html")

    async def test_a_rerun_does_not_show_the_links_of_what_it_repeats(self, server: ServerProcess) -> None:
        nodes = {"start": START, "ask": approval("Send it?"), "aside": {"type": "no_op"}}
        async with httpx2.AsyncClient(base_url=server.url) as http:
            execution_id = await started(http, nodes, "start>ask", "start>aside")
            await asked(http, execution_id, "ask")
            again = await http.post(f"/api/executions/{execution_id}/rerun", json={"node": "aside"})
            other = await asked(http, again.json()["execution_id"], "ask")
            assert execution_id not in json.dumps(other)

    async def test_what_came_too_late_is_told(self, server: ServerProcess) -> None:
        async with httpx2.AsyncClient(base_url=server.url, headers=PAGE) as http:
            nodes = {"start": START, "ask": approval("Send it?", expires_seconds=0.3)}
            execution_id = await started(http, nodes, "start>ask")
            link = (await asked(http, execution_id, "ask"))["resume_url"]
            await ended(http, execution_id)
            late = await http.post(link, data={"choice": "approve"})
            assert (late.status_code, "not answered in time" in late.text) == (409, True)
            execution_id = await started(http, {"start": START, "ask": approval("Send it?")}, "start>ask")
            link = (await asked(http, execution_id, "ask"))["resume_url"]
            assert (await http.post(f"/api/executions/{execution_id}/cancel")).status_code == 200
            gone = await http.get(link)
            assert (gone.status_code, "cancelled" in gone.text) == (409, True)


class TestAnApprovalKeepsHowItWasAnswered:
    async def test_through_each_way(self, open_server: ServerProcess) -> None:
        nodes = {"start": START, "ask": approval("Send it?")}
        ada = await registered(open_server.url, "ada")
        async with ada.http() as http, ada.mcp() as mcp:
            kept = {}
            for way in ("link", "rest", "agent"):
                execution_id = await started(http, nodes, "start>ask")
                link = (await asked(http, execution_id, "ask"))["resume_url"]
                if way == "link":
                    await http.post(link, data={"choice": "approve"})
                elif way == "rest":
                    await http.post(f"/api/executions/{execution_id}/resume", json={"data": {"choice": "approve"}})
                else:
                    await mcp.call("control_execution", execution_id=execution_id, action="resume", data="approve")
                done = await ended(http, execution_id)
                (kept[way],) = [item["approval"] for items in _outputs(done) for item in items]
            entries = (await http.get("/api/audit")).json()["entries"]
        noted = [each["details"] for each in entries if each["action"] == "execution.resumed"]
        assert [each["through"] for each in noted] == ["agent", "rest", "link"]
        assert all(each["asked_at"] for each in noted)
        for way, answer in kept.items():
            assert answer["by"] == way
            assert answer["asked_at"] <= answer["answered_at"]
        assert kept["link"]["who"] == "link"
        assert kept["rest"]["who"] == kept["agent"]["who"] != "link"


async def test_readers_are_shown_no_link(open_server: ServerProcess) -> None:
    ada = await registered(open_server.url, "ada")
    viewer, operator = await member(ada, "vera", "viewer"), await member(ada, "oscar", "operator")
    fields = {
        "resume_url": "={{ $execution.resumeUrl }}",
        "text": "=Click {{ $execution.resumeUrl }} now",
        "within": "={{ 'https://x.example/?to=' + encodeURIComponent($execution.resumeUrl) }}",
        "upper": "={{ $execution.resumeUrl.toUpperCase() }}",
        "start": "={{ $execution.resumeUrl.split('token=')[1].slice(0, 60) }}",
    }
    nodes = {"start": START, "make": {"type": "set", "parameters": {"fields": fields}}, "ask": approval("Send it?")}
    async with ada.http() as http:
        execution_id = await started(http, nodes, "start>make", "make>ask")
        link = (await asked(http, execution_id, "ask"))["resume_url"]
    async with operator.http() as http:
        assert (await asked(http, execution_id, "ask"))["resume_url"] == link
    assert "jsl_" in link
    async with viewer.http() as http, viewer.mcp() as mcp:
        texts = [
            (await http.get(f"/api/executions/{execution_id}")).text,
            (await http.get("/api/executions")).text,
            json.dumps(await mcp.call("inspect_execution", execution_id=execution_id, max_tokens=50_000)),
            json.dumps(await mcp.call("inspect_execution", execution_id=execution_id, path="/waiting")),
            json.dumps(await mcp.call("inspect_execution", execution_id=execution_id, node="make")),
            json.dumps(await mcp.call("inspect_execution", execution_id=execution_id, node="make", path="/runs")),
            json.dumps(await mcp.call("list_executions")),
        ]
        uris = (f"execution://{execution_id}", f"execution://{execution_id}/nodes/make")
        texts += [(await mcp.client.read_resource(uri)).model_dump_json() for uri in uris]
    assert all("ask" in text or "make" in text or execution_id in text for text in texts)
    for text in texts:
        assert "jsl_" not in unquote(text).lower()
    async with ada.http() as http:
        audit = (await http.get("/api/audit")).text
    assert "jsl_" not in audit
    assert "jsl_" not in "".join(open_server.log)


class TestReadersHaveNoLinks:
    async def test_a_reader_of_a_task_is_not_asked(self, open_server: ServerProcess) -> None:
        ada = await registered(open_server.url, "ada")
        viewer = await member(ada, "vera", "viewer")
        async with ada.http() as http:
            nodes = {"start": START, "ask": approval("Send it?", who="the lead")}
            made = await http.post(
                "/api/workflows", json={"name": "asks", "nodes": nodes, "connections": [["start", "ask"]]}
            )
            arguments = {"workflow_id": made.json()["workflow_id"]}
            task_id = (await _called(http, "execute_workflow", tasks=True, **arguments))["taskId"]
            await asked(http, task_id, "ask")
            assert (await _task(http, task_id))["status"] == "input_required"
        async with viewer.http() as http:
            shown = await _task(http, task_id)
            assert shown["status"] == "working"
            assert "jsl_" not in json.dumps(shown)


PEOPLE = {"start": START, "ask": approval("Pay?", approvers="people")}


async def test_no_tool_key_or_client_answers_for_people(open_server: ServerProcess) -> None:
    ada = await registered(open_server.url, "ada")
    async with ada.http() as http:
        execution_id = await started(http, PEOPLE, "start>ask")
        key = await http.post("/api/keys", json={"name": "CI", "scopes": ["executions:*", "workflows:*"]})
    keyed = Tenant(ada.url, ada.email, key.json()["key"], ada.workspace_id)
    async with keyed.http() as http, keyed.mcp() as mcp:
        waiting = await asked(http, execution_id, "ask")
        assert waiting["approvers"] == "people"
        assert "resume_url" not in waiting
        refused = await mcp.fail("control_execution", execution_id=execution_id, action="resume", data="approve")
        assert refused["code"] == "people_only"
        assert f"/resume/{execution_id}" in refused["fix"]
        assert refused["next"]["tool"] == "inspect_execution"
        answer = await http.post(f"/api/executions/{execution_id}/resume", json={"data": "approve"})
        assert (answer.status_code, answer.json()["code"]) == (403, "people_only")
        ran = await mcp.call("execute_workflow", workflow_id=(await seen(http, execution_id))["workflow_id"])
        assert ran["status"] == "waiting"
        assert "Ask a person" in ran["next"]
        assert (await seen(http, execution_id))["status"] == "waiting"


class TestOnlyPeopleAnswer:
    async def test_a_person_does_in_their_session_or_on_the_page(self, open_server: ServerProcess) -> None:
        ada = await registered(open_server.url, "ada")
        async with ada.http() as http:
            execution_id = await started(http, PEOPLE, "start>ask")
            answer = await http.post(f"/api/executions/{execution_id}/resume", json={"data": {"choice": "approve"}})
            assert answer.status_code == 200, answer.text
            execution_id = await started(http, PEOPLE, "start>ask")
            link = (await asked(http, execution_id, "ask"))["resume_url"]
            async with httpx2.AsyncClient(headers=PAGE) as browser:
                assert "Pay?" in (await browser.get(link)).text
                assert (await browser.post(link, data={"choice": "approve"})).status_code == 200
            (answer_kept,) = [item["approval"] for items in _outputs(await ended(http, execution_id)) for item in items]
            assert answer_kept["by"] == "link"

    async def test_a_person_who_logs_in_finds_the_question(self, open_server: ServerProcess) -> None:
        ada = await registered(open_server.url, "ada")
        vera, mallory = await member(ada, "vera", "viewer"), await registered(open_server.url, "mallory")
        async with ada.http() as http:
            execution_id = await started(http, PEOPLE, "start>ask")
            path = f"/resume/{execution_id}"
            async with httpx2.AsyncClient(base_url=ada.url, headers=PAGE) as stranger:
                sent_on = await stranger.get(path)
                to = f"/auth/login?next={quote(path, safe='')}"
                assert (sent_on.status_code, sent_on.headers["location"]) == (303, to)
            for other, status in ((vera, 403), (mallory, 404)):
                async with _browser(other) as browser:
                    refused = await browser.get(path)
                    assert (refused.status_code, "Pay?" in refused.text) == (status, False)
            async with _browser(ada) as browser:
                page = (await browser.get(path)).text
                assert "Pay?" in page
                fields = {name: _field(page, name) for name in ("csrf_token", "question")}
                forged = await browser.post(path, data={**fields, "csrf_token": "0", "choice": "approve"})
                assert forged.status_code == 403
                answered = await browser.post(path, data={**fields, "choice": "approve", "comment": "fine"})
                assert answered.status_code == 200, answered.text
                again = await browser.post(path, data={**fields, "choice": "approve"})
                assert again.status_code == 409
            (kept,) = [item["approval"] for items in _outputs(await ended(http, execution_id)) for item in items]
        assert (kept["by"], kept["client"], kept["comment"]) == ("page", "a browser", "fine")

    async def test_the_local_user_of_a_server_without_accounts_is_no_person(self, server: ServerProcess) -> None:
        async with httpx2.AsyncClient(base_url=server.url) as http:
            execution_id = await started(http, PEOPLE, "start>ask")
            assert "resume_url" not in await asked(http, execution_id, "ask")
            answer = await http.post(f"/api/executions/{execution_id}/resume", json={"data": "approve"})
            assert answer.status_code == 403


def _outputs(done: dict[str, Any]) -> list[list[dict[str, Any]]]:
    assert done["status"] == "succeeded", done
    return [items for items in done["output"]["items"].values() if isinstance(items, list)]


@asynccontextmanager
async def _browser(tenant: Tenant) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=tenant.url, headers=PAGE) as browser:
        form = (await browser.get("/auth/login")).text
        fields = {"csrf_token": _field(form, "csrf_token"), "email": tenant.email, "password": PASSWORD}
        answer = await browser.post("/auth/login", data=fields)
        assert answer.status_code == 303, answer.text
        yield browser


def _field(page: str, name: str) -> str:
    start = page.index(f'name="{name}" value="') + len(f'name="{name}" value="')
    return page[start : page.index('"', start)]


VERSION = "2026-07-28"
_MCP = {"accept": "application/json, text/event-stream", "mcp-protocol-version": VERSION}


def _meta(*, tasks: bool = False) -> dict[str, Any]:
    extensions = {"io.modelcontextprotocol/tasks": {}} if tasks else {}
    return {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"extensions": extensions, "elicitation": {"url": {}}},
    }


async def _called(http: httpx2.AsyncClient, tool: str, *, tasks: bool = False, **arguments: Any) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments, "_meta": _meta(tasks=tasks)}
    return await _rpc(http, "tools/call", tool, params)


async def _task(http: httpx2.AsyncClient, task_id: str) -> dict[str, Any]:
    return await _rpc(http, "tasks/get", task_id, {"taskId": task_id, "_meta": _meta(tasks=True)})


async def _rpc(http: httpx2.AsyncClient, method: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await http.post("/mcp", json=message, headers={**_MCP, "mcp-method": method, "mcp-name": name})
    text = answer.text if answer.text.startswith("{") else answer.text.split("data: ")[-1]
    return dict(json.loads(text)["result"])
