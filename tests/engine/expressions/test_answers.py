"""Results are bounded before the server reads them, and large ones are parsed without holding others up."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.expressions.answers import AT_ONCE_BYTES, ScriptResult, lines_of
from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import ContextKey, SandboxLimits, WorkerPool
from engine.expressions.worker import has_large_numbers, has_more_values, with_whole_numbers
from tests.support.engine import scope_of
from workflow.errors import ExpressionError

LARGEST_STALL_SECONDS = 0.25
"""Of CPU time: wall time is also that of everything else on the machine."""
KEY = ContextKey("a", "e")


async def results(evaluator: Evaluator, source: str) -> list[Any]:
    """What a program returns for one item."""
    found = await evaluator.run_script(source, scope_of([{"n": 1}]), each=False, execution_id="e")
    return [each.value if isinstance(each, ScriptResult) else each for each in found]


TOO_LARGE = {
    "texts of 40 MB": "return [...Array(40)].map(() => ({ t: 'x'.repeat(1e6) }))",
    "one text of 40 MB": "return [{ t: 'x'.repeat(4e7) }]",
    "many small values": "return [{ l: Array(2500000).fill(1) }]",
    "many empty lists": "const l = []; return [{ l: Array(2500000).fill(l) }]",
}


@pytest.mark.parametrize("source", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_what_is_too_large_does_not_reach_the_server(source: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with WorkerPool(size=1, limits=SandboxLimits(cpu_seconds=5)) as pool:
        with pytest.raises(ExpressionError) as caught:
            await results(Evaluator(pool=pool), source)
    assert caught.value.expression_code == "result_too_large"
    assert caught.value.fix
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10, "in KB"


async def test_a_large_text_with_commas_is_one_value(pool: WorkerPool) -> None:
    ((found),) = await results(Evaluator(pool=pool), "return [{ t: ',[{'.repeat(1e6) }]")
    assert len(found["t"]) == 3_000_000


@pytest.fixture
def collected_as_in_a_server() -> Iterator[None]:
    """The garbage collector leaves alone what was there before, as ``server/commands/cli.py`` has it."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collected_as_in_a_server")
async def test_large_results_are_parsed_while_others_go_on() -> None:
    stalls: list[float] = []

    async def watch() -> None:
        while True:
            started = time.process_time()
            await asyncio.sleep(0)
            stalls.append(time.process_time() - started)

    watching = asyncio.create_task(watch())
    made = await lines_of(b"\n".join([b'[{"a": 1, "b": "some text", "c": [1, 2, 3]}, null]'] * 400_000))
    watching.cancel()
    assert len(made) == 400_000
    assert len(stalls) > 50
    assert max(stalls) < LARGEST_STALL_SECONDS


async def test_lines_are_the_same_in_one_piece_and_in_many() -> None:
    for count in (0, 1, 3, AT_ONCE_BYTES // 8):
        answer = b"\n".join(b'["x",%d]' % number for number in range(count))
        assert await lines_of(answer) == [["x", number] for number in range(count)]


async def test_more_items_than_a_worker_takes_are_an_error_of_the_node(pool: WorkerPool) -> None:
    small = WorkerPool(size=1, limits=SandboxLimits(request_bytes=1_000))
    with pytest.raises(ExpressionError) as caught:
        await small.call("evaluate", KEY, b"x" * 1_001)
    assert caught.value.expression_code == "expression_memory"


def test_counting_values_looks_at_texts_only_where_it_must() -> None:
    assert not has_more_values(b'["a,b,c",1]', 2)
    assert not has_more_values(b'[",[{,[{",1]', 2)
    assert has_more_values(b"[1,2,3]", 2)
    assert not has_more_values(rb'["\",[{,[{\\",1]', 2)


@pytest.mark.parametrize(
    ("text", "large"),
    [
        (b'{"a":9007199254740993}', True),
        (b'{"a":"9007199254740993"}', False),
        (b'{"a":0.30000000000000004}', False),
        (b'{"a":-9007199254740993,"b":1}', True),
        (b'{"a":"\\"9007199254740993"}', False),
        (b'{"a":1.2345678901234567e+25}', False),
        (b"[123456789012345]", False),
    ],
)
def test_large_numbers_are_found_outside_of_texts(text: bytes, large: bool) -> None:
    assert has_large_numbers(text) is large


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        (b"[9007199254740993e0]", b"[9007199254740993]"),
        (b"[1000000000000000000]", b"[1000000000000000000.0]"),
        (b"[-1000000000000000000,9007199254740991]", b"[-1000000000000000000.0,9007199254740991]"),
        (b'["9007199254740993e0",0.12345678901234567]', b'["9007199254740993e0",0.12345678901234567]'),
        (b'{"1000000000000000000":1e21}', b'{"1000000000000000000":1e21}'),
    ],
)
def test_marks_of_exact_numbers_are_taken_away_and_floats_stay_floats(answer: bytes, meant: bytes) -> None:
    assert with_whole_numbers(answer) == meant
