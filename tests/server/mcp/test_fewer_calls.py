"""What saves an agent a call: build and run in one, names for ids, answers that need no second look, figures."""

from __future__ import annotations

import json
from itertools import count, pairwise
from typing import Any

import httpx2
import mcp_types as types
import pytest

from tests.support.http_target import HttpTarget
from tests.support.mcp_caller import McpCaller
from tools.protocol.budget import tokens

_numbers = count()


def definition(name: str | None = None, **nodes: dict[str, Any]) -> dict[str, Any]:
    """A workflow of a manual trigger and the nodes in line."""
    names = ["start", *nodes]
    return {
        "name": name or f"fewer calls {next(_numbers)}",
        "nodes": {"start": {"type": "manual"}, **nodes},
        "connections": [list(pair) for pair in pairwise(names)],
    }


def fields(**values: Any) -> dict[str, Any]:
    return {"type": "set", "parameters": {"fields": values}}


APPROVAL = {"type": "approval", "parameters": {"question": "Send it?", "choices": ["yes", "no"]}}


class TestBuildAndRun:
    async def test_a_workflow_is_made_and_run_in_one_call(self, mcp: McpCaller) -> None:
        made = await mcp.call(
            "create_workflow", definition=definition(twice=fields(n="={{ $json.n * 2 }}")), run={"input": {"n": 21}}
        )
        assert made["version"] == 1
        assert made["run"]["status"] == "succeeded"
        assert made["run"]["output"] == {"items": {"twice": [{"n": 42}]}}
        assert made["run"]["nodes"]["twice"].startswith("1 → 1 items, ")
        seen = await mcp.call("inspect_execution", execution_id=made["run"]["execution_id"])
        assert seen["workflow_id"] == made["workflow_id"]

    async def test_a_change_is_stored_and_run_in_one_call(self, mcp_http: McpCaller) -> None:
        made = await mcp_http.call("create_workflow", definition=definition(step=fields(n=1)))
        change = {"op": "update_node", "name": "step", "changes": {"parameters": {"fields": {"n": 2}}}}
        changed = await mcp_http.call(
            "update_workflow", workflow_id=made["workflow_id"], expected_version=1, operations=[change], run={}
        )
        assert (changed["version"], changed["run"]["output"]) == (2, {"items": {"step": [{"n": 2}]}})

    async def test_a_run_that_is_asked_for_wrongly_stores_nothing(self, mcp_http: McpCaller) -> None:
        name = "asked for wrongly"
        error = await mcp_http.fail(
            "create_workflow", definition=definition(name, step=fields(n=1)), run={"inputs": {"n": 1}}
        )
        assert (error["code"], error["pointer"]) == ("invalid_arguments", "/run/inputs")
        assert (await mcp_http.call("list_workflows", text=name))["workflows"] == []

    async def test_a_run_that_cannot_start_leaves_the_workflow_and_says_why(self, mcp_http: McpCaller) -> None:
        made = await mcp_http.call(
            "create_workflow", definition=definition(step=fields(n=1)), run={"trigger": "no such trigger"}
        )
        assert made["run"]["error"]["code"] == "node_not_found"
        assert (await mcp_http.call("get_workflow", workflow_id=made["workflow_id"]))["version"] == 1

    async def test_patches_are_applied_where_that_is_asked_for(self, mcp_http: McpCaller) -> None:
        wrong = definition(step={"type": "sett", "parameters": {"feilds": {"n": 1}}})
        wrong["connections"] = [["start", "stepp"]]
        assert (await mcp_http.fail("create_workflow", definition=wrong))["code"] == "invalid_definition"
        made = await mcp_http.call("create_workflow", definition=wrong, apply_fixes=True, run={})
        assert len(made["fixed"]) == 3
        assert made["run"]["output"] == {"items": {"step": [{"n": 1}]}}

    async def test_what_no_patch_mends_is_refused_all_the_same(self, mcp_http: McpCaller) -> None:
        wrong = definition(step={"type": "set", "parameters": {"fields": {"n": 1}, "colour": "blue"}})
        error = await mcp_http.fail("create_workflow", definition=wrong, apply_fixes=True)
        (finding,) = error["findings"]
        assert (finding["code"], finding["pointer"]) == ("unknown_parameter", "/nodes/step/parameters/colour")
        assert "patch" not in finding
        assert "fields" in finding["fix"]

    async def test_operations_are_mended_too(self, mcp_http: McpCaller) -> None:
        made = await mcp_http.call("create_workflow", definition=definition(step=fields(n=1)))
        added = {"op": "add_node", "name": "more", "node": {"type": "st"}, "after": "step"}
        changed = await mcp_http.call(
            "update_workflow",
            workflow_id=made["workflow_id"],
            expected_version=1,
            operations=[{**added, "node": {"type": "sets", "parameters": {"fields": {"m": 2}}}}],
            apply_fixes=True,
            run={},
        )
        assert changed["run"]["output"] == {"items": {"more": [{"n": 1, "m": 2}]}}
        assert len(changed["fixed"]) == 1


