"""Workspaces share worker processes, and nothing in them: none sees or changes what another one has there."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import WorkerPool
from tests.support.engine import scope_of
from workflow.errors import ExpressionError

REPLACE = "Array.prototype.map = function () { return ['mine'] }, JSON.stringify = () => '[]', JSON.parse = () => []"
"""What an attack would run: it changes built-ins that the checks and expressions of others need."""

CLOSES_EXPRESSION = {
    "the return and the function": f"1)}}), (function(){{ {REPLACE} }})(), (function(){{return (1 ",
    "the parenthesis": f"1), ({REPLACE}",
    "the parenthesis, in a comment and behind": f"1 /* ( */), ({REPLACE}",
    "a list": f"1], [{REPLACE}",
    "a list, with a declaration behind": "1]; function parse(){} [1",
    "a statement": f"1); {REPLACE}; (1",
    "the braces of a block": f"1}} {REPLACE} {{",
    "a template literal": f"`${{1}}` ) , ({REPLACE}) , (`x`",
    "a regular expression that looks like a string": f"/'/.test('a')), ({REPLACE}",
    "a line comment": f"1 // )\n), ({REPLACE}",
    "with html comments": f"1 <!-- \n), ({REPLACE}",
}
CLOSES_BODY = {
    "the function": f"return 1 }} {REPLACE}; {{",
    "the function, and opens one": f"return 1 }}, function () {{ {REPLACE}",
    "the function, and calls one": f"return 1 }}, (function () {{ {REPLACE} }})(), function () {{",
    "the function, as a method": f"return 1 }}, n() {{ {REPLACE}",
    "the function, as a computed method": f"return 1 }}, [({REPLACE})]() {{",
    "the function, with operators": f"return 1 }} + ({REPLACE}) + function () {{",
    "the function, in a call": f"return 1 }})({REPLACE}), (function () {{",
    "the object": f"return 1 }} }}), ({REPLACE}), ({{ n() {{",
    "two functions": f"}} }} {REPLACE}; {{ {{",
}
EXPRESSIONS = [
    "1",
    "{a: 1}",
    "[1, 2]",
    "a, b",
    "x => { return [x] }",
    "async x => await x",
    "function () { return ')' }",
    "class { m() { return `}${']'}` } }",
    "/[)\\]}]/.test('x')",
    "`${(() => { return ']' })()}`",
    "1 // )]}",
    "/* )]} */ 1",
    "new (class A {})()",
    "(a, b)",
    "yes ? {a: [1]} : no",
    "a = {b: (c)}",
    "function* () { yield 1 }",
    "'\\')]}'",
]
BODIES = [
    "return 1",
    "",
    "return { a: 1 } // }",
    "function f() { return '}' } return f()",
    "/* } */ return 1",
    "if (a) { return 1 } else { return [`}${`}`}`] }",
    "'use strict'; return this",
    "label: for (;;) { break label }",
    "class A { m() { return 1 } } return new A().m()",
    "const await = 1; return await",
    "return /}/.test('x')",
]


@pytest.fixture
def evaluator(pool: WorkerPool) -> Evaluator:
    """An evaluator over one worker: whatever two workspaces do meets there."""
    return Evaluator(pool=pool)


async def value_of(evaluator: Evaluator, expression: str, *, owner: str, execution: str = "e") -> Any:
    """The value of one expression in a workspace."""
    compiled = evaluator.compile("={{ " + expression + " }}")
    (row,) = await evaluator.evaluate([compiled], scope_of([{"n": 1}], owner=owner), execution_id=execution)
    if isinstance(row, ExpressionError):
        raise row
    return row[0]


async def result_of(evaluator: Evaluator, source: str, *, owner: str = "a", execution: str = "e") -> Any:
    """What a program returns."""
    return await evaluator.run_script(source, scope_of([{"n": 1}], owner=owner), each=False, execution_id=execution)


async def check_is_as_ever(evaluator: Evaluator) -> None:
    """Another workspace's check gives what it must."""
    good, bad = await evaluator.check(["={{ $json.list.map(x => x + 1) }}", "={{ [1, }}"])
    assert good is None
    assert bad is not None
    assert "SyntaxError" in bad.message


