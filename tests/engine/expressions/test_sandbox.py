"""Abuse of JavaScript ends in a clear error within its limit, and the next expression works."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import WorkerPool
from tests.support.engine import scope_of
from workflow.errors import ExpressionError

ENDLESS = "expression_timeout"
MEMORY = "expression_memory"
LIMIT_SECONDS = 10
"""Far beyond the limits of the pool (1.5 s), far below never."""

ABUSE = {
    "endless loop": ("(() => { while (true) {} })()", {ENDLESS}),
    "endless recursion of promises": ("(async () => { for (;;) await 0 })()", {"promise_result", ENDLESS}),
    "endless synchronous generator": ("[...(function* () { for (;;) yield 1 })()]", {ENDLESS, MEMORY}),
    "huge repeat": ("'x'.repeat(2 ** 30)", {MEMORY, "expression_failed"}),
    "huge padding": ("'x'.padEnd(2 ** 29, 'ab')", {MEMORY, "expression_failed"}),
    "deep recursion": ("(function f() { return f() + 1 })()", {"expression_stack"}),
    "catastrophic regular expression": ("/^(a+)+$/.test('a'.repeat(40) + '!')", {ENDLESS}),
    "join on a huge length": (
        "Array.prototype.join.call({ length: 2 ** 32 }, 'x')",
        {ENDLESS, MEMORY, "expression_failed"},
    ),
    "reverse on a huge length": ("Array.prototype.reverse.call({ length: 2 ** 32 })", {ENDLESS}),
    "sort on a huge length": ("Array.prototype.sort.call({ length: 2 ** 32 })", {ENDLESS, MEMORY}),
    "indexOf on a huge length": ("Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)", {ENDLESS}),
    "memory bomb": ("(() => { const a = []; for (;;) a.push(new Array(1e5).fill(a.length)) })()", {MEMORY, ENDLESS}),
    "memory bomb of buffers": ("[...Array(1e4)].map(() => new ArrayBuffer(1e7))", {MEMORY, "expression_failed"}),
    "memory bomb of strings": ("(() => { let s = 'x'; for (;;) s += s })()", {MEMORY, ENDLESS, "expression_failed"}),
    "deep nesting": (
        "(() => { let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return a })()",
        {"expression_failed", "expression_stack", ENDLESS, MEMORY},
    ),
    "a getter that never returns": ("({ get x() { for (;;); } })", {ENDLESS}),
    "toJSON that never returns": ("({ toJSON() { for (;;); } })", {ENDLESS}),
    "catching the interruption": ("(() => { for (;;) { try { for (;;); } catch {} } })()", {ENDLESS}),
}


@pytest.fixture
def evaluator(pool: WorkerPool) -> Evaluator:
    """An evaluator over workers with short limits."""
    return Evaluator(pool=pool)


async def evaluate(evaluator: Evaluator, expression: str, *, execution: str = "e") -> object:
    """The value of one expression."""
    compiled = evaluator.compile("={{ " + expression + " }}")
    (row,) = await evaluator.evaluate([compiled], scope_of([{"n": 1}]), execution_id=execution)
    if isinstance(row, ExpressionError):
        raise row
    return row[0]


@pytest.mark.parametrize("name", ABUSE)
async def test_abuse_ends_within_its_limit_and_the_next_expression_works(evaluator: Evaluator, name: str) -> None:
    expression, codes = ABUSE[name]
    started = time.monotonic()
    with pytest.raises(ExpressionError) as caught:
        await evaluate(evaluator, expression)
    assert time.monotonic() - started < LIMIT_SECONDS
    assert caught.value.expression_code in codes, caught.value.message
    assert caught.value.message
    assert await evaluate(evaluator, "$json.n + 1") == 2


POLLUTIONS = [
    "Object.prototype.polluted = 1",
    "JSON.parse = () => 'mine'",
    "JSON.stringify = () => 'mine'",
    "Array.prototype.map = () => []",
    "globalThis.$if = () => 'mine'",
    "Function.prototype.call = () => 'mine'",
    "Map.prototype.get = () => undefined",
]


@pytest.mark.parametrize("pollution", POLLUTIONS)
async def test_pollution_does_not_reach_other_executions(evaluator: Evaluator, pollution: str) -> None:
    with contextlib.suppress(ExpressionError):  # whether the polluter itself goes on is its own affair
        await evaluate(evaluator, f"(() => {{ {pollution}; return 1 }})()", execution="polluter")
    assert await evaluate(evaluator, "typeof ({}).polluted + $if(true, 1, 2) + [1].map(x => 2)[0]", execution="x") == (
        "undefined12"
    )


@pytest.mark.parametrize(
    "expression",
    ["typeof process", "typeof require", "typeof fetch", "typeof std", "typeof os", "typeof Worker", "typeof console"],
)
async def test_nothing_of_the_world_outside_is_there(evaluator: Evaluator, expression: str) -> None:
    assert await evaluate(evaluator, expression) == "undefined"


def test_workers_have_no_environment_and_cannot_start_processes_or_open_files(pool: WorkerPool) -> None:
    process = Path(f"/proc/{pool.process_ids[0]}")
    if not process.exists():
        pytest.skip("this platform has no /proc; the workers' limits were not read")
    assert (process / "environ").read_bytes().replace(b"\0", b"") in (b"", b"LC_CTYPE=C.UTF-8")
    last = ("status", "Seccomp:\t2") if os.uname().machine == "x86_64" else ("limits", "Max core file size        0")
    while last[1] not in (process / last[0]).read_text():
        """A spare that is just starting has yet to give up its rights; the test's time limit bounds this."""
    limits = (process / "limits").read_text()
    for line in ("Max processes             0", "Max file size             0", "Max core file size        0"):
        assert line in limits


async def test_executions_at_the_same_time_do_not_see_each_other(evaluator: Evaluator) -> None:
    assert await evaluate(evaluator, "(globalThis.mine = 1)", execution="a") == 1
    assert await evaluate(evaluator, "typeof globalThis.mine", execution="b") == "undefined"
