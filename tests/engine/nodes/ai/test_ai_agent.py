"""The agent node: tools within their policies, each call once, a person asked once, an end after so many steps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.nodes.registry import NodeRegistry
from tests.support.actions import action
from tests.support.agents import AGENT_NODE, Children, KeptRequests, agent_document, shop_tools
from tests.support.engine import EngineHarness, Finished
from workflow.actions import ActionError
from workflow.definitions.checks import check_definition
from workflow.executions import EffectKey, EffectStep, Record, Resumption, Suspension
from workflow.states import ExecutionState

KEY = EffectKey(AGENT_NODE, 0, 0)


@pytest.fixture
def requests(harness: EngineHarness) -> KeptRequests:
    """What the agent's tools send."""
    harness.http = KeptRequests()
    harness.children = Children()
    return harness.http


async def again(harness: EngineHarness, saved: list[Record], what: dict[str, Any] | None = None) -> Finished:
    """Run on from what was saved, and save on."""
    what = what or agent_document()
    done = await harness.execute(what, {"mail": "Where is it?"}, recorded=list(saved), saved=saved)
    saved += done.run.journal.flush()
    return done


def answer(done: Finished) -> dict[str, Any]:
    """The agent's only item."""
    (item,) = done.items(AGENT_NODE)
    return item


async def test_an_allowed_tool_is_used_and_its_result_is_data_from_outside(
    harness: EngineHarness, requests: KeptRequests
) -> None:
    harness.models.script = [[("order_status", {"order": "A 1/2"})], "It is on its way."]
    done = await again(harness, [])
    item = answer(done)
    assert item["answer"] == "It is on its way."
    assert item["ai"]["steps"] == 2
    assert item["ai"]["tools"] == [{"tool": "order_status", "outcome": "done"}]
    (sent,) = requests.sent
    assert sent.url == "https://shop.example.com/orders/A%201%2F2"
    assert sent.headers["idempotency-key"] == "e:agent:0:0:call-1.0"
    assert sent.credential is not None
    assert sent.credential.name == "shop"
    told = harness.models.asked[1].messages[-1]
    assert (told.role, told.is_from_outside) == ("tool", True)
    assert told.content.strip().startswith("<data id=")
    offered = [each.name for each in harness.models.asked[0].tools]
    assert offered == ["order_status", "refund", "find_customer"], "what is denied is not even offered"


async def test_calls_of_tools_are_in_the_audit_log(harness: EngineHarness, requests: KeptRequests) -> None:
    harness.models.script = [[("order_status", {"order": "1"})], "done"]
    await again(harness, [])
    sent = [each for each in harness.audit.entries if each.action == "effect.sent"]
    assert [(each.details["kind"], each.details["target"]) for each in sent] == [
        ("ai_agent", "models of the settings"),
        ("http_request", "GET https://shop.example.com/orders/1"),
    ]
    assert sent[1].details["credential"] == "shop"


async def test_a_person_is_asked_before_a_call_and_the_call_is_made_once(
    harness: EngineHarness, requests: KeptRequests
) -> None:
    harness.models.script = [[("refund", {"order": "7", "amount": 5})], "refunded"]
    saved: list[Record] = []
    for _ in range(2):
        done = await again(harness, saved)
        assert done.state is ExecutionState.WAITING
        (waits,) = done.run.waiting.values()
        assert waits.kind == "approval"
        assert waits.details["choices"] == ["allow", "refuse"]
        assert '"amount": 5' in waits.details["question"]
    assert len(harness.models.asked) == 1
    assert requests.sent == []
    saved.append(Resumption(key=KEY, at=harness.clock.now(), by="person", data={"choice": "allow"}))
    done = await again(harness, saved)
    assert answer(done)["answer"] == "refunded"
    assert [each.method for each in requests.sent] == ["POST"]
    assert len([each for each in saved if isinstance(each, Suspension)]) == 1


async def test_a_person_who_refuses_is_heard_and_not_asked_again(
    harness: EngineHarness, requests: KeptRequests
) -> None:
    harness.models.script = [[("refund", {"order": "7", "amount": 5})], "I could not."]
    saved: list[Record] = []
    await again(harness, saved)
    saved.append(Resumption(key=KEY, at=harness.clock.now(), by="person", data={"choice": "refuse", "comment": "No!"}))
    done = await again(harness, saved)
    assert answer(done)["ai"]["tools"] == [{"tool": "refund", "outcome": "refused"}]
    assert "No!" in harness.models.asked[1].messages[-1].content
    assert requests.sent == []


