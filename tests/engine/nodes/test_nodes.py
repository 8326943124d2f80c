"""What each node type does with its items."""

from __future__ import annotations

from typing import Any

import pytest

from engine.nodes import sort
from engine.nodes.registry import NodeRegistry
from tests.support.engine import EngineHarness
from tests.support.http_target import HttpTarget
from workflow.states import ExecutionState

ROWS = [
    {"name": "b", "country": "FR", "amount": 10, "tags": ["x"]},
    {"name": "a", "country": "DE", "amount": 5},
    {"name": "c", "country": "FR", "amount": 2.5, "tags": []},
]


@pytest.mark.parametrize(
    ("node_type", "parameters", "expected"),
    [
        ("set", {"fields": {"n": 1, "a.b": "={{ $json.name }}"}, "keep_input": False}, [{"n": 1, "a": {"b": "b"}}]),
        ("set", {"fields": {}, "remove": ["country", "tags", "amount"]}, [{"name": "b"}]),
        ("limit", {"max_items": 1}, [ROWS[0]]),
        ("limit", {"max_items": 1, "keep": "last"}, [ROWS[2]]),
        ("sort", {"by": [{"field": "name"}]}, [ROWS[1]]),
        (
            "sort",
            {"by": [{"field": "country"}, {"field": "amount", "order": "descending"}]},
            [ROWS[1], ROWS[0], ROWS[2]],
        ),
        ("sort", {"by": [{"field": "tags", "order": "descending"}]}, [ROWS[2], ROWS[0], ROWS[1]]),
        ("aggregate", {}, [{"items": ROWS}]),
        (
            "aggregate",
            {
                "group_by": ["country"],
                "summaries": {
                    "sum": {"operation": "sum", "field": "amount"},
                    "count": {"operation": "count"},
                    "names": {"operation": "collect", "field": "name"},
                    "mean": {"operation": "average", "field": "amount"},
                    "least": {"operation": "min", "field": "amount"},
                    "most": {"operation": "max", "field": "amount"},
                    "first": {"operation": "first", "field": "name"},
                    "last": {"operation": "last", "field": "name"},
                    "kinds": {"operation": "count_unique", "field": "tags"},
                },
            },
            [
                {
                    "country": "FR",
                    "sum": 12.5,
                    "count": 2,
                    "names": ["b", "c"],
                    "mean": 6.25,
                    "least": 2.5,
                    "most": 10,
                    "first": "b",
                    "last": "c",
                    "kinds": 2,
                }
            ],
        ),
    ],
)
async def test_batch_nodes(
    harness: EngineHarness, node_type: str, parameters: dict[str, Any], expected: list[Any]
) -> None:
    done = await harness.node(node_type, parameters, ROWS)
    assert done.state is ExecutionState.SUCCEEDED, done.run.error
    assert done.items("node")[: len(expected)] == expected


async def test_split_out_makes_an_item_of_each_element(harness: EngineHarness) -> None:
    data = [{"id": 1, "lines": [{"a": 1}, {"a": 2}]}, {"id": 2, "lines": [5]}]
    done = await harness.node("split_out", {"field": "lines", "keep_input": True}, data)
    assert done.items("node") == [{"id": 1, "a": 1}, {"id": 1, "a": 2}, {"id": 2, "lines": 5}]


async def test_switch_takes_the_first_rule_that_holds(harness: EngineHarness) -> None:
    rules = [
        {"output": "big", "comparisons": [{"left": "={{ $json.amount }}", "operator": "greater", "right": 8}]},
        {"output": "french", "condition": "={{ $json.country === 'FR' }}"},
    ]
    done = await harness.node("switch", {"rules": rules}, ROWS)
    found = {output: [item["name"] for item in done.items("node", output)] for output in ("big", "french", "otherwise")}
    assert found == {"big": ["b"], "french": ["c"], "otherwise": ["a"]}


