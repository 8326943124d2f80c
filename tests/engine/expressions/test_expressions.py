"""What expressions give, in Python and in JavaScript, and that the two never differ."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import WorkerPool
from tests.support.engine import Nodes, scope_of
from workflow.errors import ExpressionError

ITEM: dict[str, Any] = {
    "n": 7,
    "zero": 0,
    "nul": None,
    "flag": True,
    "price": 1.5,
    "text": "héllo",
    "list": [3, 1, 2],
    "object": {"a": {"b": 5}},
    "with space": "ws",
}


@pytest.fixture
def evaluator(pool: WorkerPool) -> Evaluator:
    """An evaluator with nothing compiled yet."""
    return Evaluator(pool=pool)


async def value_of(evaluator: Evaluator, source: str, *, item: dict[str, Any] = ITEM, **members: Any) -> Any:
    """The template's value for one item."""
    (row,) = await evaluator.evaluate([evaluator.compile(source)], scope_of([item], **members), execution_id="e")
    if isinstance(row, ExpressionError):
        raise row
    return row[0]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("=plain text", "plain text"),
        ("={{ $json.n }}", 7),
        ("={{ $json.object.a.b }}", 5),
        ("={{ $json['with space'] }}", "ws"),
        ("={{ $json.list[1] }}", 1),
        ("={{ $json.list[9] }}", None),
        ("={{ $json.list.length }}", 3),
        ("={{ $json.missing }}", None),
        ("={{ $json.missing?.deeper.still }}", None),
        ("={{ $json.missing ?? 'default' }}", "default"),
        ("={{ $json.zero || 'other' }}", "other"),
        ("={{ $json.flag && $json.n }}", 7),
        ("={{ !$json.zero }}", True),
        ("={{ $json.n > 3 ? 'big' : 'small' }}", "big"),
        ("={{ $json.text === 'héllo' }}", True),
        ("={{ $json.nul == undefined }}", True),
        ("=<{{ $json.nul }}|{{ $json.missing }}|{{ $json.flag }}|{{ $json.n }}>", "<||true|7>"),
        ("={{ $itemIndex }}/{{ $runIndex }}", "0/0"),
        ("={{ $execution.id }}", "e"),
        ("={{ $workflow.name }}", "test"),
        ("={{ $input.item.json.n }}", 7),
        ("={{ $input.first().json.n }}", 7),
        ("={{ $json.n + 1 }}", 8),
        ("={{ ($json.n - 2) * $json.price / 3 }}", 2.5),
        ("={{ $json.n / 2 + 0.5 }}", 4),
        ("={{ 'a' + $json.n + $json.flag }}", "a7true"),
        ("={{ $json['with space'].toUpperCase() + '!' }}", "WS!"),
        ("={{ $json.n.toString() }}", "7"),
    ],
)
async def test_simple_expressions_take_the_fast_path(evaluator: Evaluator, source: str, value: Any) -> None:
    assert evaluator.try_fast([evaluator.compile(source)], scope_of([ITEM])) == [[value]]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("={{ $json.n % 4 }}", 3),
        ("={{ $json.price }}!", None),
        ("={{ $json.list.map(x => x * 2) }}", [6, 2, 4]),
        ("={{ ({a: $json.n}) }}", {"a": 7}),
        ("={{ {a: $json.n} }}", {"a": 7}),
        ("={{ $json.text.toUpperCase() }}", "HÉLLO"),
        ("={{ $json.text + $json.nul }}", "héllonull"),
        ("={{ $json.n / $json.zero }}", None),
        ("={{ $json.list + $json.n }}", "3,1,27"),
        ("={{ 'a-b-c'.replace(/-/g, '+') }}", "a+b+c"),
        ("={{ NaN }}", None),
        ("={{ [1, undefined, NaN] }}", [1, None, None]),
        ("={{ new Date(0) }}", "1970-01-01T00:00:00.000Z"),
        ("={{ Date.now() }}", 1704542400000),
        ("={{ new Date().toISOString() }}", "2024-01-06T12:00:00.000Z"),
        ("={{ $now.toISO() }}", "2024-01-06T12:00:00.000Z"),
        ("={{ $today.plus({ days: 1 }).toFormat('yyyy-LL-dd') }}", "2024-01-07"),
        ("={{ DateTime.fromISO('2024-07-01T12:00Z').setZone('America/New_York').hour }}", 8),
        ("={{ Duration.fromObject({ hours: 36 }).as('days') }}", 1.5),
        ("={{ $jmespath($json, 'object.a.b') }}", 5),
        ("={{ $if($json.flag, 'yes', 'no') }}", "yes"),
        ("={{ $ifEmpty('', 'empty') }}", "empty"),
        ("={{ $ifEmpty(0, 'empty') }}", 0),
        ("={{ $max(1, 5, 3) }}", 5),
        ("={{ $min([4, 2]) }}", 2),
        ("={{ $input.all().length }}", 1),
        ("={{ $items().length }}", 1),
        ("={{ $json.list }} and {{ [1, [2]] }}", "3,1,2 and 1,2"),
    ],
)
async def test_everything_else_is_javascript(evaluator: Evaluator, source: str, value: Any) -> None:
    compiled = evaluator.compile(source)
    assert evaluator.try_fast([compiled], scope_of([ITEM])) is None
    expected = "1.5!" if source == "={{ $json.price }}!" else value
    assert await value_of(evaluator, source) == expected


async def test_the_workflows_time_zone_is_that_of_now_and_today(evaluator: Evaluator) -> None:
    assert await value_of(evaluator, "={{ $now.toISO() }}", timezone="Asia/Tokyo") == "2024-01-06T21:00:00.000+09:00"
    assert await value_of(evaluator, "={{ $today.toISODate() }}", timezone="Pacific/Auckland") == "2024-01-07"


