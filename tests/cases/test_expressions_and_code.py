"""Dates, numbers and texts of a zone and language, beside what Node.js and Python give.

In ``expressions/``: ``intl.json`` and ``local-dates.json`` have expressions with what Node.js gives (V8 with CLDR 48),
``offsets.json`` has offsets of time zones as Python's ``zoneinfo`` has them. The other files are cases
(``test_engine_cases``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import WorkerPool
from tests.support.engine import scope_of
from workflow.errors import ExpressionError

FOLDER = Path(__file__).parent / "expressions"
TABLES = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in ("intl", "local-dates", "offsets")}


async def values(pool: WorkerPool, expressions: list[str], *, timezone: str = "UTC") -> list[Any]:
    """The values of expressions, each by itself."""
    evaluator = Evaluator(pool=pool)
    templates = [evaluator.compile("={{ " + each + " }}") for each in expressions]
    (row,) = await evaluator.evaluate(
        templates, scope_of([{}], timezone=timezone), execution_id=f"values in {timezone}"
    )
    assert not isinstance(row, ExpressionError), row.message
    return list(row)


async def test_dates_and_numbers_are_written_as_node_writes_them(pool: WorkerPool) -> None:
    table: list[list[str]] = TABLES["intl"]
    found = await values(pool, [expression for expression, _ in table])
    differences = [(*pair, got) for pair, got in zip(table, found, strict=True) if got != pair[1]]
    assert differences == []


@pytest.mark.parametrize("zone", TABLES["local-dates"])
async def test_local_parts_of_dates_are_those_of_node(pool: WorkerPool, zone: str) -> None:
    table: list[list[Any]] = TABLES["local-dates"][zone]
    found = await values(pool, [expression for expression, _ in table], timezone=zone)
    differences = [(*pair, got) for pair, got in zip(table, found, strict=True) if got != pair[1]]
    assert differences == []


async def test_offsets_of_zones_are_right_from_1900_to_2100(pool: WorkerPool) -> None:
    table: list[list[Any]] = TABLES["offsets"]
    expression = (
        "(list => list.map(([zone, at]) => new Intl.DateTimeFormat('en-GB', {timeZone: zone, year: 'numeric', "
        "month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit'}).format(new Date(at))))"
        f"({json.dumps([[zone, at] for zone, at, _ in table])})"
    )
    (found,) = await values(pool, [expression])
    differences = [(*row, got) for row, got in zip(table, found, strict=True) if got != row[2]]
    assert differences == []