@pytest.mark.parametrize(
    ("left", "operator", "right", "holds"),
    [
        (1, "equals", 1.0, True),
        (True, "equals", 1, False),
        ({"a": [1]}, "equals", {"a": [1]}, True),
        ("a", "not_equals", "b", True),
        (2, "greater", 1, True),
        ("b", "less_or_equal", "b", True),
        ("abc", "contains", "b", True),
        ([1, 2], "contains", 2, True),
        ({"k": 1}, "contains", "k", True),
        ("abc", "not_contains", "z", True),
        ("abc", "starts_with", "ab", True),
        ("abc", "ends_with", "bc", True),
        (2, "in", [1, 2], True),
        (3, "not_in", [1, 2], True),
        (None, "exists", None, False),
        (0, "exists", None, True),
        (None, "not_exists", None, True),
        ([], "is_empty", None, True),
        (0, "is_empty", None, False),
        ("x", "is_not_empty", None, True),
        (True, "is_true", None, True),
        (True, "is_false", None, False),
    ],
)
async def test_comparisons(harness: EngineHarness, left: Any, operator: str, right: Any, holds: bool) -> None:
    comparison = {"left": "={{ $json.left }}", "operator": operator, "right": "={{ $json.right }}"}
    done = await harness.node("if", {"comparisons": [comparison]}, {"left": left, "right": right})
    assert bool(done.items("node", "true")) is holds


@pytest.mark.parametrize(
    ("left", "operator", "right"), [("1", "greater", 2), (3, "starts_with", "3"), (1, "is_true", None)]
)
async def test_what_cannot_be_compared_fails(harness: EngineHarness, left: Any, operator: str, right: Any) -> None:
    done = await harness.node("if", {"comparisons": [{"left": left, "operator": operator, "right": right}]}, None)
    assert done.run.error is not None
    assert done.run.error.code == "cannot_compare"


async def test_a_condition_that_is_neither_true_nor_false_fails(harness: EngineHarness) -> None:
    done = await harness.node("filter", {"condition": "={{ $json.list }}"}, {"list": [1]})
    assert done.run.error is not None
    assert (done.run.error.code, done.run.error.pointer) == ("bad_parameter", "/parameters/condition")


MERGED = {
    "append": [{"id": 1, "a": 1}, {"id": 2, "a": 2}, {"id": 2, "b": 2}, {"id": 3, "b": 3}],
    "by_position": [{"id": 2, "a": 1, "b": 2}, {"id": 3, "a": 2, "b": 3}],
    "by_field": [{"id": 2, "a": 2, "b": 2}],
}


@pytest.mark.parametrize("mode", MERGED)
async def test_merge_puts_items_together(harness: EngineHarness, mode: str) -> None:
    split = {"type": "split_out", "parameters": {"field": "={{ $json.field }}"}}
    document = {
        "name": "merge",
        "nodes": {
            "start": {"type": "manual"},
            "left": {"type": "split_out", "parameters": {"field": "left"}},
            "right": {**split, "parameters": {"field": "right"}},
            "join": {"type": "merge", "parameters": {"mode": mode, "match_on": ["id"]}},
        },
        "connections": [["start", "left"], ["start", "right"], ["left", "join.first"], ["right", "join.second"]],
    }
    data = {"left": [{"id": 1, "a": 1}, {"id": 2, "a": 2}], "right": [{"id": 2, "b": 2}, {"id": 3, "b": 3}]}
    done = await harness.execute(document, data)
    assert done.items("join") == MERGED[mode]


async def test_http_request_sends_what_it_is_told(harness: EngineHarness, target: HttpTarget) -> None:
    parameters = {
        "url": f"{target.url}/echo?kept=1",
        "method": "POST",
        "query": {"q": "a b", "many": [1, True], "none": None},
        "headers": {"X-Mine": "={{ $json.name }}"},
        "json_body": {"n": "={{ $json.n }}"},
    }
    done = await harness.node("http_request", parameters, {"name": "me", "n": 3})
    assert done.state is ExecutionState.SUCCEEDED, done.run.error
    (sent,) = target.received
    assert sent["query"] == [("kept", "1"), ("q", "a b"), ("many", "1"), ("many", "true")]
    assert (sent["headers"]["x-mine"], sent["body"]) == ("me", '{"n":3}')
    assert sent["headers"]["idempotency-key"] == "e:node:0:0"
    assert done.items("node")[0]["body"]["method"] == "POST"


async def test_http_request_sends_forms_and_text(harness: EngineHarness, target: HttpTarget) -> None:
    url = f"{target.url}/echo"
    await harness.node("http_request", {"url": url, "method": "POST", "form": {"a": "1 2", "b": True}}, None)
    await harness.node("http_request", {"url": url, "method": "PUT", "text_body": "héllo"}, None)
    assert [each["body"] for each in target.received] == ["a=1+2&b=true", "héllo"]
    assert target.received[0]["headers"]["content-type"] == "application/x-www-form-urlencoded"