async def test_randomness_is_the_same_for_the_same_node_run(evaluator: Evaluator) -> None:
    first = await value_of(evaluator, "={{ Math.random() }}", seed="one")
    assert await value_of(evaluator, "={{ Math.random() }}", seed="one") == first
    assert await value_of(evaluator, "={{ Math.random() }}", seed="two") != first
    assert 0 <= first < 1


NODES = Nodes({"other": [{"v": 1}, {"v": 2}]})


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("={{ $('other').item.json.v }}", 1),
        ("={{ $('other').last().json.v }}", 2),
        ("={{ $('other').all().map(item => item.json.v) }}", [1, 2]),
        ("={{ $('other').all()[1].json.v }}", 2),
        ("={{ $('other').itemMatching(0).json.v }}", 1),
        ('={{ $node["other"].json.v % 4 }}', 1),
        ("={{ $node.other.json.v % 4 }}", 1),
        ("={{ $items('other').length }}", 2),
        ("={{ $('other').isExecuted }}", True),
        ("={{ $('oth' + 'er').first().json.v }}", 1),
    ],
)
async def test_other_nodes_can_be_read(evaluator: Evaluator, source: str, value: Any) -> None:
    assert await value_of(evaluator, source, nodes=NODES) == value


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("={{ $json.missing.deeper }}", "expression_failed", "$json.missing.deeper"),
        ("={{ nothing }}", "expression_failed", "nothing is not defined"),
        ("={{ $('absent').item.json.v }}", "unknown_node", "absent"),
        ("={{ $('ab' + 'sent').first() }}", "node_has_not_run", "absent"),
        ("={{ (() => { throw new Error('mine') })() }}", "expression_failed", "mine"),
        ("={{ (() => { throw 'a string' })() }}", "expression_failed", "a string"),
        ("={{ 2n ** 64n }}", "expression_failed", "64 bits"),
        ("={{ Promise.resolve(1) }}", "promise_result", "promise"),
        ("=text {{ $json.object }}", "object_in_text", "JSON.stringify"),
    ],
)
async def test_an_error_says_what_went_wrong_where(evaluator: Evaluator, source: str, code: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        await value_of(evaluator, source)
    assert caught.value.expression_code == code
    assert words in f"{caught.value.message} {caught.value.fix}"
    assert caught.value.item_index == 0


async def test_one_bad_item_leaves_the_others_their_values(evaluator: Evaluator) -> None:
    compiled = evaluator.compile("={{ (0, $json.a.b + 0) }}")
    rows = await evaluator.evaluate([compiled], scope_of([{"a": {"b": 1}}, {}, {"a": {"b": 3}}]), execution_id="e")
    assert rows[0] == [1]
    assert isinstance(rows[1], ExpressionError)
    assert rows[1].item_index == 1
    assert rows[2] == [3]


async def test_without_items_there_is_one_evaluation(evaluator: Evaluator) -> None:
    assert await evaluator.evaluate([evaluator.compile("={{ (0, 1 + 1) }}")], scope_of([]), execution_id="e") == [[2]]


async def test_syntax_errors_are_found_before_anything_runs(evaluator: Evaluator) -> None:
    good, bad = await evaluator.check(["={{ $json.a.map(x => x) }}", "={{ $json. }} {{ 1 }}"])
    assert good is None
    assert bad is not None
    assert "SyntaxError" in bad.message


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
FAST_SOURCES = [
    "={{ $json.a }}",
    "={{ $json.a.b }}",
    "={{ $json.a?.b }}",
    "={{ $json.a[0] }}",
    "={{ $json.a['b'][1] }}",
    "={{ $json.a.length }}",
    "=<{{ $json.a }}>",
    "={{ $json.a === $json.b }}",
    "={{ $json.a !== $json.b }}",
    "={{ $json.a == $json.b }}",
    "={{ $json.a != $json.b }}",
    "={{ $json.a < $json.b }}",
    "={{ $json.a >= $json.b }}",
    "={{ $json.a && $json.b }}",
    "={{ $json.a || $json.b }}",
    "={{ $json.a ?? $json.b }}",
    "={{ !$json.a }}",
    "={{ $json.a ? $json.b : 'no' }}",
    "={{ $json.toString }}",
    "={{ $json.a + $json.b }}",
    "={{ $json.a - $json.b }}",
    "={{ $json.a * $json.b }}",
    "={{ $json.a / $json.b }}",
    "={{ $json.a.toUpperCase() }}",
    "={{ $json.a.trim() }}",
    "={{ $json.a.toString() }}",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(a=JSON_VALUES, b=JSON_VALUES)
async def test_the_fast_path_gives_what_javascript_gives(evaluator: Evaluator, a: Any, b: Any) -> None:
    scope = scope_of([{"a": a, "b": b}])
    for source in FAST_SOURCES:
        fast = evaluator.compile(source)
        found = evaluator.try_fast([fast], scope)
        if found is None:
            continue
        # The comma operator keeps the meaning and is not on the fast path.
        slow = evaluator.compile(source.replace("{{", "{{ (0, ").replace("}}", ") }}"))
        assert slow.fast is None
        (row,) = await evaluator.evaluate([slow], scope, execution_id="e")
        assert not isinstance(row, ExpressionError)
        assert as_javascript_sees(found[0][0]) == as_javascript_sees(row[0]), source


def as_javascript_sees(value: Any) -> Any:
    """Every number as a double: Python keeps whole numbers exact beyond 2**53, JavaScript does not."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        return [as_javascript_sees(member) for member in value]
    if isinstance(value, dict):
        return {name: as_javascript_sees(member) for name, member in value.items()}
    return value