class TestNames:
    async def test_a_unique_name_does_as_well_as_the_id(self, mcp_http: McpCaller) -> None:
        name = "Named: orders"
        made = await mcp_http.call("create_workflow", definition=definition(name, step=fields(n=1)))
        ran = await mcp_http.call("execute_workflow", workflow_id=name)
        assert (ran["status"], ran["workflow_id"]) == ("succeeded", made["workflow_id"])
        assert (await mcp_http.call("get_workflow", workflow_id=name))["workflow_id"] == made["workflow_id"]
        assert (await mcp_http.call("plan_execution", workflow_id=name))["effects"] == []
        listed = await mcp_http.call("list_executions", workflow_id=name)
        assert [each["execution_id"] for each in listed["executions"]] == [ran["execution_id"]]
        assert (await mcp_http.call("publish_workflow", workflow_id=name))["status"] == "published"
        await mcp_http.call("delete_workflow", workflow_id=name)
        restored = await mcp_http.call("delete_workflow", workflow_id=name, restore=True)
        assert restored["workflow_id"] == made["workflow_id"]
        assert "publish_workflow" in restored["next"]

    async def test_a_name_that_several_have_names_none(self, mcp_http: McpCaller) -> None:
        for _ in range(2):
            await mcp_http.call("create_workflow", definition=definition("Twice there", step=fields(n=1)))
        error = await mcp_http.fail("execute_workflow", workflow_id="Twice there")
        assert (error["code"], error["pointer"]) == ("ambiguous_name", "/workflow_id")
        call = error["next"]
        listed = await mcp_http.call(call["tool"], **call["arguments"])
        assert [each["name"] for each in listed["workflows"]] == ["Twice there"] * 2


