"""Nodes that do actions of connections: once or marked, other ways where one is closed, a person where none is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.nodes.registry import NodeRegistry
from tests.support.actions import action
from tests.support.engine import EngineHarness, Finished
from workflow.actions import ActionAsksError, ActionCall, ActionError, ActionQuestion, ActionResult
from workflow.definitions.checks import check_definition
from workflow.executions import EffectKey, Record, Resumption, Suspension
from workflow.states import ExecutionState

KEY = EffectKey("send", 0, 0)
CLOSED = ActionError("Zapier takes the token no more.", code="connection_unauthorized", is_unavailable=True)
BUSY = ActionError("Zapier answered 503.", code="http_status", transient=True, is_unavailable=True)
LATE = ActionError("No answer in 30 s.", code="timeout", may_have_happened=True)
WRONG = ActionError("There is no such channel.", code="action_refused")


def document(**parameters: Any) -> dict[str, Any]:
    """A workflow whose node ``send`` does a Zapier action."""
    node = {"action": "send_mail", "params": {"to": "={{ $json.to }}"}, **parameters}
    return {
        "name": "mails",
        "nodes": {
            "start": {"type": "manual"},
            "send": {"type": "zapier_action", "parameters": node, "retry": {"max_attempts": 3}},
        },
        "connections": [["start", "send"]],
    }


async def run(harness: EngineHarness, saved: list[Record], **parameters: Any) -> Finished:
    """Run on from what was saved, and save on."""
    done = await harness.execute(document(**parameters), {"to": "ada"}, recorded=list(saved), saved=saved)
    saved += done.run.journal.flush()
    return done


def decide(harness: EngineHarness, saved: list[Record], data: Any) -> None:
    """Somebody answers what the node waits for."""
    saved.append(Resumption(key=KEY, at=harness.clock.now(), by="ada", data=data))


def waiting(saved: list[Record]) -> Suspension:
    """What the node waits for."""
    return [each for each in saved if isinstance(each, Suspension)][-1]


def item_of(done: Finished) -> dict[str, Any]:
    """The node's only item."""
    (item,) = done.items("send")
    return item


async def test_an_action_is_done_with_the_items_own_arguments(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), {"id": 7})
    done = await run(harness, [], instructions="Be kind.")
    assert item_of(done) == {"result": {"id": 7}, "via": {"connection": "zapier", "action": "send_mail"}}
    (call,) = harness.actions.calls
    assert (call.arguments, call.instructions, call.owner) == ({"to": "ada"}, "Be kind.", "local")
    assert call.effect_key == "e:send:0:0:way-0"
    (entry,) = [each for each in harness.audit.entries if each.action == "effect.started"] or harness.audit.entries[:1]
    assert "zapier/send_mail" in str(entry)


async def test_a_failure_that_certainly_did_nothing_is_tried_again_without_a_mark(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), BUSY, BUSY, {"id": 7})
    item = item_of(await run(harness, []))
    assert item["result"] == {"id": 7}
    assert "possible_duplicate" not in item
    assert len(harness.slept) == 2


async def test_what_the_other_side_refuses_is_not_tried_again_or_elsewhere(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), WRONG)
    harness.actions.add(action("mail", "send"))
    done = await run(harness, [], fallback=[{"connection": "mail", "action": "send"}])
    assert done.state is ExecutionState.FAILED
    assert done.run.error is not None
    assert done.run.error.code == "action_refused"
    assert len(harness.actions.calls) == 1


@pytest.mark.parametrize("closed", [CLOSED, BUSY])
async def test_where_the_way_is_closed_the_next_is_taken_at_once_and_counted(
    harness: EngineHarness, closed: ActionError
) -> None:
    harness.actions.add(action("zapier", "send_mail"), closed)
    harness.actions.add(action("mail", "send"), {"id": 8})
    done = await run(
        harness, [], fallback=[{"connection": "mail", "action": "send", "arguments": {"whom": "={{ $json.to }}"}}]
    )
    assert item_of(done) == {"result": {"id": 8}, "via": {"connection": "mail", "action": "send", "fallback": 1}}
    assert harness.actions.calls[-1].arguments == {"whom": "ada"}
    assert harness.actions.fallbacks == ["zapier/send_mail"]
    assert harness.slept == []