async def test_wherever_it_is_cut_off_no_finished_call_and_no_answer_is_repeated(
    harness: EngineHarness, requests: KeptRequests
) -> None:
    """Every prefix of the journal is a place where the process may have been killed."""
    script = [
        [("order_status", {"order": "1"}), ("find_customer", {"name": "Ada"})],
        [("refund", {"order": "1", "amount": 2})],
        "done",
    ]
    harness.models.script = list(script)
    saved: list[Record] = []
    await again(harness, saved)
    saved.append(Resumption(key=KEY, at=harness.clock.now(), by="person", data={"choice": "allow"}))
    await again(harness, saved)
    whole = [each for each in saved if isinstance(each, EffectStep | Suspension | Resumption)]
    assert [each.step for each in whole if isinstance(each, EffectStep)] == [
        "answer 1",
        "call 1.0",
        "call 1.1",
        "answer 2",
        "call 2.0 decision",
        "call 2.0",
        "answer 3",
    ]
    for cut in range(len(whole) + 1):
        kept = list(whole[:cut])
        steps = {each.step for each in kept if isinstance(each, EffectStep)}
        answered = sum(step.startswith("answer") for step in steps)
        requests.sent.clear()
        harness.children.started.clear()
        harness.models.asked.clear()
        harness.models.script = script[answered:] or ["never"]
        done = await again(harness, kept)
        if done.state is ExecutionState.WAITING:
            kept.append(Resumption(key=KEY, at=harness.clock.now(), by="person", data={"choice": "allow"}))
            done = await again(harness, kept)
        assert answer(done)["answer"] == "done"
        assert len(harness.models.asked) == 3 - answered, cut
        assert len(requests.sent) == 2 - ("call 1.0" in steps) - ("call 2.0" in steps), cut
        assert len(harness.children.started) == 1 - ("call 1.1" in steps), cut
        questions = [each for each in kept if isinstance(each, Suspension) and each.kind == "approval"]
        assert len(questions) == 1, cut


async def test_a_workflow_that_takes_its_time_is_waited_for_and_started_once(
    harness: EngineHarness, requests: KeptRequests
) -> None:
    harness.children.state = ExecutionState.RUNNING
    harness.models.script = [[("find_customer", {"name": "Ada"})], "done"]
    saved: list[Record] = []
    done = await again(harness, saved)
    assert [each.kind for each in done.run.waiting.values()] == ["child"]
    harness.children.state = ExecutionState.SUCCEEDED
    harness.clock.at += timedelta(seconds=61)
    done = await again(harness, saved)
    assert answer(done)["answer"] == "done"
    assert {each["step"] for each in harness.children.started} == {"call 1.0"}
    assert len(harness.models.asked) == 2


async def test_what_fails_for_good_is_told_to_the_model_and_what_may_pass_is_tried_again(
    harness: EngineHarness, requests: KeptRequests
) -> None:
    requests.statuses = [404]
    harness.models.script = [[("order_status", {"order": "1"})], "not there"]
    done = await again(harness, [])
    assert answer(done)["ai"]["tools"] == [{"tool": "order_status", "outcome": "failed"}]
    assert "404" in harness.models.asked[1].messages[-1].content
    requests.statuses, requests.sent = [503, 503, 200], []
    harness.models.script, harness.models.asked = [[("order_status", {"order": "1"})], "there"], []
    done = await again(harness, [])
    assert answer(done)["ai"]["tools"] == [{"tool": "order_status", "outcome": "done"}]
    assert (len(requests.sent), len(harness.models.asked)) == (3, 2)
    assert len({each.headers["idempotency-key"] for each in requests.sent}) == 1


async def test_it_ends_after_so_many_steps(harness: EngineHarness, requests: KeptRequests) -> None:
    harness.models.script = [[("order_status", {"order": "1"})]]
    done = await again(harness, [], agent_document(max_steps=3))
    assert done.run.error is not None
    assert done.run.error.code == "agent_step_limit"
    assert (len(harness.models.asked), len(requests.sent)) == (3, 3)


async def test_the_connected_assistant_can_be_the_agent(harness: EngineHarness, requests: KeptRequests) -> None:
    saved: list[Record] = []
    done = await again(harness, saved)
    (waits,) = done.run.waiting.values()
    assert waits.kind == "model"
    assert [each["name"] for each in waits.details["tools"]] == ["order_status", "refund", "find_customer"]
    wish = {"tool_calls": [{"name": "order_status", "arguments": {"order": "9"}}]}
    saved.append(Resumption(key=KEY, at=harness.clock.now(), by="agent", data=wish))
    done = await again(harness, saved)
    assert [each.url for each in requests.sent] == ["https://shop.example.com/orders/9"]
    (waits,) = done.run.waiting.values()
    assert waits.details["messages"][-1]["role"] == "tool"
    saved.append(Resumption(key=KEY, at=harness.clock.now(), by="agent", data="It left."))
    done = await again(harness, saved)
    assert answer(done)["answer"] == "It left."
    assert len(requests.sent) == 1


