"""Both node types alone, with Jobsprint's test kit: no server, no network."""

from __future__ import annotations

import asyncio
import json

import pytest
from jobsprint_example_nodes.mask_text import MaskText
from jobsprint_example_nodes.push_message import PushMessage

from engine.node_api import NodeError, OutboundError
from engine.node_api.testing import ScriptedHttp, json_response, run_node


def test_personal_data_is_masked_and_counted() -> None:
    item = {"id": 1, "body": "Ada <ada@example.com>, +1 555 0100 200, card 4111 1111 1111 1111"}
    ran = asyncio.run(run_node(MaskText(), {"fields": ["body", "absent"]}, [item]))
    (masked,) = ran.json()
    assert masked["body"] == "Ada <[email]>, [phone], card [card]"
    assert masked["masked"] == {"email": 1, "card": 1, "phone": 1}
    assert "4111" in item["body"], "the item that came in is unchanged"


def test_only_the_kinds_asked_for_are_masked() -> None:
    ran = asyncio.run(run_node(MaskText(), {"fields": ["a"], "kinds": ["email"]}, [{"a": "x@y.example 5550100200"}]))
    assert ran.json() == [{"a": "[email] 5550100200", "masked": {"email": 1}}]


def test_a_field_that_is_no_text_fails_the_item() -> None:
    with pytest.raises(NodeError, match="not text"):
        asyncio.run(run_node(MaskText(), {"fields": ["a"]}, [{"a": 5}]))


def test_a_message_is_pushed_with_the_key_of_its_item() -> None:
    http = ScriptedHttp(json_response({"id": "m1", "time": 1735732800}))
    ran = asyncio.run(run_node(PushMessage(), {"topic": "orders", "message": "Paid."}, [{"id": 7}], http=http))
    assert ran.json() == [{"id": 7, "push": {"id": "m1", "time": 1735732800}}]
    (sent,) = http.sent
    assert (sent.method, sent.url) == ("POST", "https://ntfy.sh")
    assert sent.headers["idempotency-key"]
    assert sent.body is not None
    assert json.loads(sent.body) == {"topic": "orders", "message": "Paid.", "priority": 3}


@pytest.mark.parametrize(("status", "transient"), [(403, False), (429, True), (503, True)])
def test_a_refusal_is_final_and_an_overload_is_not(status: int, transient: bool) -> None:
    http = ScriptedHttp(json_response({"error": "no"}, status=status, headers={"retry-after": "7"}))
    with pytest.raises(NodeError) as failed:
        asyncio.run(run_node(PushMessage(), {"topic": "orders", "message": "Paid."}, http=http))
    assert (failed.value.transient, failed.value.retry_after_seconds) == (transient, 7)


def test_a_server_that_is_down_is_tried_again() -> None:
    http = ScriptedHttp(OutboundError("Connection refused.", code="connection_failed", transient=True))
    with pytest.raises(NodeError) as failed:
        asyncio.run(run_node(PushMessage(), {"topic": "orders", "message": "Paid."}, http=http))
    assert failed.value.transient


def test_an_expression_cannot_choose_the_credential() -> None:
    parameters = {"topic": "orders", "message": "Paid.", "credential": "={{ $json.key }}"}
    (problem,) = PushMessage().problems_of(parameters)
    assert problem.path == ("credential",)


@pytest.mark.parametrize("kind", [MaskText(), PushMessage()])
def test_the_example_is_without_errors(kind: MaskText | PushMessage) -> None:
    assert kind.problems_of(kind.example) == []
