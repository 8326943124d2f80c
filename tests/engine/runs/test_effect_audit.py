"""Which entries effects make in the audit log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.engine import EngineHarness
from tests.support.http_target import HttpTarget
from workflow.items import Item


def noted(harness: EngineHarness) -> list[tuple[str, int, int]]:
    """Actions with item and attempt."""
    found = []
    for each in harness.audit.entries:
        assert each.details is not None
        found.append((each.action, each.details["item"], each.details["attempt"]))
    return found


async def test_an_effect_is_noted_before_it_leaves_and_when_it_has_ended(
    harness: EngineHarness, target: HttpTarget
) -> None:
    parameters = {"url": f"{target.url}/echo?token=hush", "method": "POST", "json_body": {"iban": "DE12"}}
    await harness.node("http_request", parameters, {"n": 1})
    sent, succeeded = harness.audit.entries
    assert (sent.action, sent.subject) == ("effect.sent", "execution:e")
    assert sent.details == {
        "workflow": "w",
        "node": "node",
        "run": 0,
        "item": 0,
        "kind": "http_request",
        "attempt": 1,
        "target": f"POST {target.url}/echo",
    }
    assert succeeded.action == "effect.succeeded"
    assert (sent.actor.user_id, sent.actor.workspace_id) == ("local", "local")
    assert "hush" not in str(harness.audit.entries)
    assert "DE12" not in str(harness.audit.entries)


async def test_every_item_and_every_attempt_is_noted(harness: EngineHarness, target: HttpTarget) -> None:
    await harness.node(
        "http_request",
        {"url": f"={target.url}/status/{{{{ $json.status }}}}", "concurrency": 1},
        [{"status": 200}, {"status": 503}],
        retry={"max_attempts": 2},
        on_error="continue",
    )
    assert noted(harness) == [
        ("effect.sent", 0, 1),
        ("effect.succeeded", 0, 1),
        ("effect.sent", 1, 1),
        ("effect.failed", 1, 1),
        ("effect.sent", 1, 2),
        ("effect.failed", 1, 2),
    ]
    assert harness.audit.entries[-1].details is not None
    assert harness.audit.entries[-1].details["code"] == "http_status"


async def test_an_effect_that_takes_too_long_is_noted_as_interrupted(
    harness: EngineHarness, target: HttpTarget
) -> None:
    parameters = {"url": f"{target.url}/wait"}
    await harness.node("http_request", parameters, None, timeout_seconds=0.1, retry={"max_attempts": 1})
    assert noted(harness) == [("effect.sent", 0, 1), ("effect.interrupted", 0, 1)]


async def test_an_effect_that_is_cancelled_is_noted_as_interrupted(harness: EngineHarness, target: HttpTarget) -> None:
    document: dict[str, Any] = {
        "name": "one",
        "nodes": {
            "start": {"type": "manual"},
            "ask": {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}},
        },
        "connections": [["start", "ask"]],
    }
    _, executor = harness.start(document)
    task = asyncio.create_task(executor.execute([Item({})]))
    async with asyncio.timeout(10):
        await target.arrived.wait()
        assert noted(harness) == [("effect.sent", 0, 1)]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert noted(harness)[1:] == [("effect.interrupted", 0, 1)]


async def test_parameters_that_are_wrong_send_nothing(harness: EngineHarness) -> None:
    await harness.node("http_request", {"url": "={{ $json.none }}"}, {"n": 1}, on_error="continue")
    assert harness.audit.entries == []


@pytest.mark.parametrize(
    ("node", "parameters"),
    [("set", {"fields": {"x": 1}}), ("wait", {"seconds": 3_600}), ("code", {"javascript": "return 1"})],
)
async def test_what_stays_in_the_process_is_no_effect(
    harness: EngineHarness, node: str, parameters: dict[str, Any]
) -> None:
    await harness.node(node, parameters, {"n": 1})
    assert harness.audit.entries == []


async def test_mocked_effects_are_not_noted(harness: EngineHarness, target: HttpTarget) -> None:
    await harness.node("http_request", {"url": f"{target.url}/echo"}, {"n": 1})
    before = len(harness.audit.entries)
    await harness.execute(
        {
            "name": "one",
            "nodes": {
                "start": {"type": "manual"},
                "ask": {"type": "http_request", "parameters": {"url": f"{target.url}/echo"}},
            },
            "connections": [["start", "ask"]],
        },
        mode="test",
    )
    assert len(harness.audit.entries) == before


async def test_the_credential_that_goes_with_an_effect_is_named(harness: EngineHarness, target: HttpTarget) -> None:
    parameters = {"url": f"{target.url}/echo", "credential": "crm"}
    await harness.node("http_request", parameters, {"n": 1}, on_error="continue")
    details = harness.audit.entries[0].details
    assert details is not None
    assert details["credential"] == "crm"