async def test_http_request_follows_redirects_unless_told_not_to(harness: EngineHarness, target: HttpTarget) -> None:
    followed = await harness.node("http_request", {"url": f"{target.url}/redirect/echo"}, None)
    assert followed.items("node")[0]["status"] == 200
    not_followed = await harness.node(
        "http_request", {"url": f"{target.url}/redirect/echo", "follow_redirects": False}, None
    )
    assert not_followed.items("node")[0]["status"] == 307


@pytest.mark.parametrize(
    ("path", "parameters", "code", "transient"),
    [
        ("/status/404", {}, "http_status", False),
        ("/status/429", {}, "http_status", True),
        ("/status/503", {}, "http_status", True),
        ("/large/200000", {}, "response_too_large", False),
        ("/redirect/loop", {}, "too_many_redirects", False),
        ("/wait", {"timeout_seconds": 0.1}, "timeout", True),
        ("/large/3", {"response": "json"}, "response_not_json", False),
    ],
)
async def test_http_failures_have_a_code_and_say_whether_trying_again_helps(
    harness: EngineHarness, target: HttpTarget, path: str, parameters: dict[str, Any], code: str, transient: bool
) -> None:
    done = await harness.node("http_request", {"url": target.url + path, **parameters}, None)
    assert done.run.error is not None
    assert (done.run.error.code, done.run.error.transient) == (code, transient)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:1/", "connection_failed"),
        ("ftp://example.invalid/", "invalid_request"),
        ("nowhere", "invalid_request"),
    ],
)
async def test_addresses_that_lead_nowhere_fail(harness: EngineHarness, url: str, code: str) -> None:
    done = await harness.node("http_request", {"url": url}, None)
    assert done.run.error is not None
    assert done.run.error.code == code


async def test_http_request_reads_json_only_where_it_is_said_to_be_json(
    harness: EngineHarness, target: HttpTarget
) -> None:
    as_text = await harness.node("http_request", {"url": f"{target.url}/text"}, None)
    as_json = await harness.node("http_request", {"url": f"{target.url}/text", "response": "json"}, None)
    assert as_text.items("node")[0]["body"] == '{"a":1}'
    assert as_json.items("node")[0]["body"] == {"a": 1}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"javascript": "return items.map(item => ({ twice: item.n * 2 }));"}, [{"twice": 2}, {"twice": 4}]),
        ({"javascript": "return [{ json: { sum: items.reduce((sum, item) => sum + item.n, 0) } }];"}, [{"sum": 3}]),
        ({"javascript": "return { one: $input.all().length, at: $now.year };"}, [{"one": 2, "at": 2024}]),
        (
            {"javascript": "for (const item of items) item.x = $('start').first().json.n;\nreturn items;"},
            [{"n": 1, "x": 1}, {"n": 2, "x": 1}],
        ),
        (
            {"javascript": "return $json.n > 1 ? { ...$json, i: $itemIndex } : null;", "mode": "each_item"},
            [{"n": 2, "i": 1}],
        ),
        ({"javascript": "return;"}, []),
    ],
)
async def test_code_returns_items(harness: EngineHarness, parameters: dict[str, Any], expected: list[Any]) -> None:
    done = await harness.node("code", parameters, [{"n": 1}, {"n": 2}])
    assert done.state is ExecutionState.SUCCEEDED, done.run.error
    assert done.items("node") == expected


@pytest.mark.parametrize(
    ("javascript", "code"),
    [
        ("return [1];", "bad_code_result"),
        ("return 'text';", "bad_code_result"),
        ("throw new Error('mine')", "expression_failed"),
        ("return (", "expression_failed"),
        ("for (;;);", "expression_timeout"),
        ("return (async () => ({}))()", "promise_result"),
    ],
)
async def test_code_that_does_not_work_says_why(harness: EngineHarness, javascript: str, code: str) -> None:
    done = await harness.node("code", {"javascript": javascript}, None)
    assert done.run.error is not None
    assert done.run.error.code == code