class TestAnswers:
    async def test_what_waits_is_shown_in_full_and_the_proposed_call_answers_it(self, mcp_http: McpCaller) -> None:
        made = await mcp_http.call("create_workflow", definition=definition(ask=APPROVAL), run={})
        run = made["run"]
        (waiting,) = run["waiting"]
        assert (waiting["question"], waiting["choices"]) == ("Send it?", ["yes", "no"])
        assert "resume_url" not in waiting
        call = json.loads(run["next"].partition("control_execution ")[2])
        ended = await mcp_http.call("control_execution", **call)
        assert ended["status"] == "succeeded"
        assert ended["output"]["items"]["ask.yes"][0]["approval"]["choice"] == "yes"
        assert ended["waited_ms"] >= 0

    async def test_a_loop_is_one_line(self, mcp_http: McpCaller) -> None:
        nodes = {
            "split": {"type": "split_out", "parameters": {"field": "rows"}},
            "each": {"type": "loop", "parameters": {"batch_size": 1}},
            "step": fields(n=1),
        }
        looped = definition(**nodes)
        looped["connections"] = [["start", "split"], ["split", "each"], ["each.batch", "step"], ["step", "each"]]
        made = await mcp_http.call(
            "create_workflow", definition=looped, apply_fixes=True, run={"input": {"rows": [1] * 30}}
        )
        run = made["run"]
        assert run["status"] == "succeeded", run
        assert set(run["nodes"]) == {"start", "split", "each", "step"}
        assert run["nodes"]["step"].startswith("30 runs, 30 → 30 items")

    async def test_a_timer_is_waited_for_not_resumed(self, mcp_http: McpCaller) -> None:
        pause = {"type": "wait", "parameters": {"seconds": 2}}
        made = await mcp_http.call("create_workflow", definition=definition(pause=pause), run={"wait_seconds": 1})
        said = made["run"]["next"]
        call = json.loads(said[said.index("{") : said.index("}") + 1])
        ended = await mcp_http.call("inspect_execution", **call)
        assert ended["status"] == "succeeded"
        assert "resume" not in said

    async def test_attempts_are_shown_and_a_failure_that_may_pass_is_tried_again(
        self, mcp_http: McpCaller, target: HttpTarget
    ) -> None:
        target.status_now = 503
        ask = {
            "type": "http_request",
            "parameters": {"url": f"{target.url}/now", "method": "PUT"},
            "retry": {"max_attempts": 2, "first_delay_seconds": 0.01},
        }
        run = (await mcp_http.call("create_workflow", definition=definition(ask=ask), run={}))["run"]
        call = json.loads(run["next"].partition("control_execution ")[2].partition(";")[0])
        target.status_now = 200
        ended = await mcp_http.call("control_execution", **call)
        assert ended["status"] == "succeeded", ended
        target.status_now = 503
        patient = definition(ask={**ask, "on_error": "continue"})
        run = (await mcp_http.call("create_workflow", definition=patient, run={}))["run"]
        assert "2 attempts" in run["nodes"]["ask"]

    async def test_what_was_sent_is_shown_with_its_answer_and_without_secrets(
        self, mcp_http: McpCaller, target: HttpTarget
    ) -> None:
        body = {"id": "={{ $json.id }}", "password": "hunter2-is-secret"}
        url = f"{target.url}/echo?api_key=also-secret"
        send = {"type": "http_request", "parameters": {"url": url, "method": "POST", "json_body": body}}
        made = await mcp_http.call(
            "create_workflow", definition=definition(send=send), run={"input": [{"id": n} for n in range(5)]}
        )
        lines = made["run"]["effects"]["send"]
        assert lines[0].startswith(f"POST {target.url}/echo")
        assert '"id":' in lines[0], "in the order in which they ended"
        assert lines[0].endswith(" → 200")
        assert lines[-1] == "… 2 more"
        assert "secret" not in "".join(lines)

    async def test_after_a_mended_definition_the_rerun_goes_on_from_the_failed_node(self, mcp_http: McpCaller) -> None:
        broken = definition(first=fields(n=1), second=fields(m="={{ $json.no.such }}"), third=fields(o=3))
        made = await mcp_http.call("create_workflow", definition=broken, run={})
        run = made["run"]
        assert run["status"] == "failed"
        assert "n (number)" in run["error"]["fix"]
        call = json.loads(run["next"].partition("control_execution ")[2])
        assert (call["action"], call["node"], call["version"]) == ("rerun", "second", "current")
        change = {"op": "update_node", "name": "second", "changes": {"parameters": {"fields": {"m": 2}}}}
        await mcp_http.call("update_workflow", workflow_id=made["workflow_id"], expected_version=1, operations=[change])
        ended = await mcp_http.call("control_execution", **call)
        assert ended["output"] == {"items": {"third": [{"n": 1, "m": 2, "o": 3}]}}
        assert ended["rerun_of"] == run["execution_id"]
        assert ended["nodes"]["first"] == "kept from the run before: 1 → 1 items"
        assert ended["nodes"]["second"].startswith("1 → 1 items, ")