async def test_the_final_answer_fits_the_schema(harness: EngineHarness, requests: KeptRequests) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    harness.models.script = [[("order_status", {"order": "1"})], {"ok": True}]
    done = await again(harness, [], agent_document(output_schema=schema))
    assert answer(done)["answer"] == {"ok": True}
    assert harness.models.asked[0].schema == schema


def tool(**changes: Any) -> list[dict[str, Any]]:
    """The first tool of the shop, changed."""
    first, *rest = shop_tools()
    parameters = {**first["parameters"], **changes.pop("parameters", {})}
    return [{**first, "parameters": parameters, **changes}, *rest]


@pytest.mark.parametrize(
    ("tools", "where"),
    [
        ("={{ $json.tools }}", ""),
        (tool(policy="={{ $json.policy }}"), "/0/policy"),
        (tool(parameters={"credential": "<<order>>"}), "/0/parameters/credential"),
        (tool(parameters={"credential": "={{ $json.c }}"}), "/0/parameters/credential"),
        (tool(parameters={"method": "<<order>>"}), "/0/parameters/method"),
        (tool(parameters={"url": "https://<<order>>.example.com/"}), "/0/parameters/url"),
        (tool(parameters={"url": "https://shop.example.com/<<other>>"}), "/0/parameters/url"),
        (tool(parameters={"nonsense": 1}), "/0/parameters/nonsense"),
        (tool(workflow_id="w"), "/0"),
        (tool(name="refund"), "/0/name"),
        (tool(input_schema={"type": "string"}), "/0/input_schema"),
    ],
)
def test_tools_that_leave_too_much_to_the_model_are_not_saved(registry: NodeRegistry, tools: Any, where: str) -> None:
    report = check_definition(agent_document(tools=tools), registry)
    errors = [each.pointer for each in report.findings if each.severity == "error"]
    assert any(each.startswith(f"/nodes/agent/parameters/tools{where}") for each in errors), errors


def test_the_shop_itself_is_in_order(registry: NodeRegistry) -> None:
    assert check_definition(agent_document(), registry).findings == ()


ACTION_TOOL = {"name": "refund_order", "connection": "shop", "action": "refund", "policy": "allow"}


async def test_an_action_of_a_connection_is_a_tool_with_its_own_schema(harness: EngineHarness) -> None:
    schema = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
    harness.actions.add(action("shop", "refund", description="Gives money back.", input_schema=schema), {"paid": 7})
    harness.models.script = [[("refund_order", {"order": "A1", "connection": "other"})], "Done."]
    done = await again(harness, [], agent_document(tools=[ACTION_TOOL]))
    assert answer(done)["ai"]["tools"] == [{"tool": "refund_order", "outcome": "done"}]
    (offered,) = harness.models.asked[0].tools
    assert (offered.description, offered.parameters) == ("Gives money back.", schema)
    (call,) = harness.actions.calls
    assert (call.connection, call.action, call.arguments) == ("shop", "refund", {"order": "A1"})


async def test_an_action_that_may_have_happened_is_asked_about_before_an_agent_does_it_again(
    harness: EngineHarness,
) -> None:
    late = ActionError("No answer.", code="timeout", may_have_happened=True)
    harness.actions.add(action("shop", "refund"), late, {"paid": 7})
    harness.models.script = [[("refund_order", {})], "Done."]
    saved: list[Record] = []
    done = await again(harness, saved, agent_document(tools=[ACTION_TOOL]))
    assert done.state is ExecutionState.WAITING
    assert [each for each in saved if isinstance(each, Suspension)][-1].kind == "decision"
    saved.append(Resumption(key=KEY, at=harness.clock.now(), by="person", data={}))
    harness.models.script = ["Done."]
    assert answer(await again(harness, saved, agent_document(tools=[ACTION_TOOL])))["answer"] == "Done."
    assert len(harness.actions.calls) == 2
    assert '"possible_duplicate":true' in harness.models.asked[-1].messages[-1].content


async def test_an_action_that_needs_a_person_to_agree_is_not_done_before(harness: EngineHarness) -> None:
    harness.actions.add(action("shop", "refund"), {"paid": 7})
    harness.models.script = [[("refund_order", {})], "Done."]
    asking = {**ACTION_TOOL, "policy": "ask"}
    done = await again(harness, [], agent_document(tools=[asking]))
    assert done.state is ExecutionState.WAITING
    assert harness.actions.calls == []