async def test_code_passes_pairs_on(harness: EngineHarness) -> None:
    document = {
        "name": "pairs",
        "nodes": {
            "start": {"type": "manual"},
            "code": {"type": "code", "parameters": {"javascript": "return items.map(({ n }) => ({ m: n }));"}},
            "look": {"type": "set", "parameters": {"fields": {"from": "={{ $('start').item.json.n }}"}}},
        },
        "connections": [["start", "code"], ["code", "look"]],
    }
    done = await harness.execute(document, [{"n": 5}, {"n": 6}])
    assert [item["from"] for item in done.items("look")] == [5, 6]


async def test_in_a_test_effects_are_mocked_and_pins_are_given(harness: EngineHarness, target: HttpTarget) -> None:
    document = {
        "name": "test mode",
        "nodes": {
            "start": {"type": "manual"},
            "one": {"type": "http_request", "parameters": {"url": f"{target.url}/echo"}},
            "two": {"type": "http_request", "parameters": {"url": f"{target.url}/echo"}},
        },
        "connections": [["start", "one"], ["one", "two"]],
    }
    done = await harness.execute(document, {"n": 1}, mode="test", pins={"one": [{"status": 200}, {"status": 404}]})
    assert done.items("two") == [{"status": 200, "mocked": "http_request"}, {"status": 404, "mocked": "http_request"}]
    assert target.received == []


async def test_respond_answers_once(harness: EngineHarness) -> None:
    document = {
        "name": "respond",
        "nodes": {
            "start": {"type": "manual"},
            "one": {"type": "respond", "parameters": {"status": 201, "body": {"n": "={{ $json.n }}"}}},
            "two": {"type": "respond", "parameters": {"body": "too late"}},
        },
        "connections": [["start", "one"], ["one", "two"]],
    }
    done = await harness.execute(document, {"n": 1})
    assert done.run.output()["response"] == {"status": 201, "headers": {}, "body": {"n": 1}}


def test_every_example_is_valid_and_every_type_documented(registry: NodeRegistry) -> None:
    for node_type in registry:
        assert not list(node_type.problems_of(node_type.example)), node_type.name
        assert node_type.summary.endswith("."), node_type.name
        assert node_type.parameter_model.__doc__, node_type.name


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-A": "a\r\nSet-Cookie: b=c"}, "line break"),
        ({"X-A": "a\nb"}, "line break"),
        ({"X-A": "a\x00b"}, "line break"),
        ({"X-A": "caf\u00e9 \u2603"}, "line break"),
        ({"X A": "a"}, "not the name"),
        ({"X-A\r\nX-B": "a"}, "not the name"),
        ({"": "a"}, "not the name"),
        ({"Set-Cookie": "session=mine"}, "server's own"),
        ({"Content-Length": "0"}, "server's own"),
        ({"transfer-encoding": "chunked"}, "server's own"),
        ({"X-A": "a" * 9_000}, "longer"),
        ({f"X-{n}": "a" for n in range(60)}, "more than"),
    ],
)
async def test_an_answer_whose_headers_would_break_out_is_refused(
    harness: EngineHarness, headers: dict[str, str], words: str
) -> None:
    registry = harness.registry
    kind = registry.get("respond")
    assert kind is not None
    constant = kind.problems_of({"headers": headers})
    assert [problem.code for problem in constant] == ["bad_parameter"]
    assert words in constant[0].message


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=c", "=a\r\nSet-Cookie: b=c"])
async def test_a_header_that_an_expression_gives_is_looked_at_too(harness: EngineHarness, value: str) -> None:
    done = await harness.node("respond", {"headers": {"X-A": "={{ $json.value }}"}}, [{"value": value}])
    assert done.run.error is not None
    assert done.run.error.code == "bad_parameter"
    assert "line break" in done.run.error.message


@pytest.mark.parametrize("order", ["ascending", "descending"])
async def test_many_items_are_sorted_in_slices_and_equal_ones_keep_their_order(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(sort, "SLICE_ITEMS", 7)
    items = [{"n": number, "by": (number * 7_919) % 13 if number % 5 else None} for number in range(100)]
    done = await harness.node("sort", {"by": [{"field": "by", "order": order}]}, items)
    present = [item for item in items if item["by"] is not None]
    expected = sorted(present, key=lambda item: item["by"] or 0, reverse=order == "descending")
    assert done.items("node") == expected + [item for item in items if item["by"] is None]
