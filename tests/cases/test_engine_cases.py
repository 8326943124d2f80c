"""Cases of the engine that public bug reports taught: definition and input in, items out or an error.

One file in ``engine/`` or ``expressions/`` (but the tables of ``test_expressions_and_code``) is one kind of fault:
``kind``, ``why``, ``source`` (the reports), and ``cases``, each with a ``name``, a ``workflow``, an ``input`` and
what is ``expected``:

* ``nodes``: the items of a node (``"check"``: all outputs in one) or of one output (``"check.true"``); an empty list
  also where the node did not run;
* ``output``: what the execution gives its caller;
* ``error``: members of the error that ends it.

``others`` has workflows that the one calls, by their id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import EngineHarness, Finished
from workflow.definitions import graph
from workflow.executions import Execution
from workflow.states import ExecutionState

HERE = Path(__file__).parent
TABLES = {"intl", "local-dates", "offsets"}
KINDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text())
    for folder in ("engine", "expressions")
    for path in sorted((HERE / folder).glob("*.json"))
    if path.stem not in TABLES
}
CASES = [pytest.param(case, id=f"{name}: {case['name']}") for name, kind in KINDS.items() for case in kind["cases"]]


@dataclass(slots=True)
class Children:
    """Runs the other workflows of a case when they are called, each to its end."""

    harness: EngineHarness
    others: Mapping[str, Any]

    async def ensure(self, parent: Execution, key: Any, workflow_id: str, data: Any, **options: Any) -> Execution:
        """The child, ended."""
        done = await self.harness.execute(self.others[workflow_id], data)
        return done.run.execution.changed(
            workflow_id=workflow_id,
            state=done.state,
            error=done.run.error,
            output=done.run.output() if done.state is ExecutionState.SUCCEEDED else None,
        )


def items_of(done: Finished, end: str) -> list[Any]:
    """The items of a node, or of one of its outputs."""
    found = graph.parse_end(end, done.run.compiled.index_by_name)
    assert found is not None, f"there is no node {end!r}"
    return [
        item.json
        for run in done.run.runs.get(found.node, [])
        for output, items in run.outputs.items()
        for item in items
        if found.port in (None, output)
    ]


def exactly(value: Any) -> str:
    """JSON text: unlike Python's equality it tells 1, 1.0 and true apart."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def as_far_as(wanted: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """The item; of its error only the members that the case names, for messages may change."""
    if not (isinstance(wanted.get("error"), dict) and isinstance(item.get("error"), dict)):
        return item
    return {**item, "error": {member: item["error"].get(member) for member in wanted["error"]}}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_says_why_and_has_neighbours(name: str) -> None:
    kind = KINDS[name]
    assert set(kind) == {"kind", "why", "source", "cases"}
    assert len(kind["cases"]) >= 4, "the case itself and three neighbours"


@pytest.mark.parametrize("case", CASES)
async def test_a_case_comes_out_right(harness: EngineHarness, case: dict[str, Any]) -> None:
    harness.children = Children(harness, case.get("others", {}))
    done = await harness.execute(case["workflow"], case["input"])
    expected = case["expected"]
    if "error" in expected:
        assert done.run.error is not None, "it succeeded"
        shown = done.run.error.to_json()
        assert {member: shown.get(member) for member in expected["error"]} == expected["error"]
        assert done.run.error.fix, "an error says what to do"
    else:
        assert done.state is ExecutionState.SUCCEEDED, done.run.error
    for end, items in expected.get("nodes", {}).items():
        found = items_of(done, end)
        assert len(found) == len(items), (end, found)
        found = [as_far_as(wanted, item) for wanted, item in zip(items, found, strict=True)]
        assert exactly(found) == exactly(items), end
    if "output" in expected:
        assert exactly(done.run.output()) == exactly(expected["output"])
