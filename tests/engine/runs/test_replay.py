"""An execution that is cut off at any place of its journal and resumed gives what it gives undisturbed."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.engine import EngineHarness, Finished
from workflow.errors import OutboundError
from workflow.executions import EffectKey, EffectResult, EffectStart, NodeRun, Record, Resumption
from workflow.ports import HttpRequest, HttpResponse
from workflow.states import ExecutionState


class Counter:
    """An HTTP service that answers each key with the number of the call; the same key gets the same answer."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.answers: dict[str, int] = {}

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Count."""
        key = request.headers["idempotency-key"]
        await asyncio.sleep(0)
        self.calls.append(key)
        number = self.answers.setdefault(key, len(self.answers))
        body = orjson.dumps({"path": request.url, "key": key, "sum": number * 0 + len(request.body or b"")})
        return HttpResponse(status=200, headers={"content-type": "application/json"}, body=body, url=request.url)


STEPS: dict[str, dict[str, Any]] = {
    "set": {"type": "set", "parameters": {"fields": {"a": "={{ ($json.a ?? 0) + 1 }}", "r": "={{ Math.random() }}"}}},
    "time": {"type": "set", "parameters": {"fields": {"t": "={{ (0, Date.now()) }}"}}},
    "if": {"type": "if", "parameters": {"condition": "={{ ($json.n ?? 0) < 2 }}"}},
    "filter": {"type": "filter", "parameters": {"condition": "={{ ($json.n ?? 0) !== 1 }}"}},
    "http": {
        "type": "http_request",
        "parameters": {"url": "http://counter", "method": "POST", "json_body": {"n": "={{ $json.n ?? 0 }}"}},
    },
    "merge": {"type": "merge"},
    "sum": {"type": "aggregate"},
    "limit": {"type": "limit", "parameters": {"max_items": 2}},
}
OUTPUTS = {"if": ["true", "false"], "filter": ["kept", "discarded"]}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """Workflows without cycles: every node has one to three ways in from nodes before it."""
    kinds = draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=7))
    nodes: dict[str, Any] = {"start": {"type": "manual"}}
    connections: list[list[str]] = []
    names = ["start"]
    for index, kind in enumerate(kinds):
        name = f"{kind} {index}"
        nodes[name] = STEPS[kind]
        ways = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        for place, before in enumerate(ways):
            output = draw(st.sampled_from(OUTPUTS.get(before.split()[0], [""])))
            source = f"{before}.{output}" if output else before
            target = f"{name}.{'second' if place % 2 else 'first'}" if kind == "merge" else name
            connections.append([source, target])
        names.append(name)
    return {"name": "random", "nodes": nodes, "connections": connections}


def result_of(done: Finished) -> Any:
    """What a run gave, without what may differ: how long it took, and when."""
    return (
        done.state,
        done.run.output(),
        sorted((run.node, run.run_index, run.status, run.sources, str(run.outputs)) for run in done.run.order),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=graphs(), items=st.lists(st.integers(0, 3), min_size=1, max_size=4))
async def test_resumed_at_every_position_it_gives_the_undisturbed_result(
    harness: EngineHarness, document: dict[str, Any], items: list[int]
) -> None:
    data = [{"n": n} for n in items]
    saved: list[Record] = []
    counter = Counter()
    harness.http = counter
    undisturbed = await harness.execute(document, data, saved=saved)
    saved += undisturbed.run.journal.flush()
    # Some effects happen more than once in an execution: a node runs once for each of its ways in.
    assert len(counter.calls) == len(set(counter.calls)), "no effect is repeated undisturbed"
    for position in range(len(saved) + 1):
        before = len(counter.calls)
        resumed = await harness.execute(document, data, recorded=saved[:position])
        assert result_of(resumed) == result_of(undisturbed)
        done = {record.key for record in saved[:position] if isinstance(record, EffectResult)}
        recorded = {record.key for record in saved[:position] if isinstance(record, NodeRun)}
        repeated = [EffectKey(*_parts(key)) for key in counter.calls[before:]]
        assert not done & set(repeated), "a recorded effect is not repeated"
        assert not {(key.node, key.run_index) for key in repeated} & set(recorded)


def _parts(key: str) -> tuple[str, int, int]:
    _, node, run_index, item_index = key.split(":")
    return node, int(run_index), int(item_index)


class Flaky(Counter):
    """Fails the first calls."""

    def __init__(self, failures: int, **members: Any) -> None:
        super().__init__()
        self._failures = failures
        self._members = members

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Fail, then count."""
        if self._failures:
            self._failures -= 1
            self.calls.append(request.headers["idempotency-key"])
            raise OutboundError("It is down.", **{"code": "connection_failed", "transient": True, **self._members})
        return await super().send(request)