class TestPublished:
    async def test_what_starts_it_is_named_ready_to_be_called(
        self, mcp_http: McpCaller, http: httpx2.AsyncClient
    ) -> None:
        hook = definition(step=fields(n=1))
        hook["nodes"]["hook"] = {"type": "webhook", "parameters": {"path": "called-at-once"}}
        hook["connections"].append(["hook", "step"])
        made = await mcp_http.call("create_workflow", definition=hook)
        tool = {"name": "call_at_once", "description": "Sets n."}
        published = await mcp_http.call("publish_workflow", workflow_id=made["workflow_id"], tool=tool)
        assert published["input_schema"] == {"type": "object", "properties": {}}
        said = published["next"]
        method, url = said.removeprefix("Callable now: ").partition(";")[0].split(" ")
        assert (await http.request(method, url, json={})).status_code == 202
        call = json.loads(said[said.index("{") : said.rindex("}") + 1])
        assert (await mcp_http.call("execute_workflow", **call))["status"] == "succeeded"
        assert await mcp_http.call("call_at_once", m=2) == {"m": 2, "n": 1}
        await mcp_http.call("delete_workflow", workflow_id=made["workflow_id"])

    async def test_a_workflow_that_is_published_as_it_is_made_says_where_it_listens(
        self, mcp_http: McpCaller, http: httpx2.AsyncClient
    ) -> None:
        nodes = {"hook": {"type": "webhook", "parameters": {"path": "made-published"}}, "step": fields(n=1)}
        made = await mcp_http.call(
            "create_workflow",
            definition={"name": "made published", "nodes": nodes, "connections": [["hook", "step"]]},
            publish=True,
            run={"trigger": "hook", "input": {"body": {}}},
        )
        assert made["run"]["status"] == "succeeded"
        method, url = made["next"].removeprefix("Callable now: ").removesuffix(".").split(" ")
        assert (await http.request(method, url, json={})).status_code == 202


class TestFigures:
    async def test_a_hundred_executions_are_counted_in_few_tokens(self, mcp_http: McpCaller) -> None:
        name = "Figures"
        step = {"type": "stop_and_error", "parameters": {"message": "={{ 'Bad ' + $json.kind }}"}}
        nodes = {"check": {"type": "if", "parameters": {"condition": "={{ $json.bad }}"}}, "fail": step}
        checked = definition(name, **nodes)
        checked["connections"] = [["start", "check"], ["check.true", "fail"]]
        await mcp_http.call("create_workflow", definition=checked)
        for number in range(20):
            bad = {"bad": number % 4 == 0, "kind": "money" if number % 8 == 0 else "name"}
            await mcp_http.call("execute_workflow", workflow_id=name, input=bad)
        figures = await mcp_http.call("list_executions", workflow_id=name, view="summary")
        assert (figures["total"], figures["by_status"]) == (20, {"succeeded": 15, "failed": 5})
        assert sorted((each["count"], each["message"]) for each in figures["errors"]) == [
            (2, "Bad name"),
            (3, "Bad money"),
        ]
        assert figures["open_failures"]["count"] == 5
        assert figures["duration_ms"]["p50"] <= figures["duration_ms"]["p95"] <= figures["slowest"]["duration_ms"]
        assert tokens(figures) < 300

    async def test_a_failure_that_was_mended_is_open_no_more(self, mcp_http: McpCaller) -> None:
        name = "Mended"
        broken = definition(name, step=fields(m="={{ $json.no.such }}"))
        made = await mcp_http.call("create_workflow", definition=broken, run={})
        assert (await mcp_http.call("list_executions", workflow_id=name, view="summary"))["open_failures"] == {
            "count": 1,
            "newest": [made["run"]["execution_id"]],
        }
        change = {"op": "update_node", "name": "step", "changes": {"parameters": {"fields": {"m": 2}}}}
        await mcp_http.call("update_workflow", workflow_id=name, expected_version=1, operations=[change])
        call = json.loads(made["run"]["next"].partition("control_execution ")[2])
        await mcp_http.call("control_execution", **call)
        assert "open_failures" not in await mcp_http.call("list_executions", workflow_id=name, view="summary")


