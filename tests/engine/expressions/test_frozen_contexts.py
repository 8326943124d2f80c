"""Executions of one workspace share frozen contexts: none leaves anything there for another."""

from __future__ import annotations

from typing import Any

import pytest

from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import WorkerPool
from tests.support.engine import scope_of
from workflow.errors import ExpressionError

WALK = """
const sloppy = (() => {})['const' + 'ructor'];
const seen = new Set();
const found = [
  sloppy('return th' + 'is')(), sloppy, items, $input, $, $node, function* () {}, (function* () {})(),
  [][Symbol.iterator](), new Map().keys(), new Set().keys(), 'a'.matchAll(/a/g), /a/, new Date(), Intl, 1n, Symbol(),
];
const errors = sloppy('run', 'try { run() } ca' + 'tch (error) { return error }');
found.push(errors(() => $('nobody').all()), errors(() => JSON.parse('{')), errors(() => null.x));
while (found.length) {
  const each = found.pop();
  if (each === null || (typeof each !== 'object' && typeof each !== 'function') || seen.has(each)) continue;
  seen.add(each);
  found.push(Object.getPrototypeOf(each));
  for (const key of [...Object.getOwnPropertyNames(each), ...Object.getOwnPropertySymbols(each)]) {
    const told = Object['getOwnProperty' + 'Descriptor'](each, key);
    found.push(told.value, told.get, told.set);
  }
}
"""
"""Everything that code can reach, as a set; none of its words keeps it out of a frozen context."""
WRITE = f"""{WALK}
const write = sloppy('o', 'o.leak = 1; o.name = 1');
for (const each of seen) write(each);
return [{{n: seen.size}}];"""
READ = f"{WALK} return [...seen].filter(each => Object.hasOwn(each, 'leak')).map(each => ({{found: typeof each}}));"

STRICT = {
    "a name that is not declared": ("total = 0; for (const each of items) total += each.n; return [{n: total}]", 3),
    "a method of all lists": ("Array.prototype.sum = function () { return 7 }; return [{n: [1].sum()}]", 7),
    "a method of one object": ("const o = {}; o.toString = () => 'mine'; return [{n: `${o}`}]", "mine"),
    "an error of one's own": (
        "class Mine extends Error { constructor() { super(); this.name = 'Mine' } } return [{n: new Mine().name}]",
        "Mine",
    ),
    "octal numbers": ("return [{n: 010}]", 8),
    "with": ("with ({n: 5}) { return [{n}] }", 5),
    "this": ("return [{n: typeof this}]", "object"),
    "a function in a block": ("{ function f() { return 4 } } return [{n: f()}]", 4),
    "a builtin replaced": ("Math.max = () => 9; return [{n: Math.max(1)}]", 9),
    "eval": ("eval('var q = 6'); return [{n: q}]", 6),
    "dates": ("Date.mine = 3; return [{n: Date.mine + new Date(0).getUTCFullYear()}]", 1973),
    "a library": ("return [{n: DateTime.fromISO('2026-03-01').day}]", 1),
}
"""Code that is not strict, or that writes what is frozen: its own execution sees what it writes."""


@pytest.fixture
def evaluator(pool: WorkerPool) -> Evaluator:
    """An evaluator over one worker: all executions meet there."""
    return Evaluator(pool=pool)


async def values_of(evaluator: Evaluator, source: str, *, execution: str, owner: str = "a") -> list[Any]:
    """What a program returns."""
    scope = scope_of([{"n": 1}, {"n": 2}], owner=owner)
    found = await evaluator.run_script(source, scope, each=False, execution_id=execution)
    return [each.value for each in found if not isinstance(each, ExpressionError)]


@pytest.mark.parametrize("needs", ["", "// toLocaleString of a Date\n"])
async def test_what_an_execution_writes_to_everything_is_gone_in_the_next(evaluator: Evaluator, needs: str) -> None:
    (wrote,) = await values_of(evaluator, needs + WRITE, execution="first")
    assert wrote["n"] > 300
    assert await values_of(evaluator, needs + READ, execution="second") == []


async def test_the_walk_itself_runs_in_a_frozen_context_and_finds_what_is_left_behind(pool: WorkerPool) -> None:
    """So the test before this one can fail: one execution sees what it has written in a context of its own."""
    evaluator = Evaluator(pool=pool)
    assert evaluator._programs.get(WRITE) is None
    await values_of(evaluator, WRITE, execution="walks")
    assert evaluator._programs[WRITE].is_plain
    assert not any("walks" in worker.executions for worker in pool._every)
    await values_of(evaluator, WRITE + "// this", execution="walks")
    assert any("walks" in worker.executions for worker in pool._every)
    assert await values_of(evaluator, READ + "// this", execution="walks") != []


@pytest.mark.parametrize(("source", "expected"), STRICT.values(), ids=STRICT)
async def test_code_that_cannot_be_frozen_does_what_it_does_alone(
    evaluator: Evaluator, source: str, expected: Any
) -> None:
    assert await values_of(evaluator, source, execution="first") == [{"n": expected}]
    looks = "return [{n: typeof total + typeof [].sum + Math.max(1, 2)}]"
    assert await values_of(evaluator, looks, execution="second") == [{"n": "undefinedundefined2"}]


async def test_the_nodes_of_one_execution_see_what_an_earlier_one_defined(evaluator: Evaluator) -> None:
    await values_of(evaluator, "rate = 4; return items", execution="e")
    assert await values_of(evaluator, "return [{n: items[0].n * rate}]", execution="e") == [{"n": 4}]


async def test_one_workspace_has_no_part_in_anothers_frozen_context(evaluator: Evaluator) -> None:
    for owner in ("a", "b"):
        await values_of(evaluator, WRITE, execution="e", owner=owner)
        assert await values_of(evaluator, READ, execution="e", owner=owner) == []


async def test_errors_are_those_of_code_that_is_not_frozen(evaluator: Evaluator) -> None:
    with pytest.raises(ExpressionError, match=r"nobody is not defined"):
        await values_of(evaluator, "return [{n: nobody}]", execution="e")
    with pytest.raises(ExpressionError, match=r"Unexpected token"):
        await values_of(evaluator, "return 1 }}, n() {{ return 2", execution="e")


async def test_a_call_that_takes_too_long_is_not_tried_again(pool: WorkerPool) -> None:
    with pytest.raises(ExpressionError) as caught:
        await values_of(Evaluator(pool=pool), "for (;;);", execution="endless")
    assert caught.value.expression_code == "expression_timeout"
    assert not any("endless" in worker.executions for worker in pool._every)
    assert await values_of(Evaluator(pool=pool), "return items", execution="e") == [{"n": 1}, {"n": 2}]