async def ask(harness: EngineHarness, http: Counter, **options: Any) -> Finished:
    """One request through ``http``."""
    harness.http = http
    return await harness.node("http_request", {"url": "http://counter", "method": "POST"}, None, **options)


async def test_transient_failures_are_tried_again_with_the_contracts_delays(harness: EngineHarness) -> None:
    http = Flaky(5)
    done = await ask(harness, http)
    assert done.state is ExecutionState.SUCCEEDED
    assert harness.slept == [1, 2, 4, 8, 16]
    assert len(set(http.calls)) == 1, "every attempt has the same key"


async def test_after_the_last_attempt_it_fails_and_says_so(harness: EngineHarness) -> None:
    http = Flaky(99)
    done = await ask(harness, http)
    assert done.run.error is not None
    assert (done.run.error.code, done.run.error.transient, len(http.calls)) == ("connection_failed", True, 6)


async def test_permanent_failures_are_not_tried_again(harness: EngineHarness) -> None:
    http = Flaky(99, transient=False)
    await ask(harness, http)
    assert len(http.calls) == 1


@pytest.mark.parametrize(("asked", "slept"), [(7, [7]), (0.5, [1]), (10_000, [])])
async def test_retry_after_is_honoured_within_reason(harness: EngineHarness, asked: float, slept: list[float]) -> None:
    await ask(harness, Flaky(1, retry_after_seconds=asked))
    assert harness.slept == slept


async def test_a_node_may_retry_in_its_own_way_or_not_at_all(harness: EngineHarness) -> None:
    await ask(harness, Flaky(2), retry={"max_attempts": 3, "first_delay_seconds": 0.2, "max_delay_seconds": 0.3})
    assert harness.slept == [0.2, 0.3]
    http = Flaky(2)
    await ask(harness, http, retry={"max_attempts": 1})
    assert len(http.calls) == 1


async def test_an_effect_in_doubt_is_asked_about_where_the_node_says_so(harness: EngineHarness) -> None:
    http = Counter()
    key = EffectKey("node", 0, 0)
    saved: list[Record] = []
    document = {
        "name": "ask",
        "nodes": {
            "start": {"type": "manual"},
            "node": {
                "type": "http_request",
                "parameters": {"url": "http://counter", "method": "POST"},
                "on_recovery": "ask",
            },
        },
        "connections": [["start", "node"]],
    }
    harness.http = http
    await harness.execute(document, saved=saved)
    cut_off = [record for record in saved if isinstance(record, EffectStart)]
    assert [record.key for record in cut_off] == [key]
    doubtful = await harness.execute(document, recorded=cut_off)
    assert doubtful.state is ExecutionState.WAITING
    assert doubtful.run.waiting[key].kind == "decision"
    assert len(http.calls) == 1
    repeat = Resumption(key=key, at=harness.clock.now(), by="agent", data={"decision": "repeat"})
    assert (await harness.execute(document, recorded=[*cut_off, repeat])).state is ExecutionState.SUCCEEDED
    assert len(http.calls) == 2
    told_result = Resumption(key=key, at=harness.clock.now(), by="agent", data={"result": {"mine": 1}})
    done = await harness.execute(document, recorded=[*cut_off, told_result])
    assert done.items("node") == [{"mine": 1}]
    assert len(http.calls) == 2