async def test_a_connection_that_is_gone_is_a_closed_way(harness: EngineHarness) -> None:
    harness.actions.add(action("mail", "send"), {"id": 8})
    done = await run(harness, [], fallback=[{"connection": "mail", "action": "send"}])
    assert item_of(done)["via"]["fallback"] == 1


async def test_where_every_way_fails_for_now_all_are_tried_again(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), BUSY, {"id": 7})
    harness.actions.add(action("mail", "send"), BUSY)
    done = await run(harness, [], fallback=[{"connection": "mail", "action": "send"}])
    assert item_of(done)["result"] == {"id": 7}
    assert [each.connection for each in harness.actions.calls] == ["zapier", "mail", "zapier"]


async def test_a_person_does_it_where_nothing_else_can(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), CLOSED)
    saved: list[Record] = []
    by_hand = {"fallback": [{"manual": {"task": "Write to them.", "who": "the desk"}}]}
    done = await run(harness, saved, **by_hand)
    assert done.state is ExecutionState.WAITING
    details = waiting(saved).details
    assert (details["choices"], details["who"]) == (["done", "cannot"], "the desk")
    assert '"to": "ada"' in details["question"]
    decide(harness, saved, {"choice": "done", "comment": "By letter."})
    item = item_of(await run(harness, saved, **by_hand))
    assert item["result"] == {"choice": "done", "comment": "By letter."}
    assert item["via"] == {"manual": "Write to them.", "fallback": 1}


async def test_a_person_who_cannot_fails_the_item(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), CLOSED)
    saved: list[Record] = []
    by_hand = {"fallback": [{"manual": {"task": "Write to them."}}]}
    await run(harness, saved, **by_hand)
    decide(harness, saved, {"choice": "cannot", "comment": "No address."})
    done = await run(harness, saved, **by_hand)
    assert done.run.error is not None
    assert done.run.error.code == "manual_refused"
    assert "No address." in done.run.error.message


async def test_what_may_have_happened_is_asked_about_and_goes_no_other_way(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), LATE, {"id": 7})
    harness.actions.add(action("mail", "send"))
    saved: list[Record] = []
    other = {"fallback": [{"connection": "mail", "action": "send"}]}
    done = await run(harness, saved, **other)
    assert done.state is ExecutionState.WAITING
    assert waiting(saved).kind == "decision"
    assert "may have been done" in waiting(saved).details["question"]
    decide(harness, saved, {})
    item = item_of(await run(harness, saved, **other))
    assert (item["result"], item["possible_duplicate"]) == ({"id": 7}, True)
    assert [each.connection for each in harness.actions.calls] == ["zapier", "zapier"]


async def test_a_person_can_say_that_it_has_happened(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), LATE)
    saved: list[Record] = []
    await run(harness, saved)
    decide(harness, saved, {"result": {"id": 9}})
    item = item_of(await run(harness, saved))
    assert item == {
        "result": {"id": 9},
        "via": {"connection": "zapier", "action": "send_mail"},
        "confirmed_by": "ada",
    }
    assert len(harness.actions.calls) == 1


async def test_in_doubt_a_node_can_repeat_and_mark_or_fail(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), LATE, {"id": 7})
    item = item_of(await run(harness, [], on_doubt="repeat"))
    assert item["possible_duplicate"] is True
    harness.actions.scripts["zapier/send_mail"] = [LATE]
    done = await run(harness, [], on_doubt="fail")
    assert done.run.error is not None
    assert done.run.error.code == "action_in_doubt"