@pytest.mark.parametrize("source", CLOSES_EXPRESSION.values(), ids=CLOSES_EXPRESSION)
async def test_what_is_not_one_expression_does_not_run_while_it_is_checked(evaluator: Evaluator, source: str) -> None:
    with contextlib.suppress(ExpressionError):  # the template's own parser may refuse it first
        (found,) = await evaluator.check(["={{ " + source + " }}"])
        assert found is not None
    assert await evaluator._problems("expression", [source]) != [None]
    await check_is_as_ever(evaluator)


@pytest.mark.parametrize("source", CLOSES_EXPRESSION.values(), ids=CLOSES_EXPRESSION)
async def test_what_is_not_one_expression_is_refused_when_it_is_evaluated(evaluator: Evaluator, source: str) -> None:
    with pytest.raises(ExpressionError):
        await value_of(evaluator, f"0, {source}", owner="a")
    assert await value_of(evaluator, "[1].map(x => x + 1)", owner="a") == [2]


@pytest.mark.parametrize("source", CLOSES_BODY.values(), ids=CLOSES_BODY)
async def test_what_is_not_one_body_runs_neither_in_a_check_nor_in_a_code_node(
    evaluator: Evaluator, source: str
) -> None:
    (found,) = await evaluator.check_programs([source])
    assert found is not None
    assert "SyntaxError" in found.message
    with pytest.raises(ExpressionError) as caught:
        await result_of(evaluator, source)
    assert caught.value.expression_code == "expression_failed"
    await check_is_as_ever(evaluator)
    assert await value_of(evaluator, "[1].map(x => x + 1)", owner="a") == [2]


async def test_what_is_one_expression_or_body_passes(evaluator: Evaluator) -> None:
    assert await evaluator._problems("expression", EXPRESSIONS) == [None] * len(EXPRESSIONS)
    assert await evaluator.check_programs(BODIES) == [None] * len(BODIES)


async def test_sources_of_one_check_do_not_meet(evaluator: Evaluator) -> None:
    declares = "1]; function Array(){} let JSON; [1"
    found = await evaluator._problems("expression", [declares, "[1].map(String)", "Array.of(1)", declares, "JSON"])
    assert [problem is None for problem in found] == [False, True, True, False, True]


async def test_depth_in_a_source_is_a_finding_of_that_source(evaluator: Evaluator) -> None:
    found = await evaluator._problems("expression", ["(" * 9_000 + "1" + ")" * 9_000, "1", "[" * 9_000])
    assert [problem is None for problem in found] == [False, True, False]
    assert "nested too deeply" in str(found[0])


@pytest.mark.parametrize(
    "change", ["globalThis.left = 1", "Object.prototype.left = 1", "Array.prototype.map = () => 'left'", "Date = null"]
)
async def test_contexts_are_a_workspaces_own_even_under_one_key(evaluator: Evaluator, change: str) -> None:
    with contextlib.suppress(ExpressionError):  # it may hurt its own execution
        await value_of(evaluator, f"(() => {{ {change}; return 1 }})()", owner="a", execution="same")
    seen = "[typeof globalThis.left, typeof ({}).left, [1].map(x => x)[0], typeof Date].join()"
    assert await value_of(evaluator, seen, owner="b", execution="same") == "undefined,undefined,1,function"


async def test_what_one_workspace_leaves_in_a_worker_is_not_missing_to_another(evaluator: Evaluator) -> None:
    leave = "(globalThis.left = new Uint8Array(15e6)).length"
    for number in range(40):
        assert await value_of(evaluator, leave, owner="greedy", execution=f"e{number}") == 15_000_000
    assert await value_of(evaluator, "new Uint8Array(50e6).length", owner="other") == 50_000_000


async def test_failures_in_one_workspace_leave_the_others_contexts_alone(evaluator: Evaluator) -> None:
    await value_of(evaluator, "(globalThis.mine = 7)", owner="b", execution="kept")
    for bad in ("nothing.at.all", "(() => { throw 1 })()", "(function f() { return f() })()"):
        with contextlib.suppress(ExpressionError):
            await value_of(evaluator, bad, owner="a", execution="bad")
    assert await value_of(evaluator, "globalThis.mine", owner="b", execution="kept") == 7