class TestLookUps:
    async def test_several_types_come_at_once(self, mcp_http: McpCaller) -> None:
        found = await mcp_http.call("find_nodes", name=["set", "if", "http_request"])
        assert [each["type"] for each in found["nodes"]] == ["set", "if", "http_request"]
        assert all("properties" in each["parameters"] and "example" in each for each in found["nodes"])

    async def test_the_best_hit_comes_in_full_and_the_next_with_their_parameters(self, mcp_http: McpCaller) -> None:
        found = await mcp_http.call("find_nodes", query="call an HTTP API")
        best, *others = found["nodes"]
        assert best["type"] == "http_request"
        assert "url" in best["parameters"]["properties"]
        assert all(isinstance(each["parameters"], list) for each in others)
        assert len(others) <= 3

    @pytest.mark.parametrize("query", ["schedule every minute", "every morning at 8", "cron", "nightly report"])
    async def test_what_runs_by_the_clock_is_found_by_what_people_say(self, mcp_http: McpCaller, query: str) -> None:
        found = await mcp_http.call("find_nodes", query=query)
        assert found["nodes"][0]["type"] == "schedule"
        assert "there_is_no" not in found
        assert tokens(found) < 1_500

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ("send an email", "e-mail node"),
            ("insert rows into postgres", "database node"),
            ("read a csv file", "node for files"),
        ],
    )
    async def test_what_there_is_not_is_said_with_the_nearest_way(
        self, mcp_http: McpCaller, query: str, says: str
    ) -> None:
        found = await mcp_http.call("find_nodes", query=query)
        assert says in found["there_is_no"]
        assert tokens(found) < 500

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ("retry", "max_attempts"),
            ("node timeout and on_error", "error_output"),
            ("workflow settings timezone", "IANA"),
            ("connect two edges into one input", "node.output"),
            ("expression variables", "$itemIndex"),
        ],
    )
    async def test_what_every_node_has_is_found_by_search(self, mcp_http: McpCaller, query: str, says: str) -> None:
        found = await mcp_http.call("find_nodes", query=query)
        assert says in json.dumps(found)
        assert tokens(found) < 500

    async def test_the_page_is_a_resource_and_its_example_is_a_workflow(self, mcp_http: McpCaller) -> None:
        (listed,) = [
            each for each in (await mcp_http.client.list_resources()).resources if each.uri == "guide://definition"
        ]
        assert listed.mime_type == "text/markdown"
        (content,) = (await mcp_http.client.read_resource("guide://definition")).contents
        assert isinstance(content, types.TextResourceContents)
        assert "Words:" not in content.text
        example = content.text.partition("```json")[2].partition("```")[0]
        made = await mcp_http.call("create_workflow", definition=json.loads(example))
        assert "warnings" not in made

    async def test_what_the_page_says_of_edges_and_loops_is_so(self, mcp_http: McpCaller) -> None:
        joined = definition(a=fields(a=1), b=fields(b=2), c=fields(c=3))
        joined["connections"] = [["start", "a"], ["start", "b"], ["a", "c"], ["b", "c"]]
        run = (await mcp_http.call("create_workflow", definition=joined, run={"input": {}}))["run"]
        assert run["nodes"]["c"].startswith("2 runs, 2 → 2 items")
        changed = definition(step={"type": "code", "parameters": {"javascript": "items[0].n += 1; return items;"}})
        run = (await mcp_http.call("create_workflow", definition=changed, run={"input": {"n": 1}}))["run"]
        assert run["output"] == {"items": {"step": [{"n": 2}]}}