async def test_a_read_that_is_late_is_simply_read_again(harness: EngineHarness) -> None:
    late = ActionError("No answer.", code="timeout", transient=True, is_unavailable=True)
    harness.actions.add(action("zapier", "send_mail", effect="read"), late, {"id": 7})
    saved: list[Record] = []
    item = item_of(await run(harness, saved))
    assert "possible_duplicate" not in item


async def test_a_crash_in_mid_call_leaves_a_write_in_doubt(harness: EngineHarness) -> None:
    under_way = asyncio.Event()

    def crash(call: ActionCall) -> ActionResult:
        under_way.set()
        raise asyncio.CancelledError

    harness.actions.add(action("zapier", "send_mail"), crash, {"id": 7})
    saved: list[Record] = []
    with pytest.raises(asyncio.CancelledError):
        await run(harness, saved)
    assert under_way.is_set()
    done = await run(harness, saved)
    assert done.state is ExecutionState.WAITING
    assert "The server stopped while it was under way." in waiting(saved).details["question"]
    decide(harness, saved, {})
    assert item_of(await run(harness, saved))["possible_duplicate"] is True


async def test_questions_of_the_other_side_are_put_one_by_one_and_the_answers_go_back(harness: EngineHarness) -> None:
    form = {"type": "object", "properties": {"size": {"type": "string"}}}
    asks = ActionAsksError(
        [
            ActionQuestion(key="a", message="Which size?", schema=form, state="sealed"),
            ActionQuestion(key="b", message="Agree", url="https://shop.example.com/agree", state="sealed"),
        ]
    )
    harness.actions.add(action("zapier", "send_mail"), asks, {"id": 7})
    saved: list[Record] = []
    done = await run(harness, saved)
    assert done.state is ExecutionState.WAITING
    assert (waiting(saved).kind, waiting(saved).details["message"]) == ("question", "Which size?")
    decide(harness, saved, {"size": "L"})
    await run(harness, saved)
    assert waiting(saved).details["url"] == "https://shop.example.com/agree"
    decide(harness, saved, {"action": "decline"})
    assert item_of(await run(harness, saved))["result"] == {"id": 7}
    call = harness.actions.calls[-1]
    assert call.answers == {"a": {"action": "accept", "content": {"size": "L"}}, "b": {"action": "decline"}}
    assert call.state == "sealed"
    assert len(harness.actions.calls) == 2


async def test_a_preview_says_that_it_is_one(harness: EngineHarness) -> None:
    harness.actions.add(action("zapier", "send_mail"), ActionResult(data=[], is_preview=True))
    assert item_of(await run(harness, []))["is_preview"] is True


@pytest.mark.parametrize(
    ("parameters", "at"),
    [
        ({"connection": "={{ $json.c }}"}, "/nodes/send/parameters/connection"),
        ({"action": "={{ $json.a }}"}, "/nodes/send/parameters/action"),
        ({"fallback": "={{ $json.f }}"}, "/nodes/send/parameters/fallback"),
        (
            {"fallback": [{"connection": "={{ $json.c }}", "action": "x"}]},
            "/nodes/send/parameters/fallback/0/connection",
        ),
        ({"fallback": [{"connection": "mail"}]}, "/nodes/send/parameters/fallback/0"),
        ({"digest": "zz"}, "/nodes/send/parameters/digest"),
    ],
)
def test_what_is_called_is_the_definitions_to_say(registry: NodeRegistry, parameters: dict[str, Any], at: str) -> None:
    report = check_definition(document(**parameters), registry)
    assert at in [finding.pointer for finding in report.findings if finding.severity == "error"]


async def test_a_resource_is_read_as_data(harness: EngineHarness) -> None:
    parameters = {"connection": "shop", "uri": "=shop://{{ $json.to }}"}
    done = await harness.node("mcp_resource", parameters, {"to": "ada"})
    (item,) = done.items("node")
    assert item == {"contents": [{"uri": "shop://ada", "media_type": "application/json", "data": {"of": "shop"}}]}
