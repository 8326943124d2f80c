"""An execution comes to a new state through ``Execution.moved`` alone: the table of states is all that can happen. A
schedule does by its own three methods."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("workflow", "engine", "prompts", "integrations", "storage", "tools", "server")
THE_DOOR = "workflow/executions.py"
THE_DOOR_OF_SCHEDULES = "workflow/schedules/schedules.py"
MAKERS = {
    "engine/executions/intake.py",
    "engine/executions/tries.py",
    "engine/runs/dry_run.py",
    "storage/executions/reading.py",
    "storage/executions/records.py",
}
"""Those that make executions: a new one, two that are never stored, what is left of a lost one, one as it is stored."""
WRITERS = {"storage/executions/leases.py"}
"""It writes a state in SQL, which it takes from the table."""


def moves_beside_the_door(source: str) -> Iterator[int]:
    """Lines that give an execution another state, other than by its method ``moved``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and name_of(node.func) in ("changed", "replace", "values"):
            if any(keyword.arg == "state" for keyword in node.keywords):
                yield node.lineno
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(is_state_of_an_execution(target) for target in targets):
                yield node.lineno


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_state_of_an_execution(target: ast.expr) -> bool:
    return isinstance(target, ast.Attribute) and target.attr == "state" and "execution" in ast.unparse(target.value)


def modules() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


def test_no_state_changes_beside_the_table() -> None:
    beside = [f"{path}:{line}" for path, source in modules() for line in moves_beside_the_door(source)]
    assert [each for each in beside if each.partition(":")[0] not in (THE_DOOR, THE_DOOR_OF_SCHEDULES, *WRITERS)] == []


def test_a_state_in_sql_is_one_that_the_table_leads_to() -> None:
    for path in WRITERS:
        tree = ast.parse((ROOT / path).read_text())
        written = {
            ast.unparse(keyword.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and name_of(node.func) == "values"
            for keyword in node.keywords
            if keyword.arg == "state"
        }
        from_table = {
            ast.unparse(node.targets[0])
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("next_state(")
        }
        assert written
        assert written <= from_table


def test_few_modules_make_executions() -> None:
    makers = {
        path
        for path, source in modules()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and name_of(node.func) == "Execution"
    }
    assert makers == MAKERS


@pytest.mark.parametrize(
    "source",
    [
        "execution.changed(state=ExecutionState.QUEUED)",
        "dataclasses.replace(execution, state=other)",
        "local.execution.state = ExecutionState.FAILED",
        "update(executions).values(state='running')",
    ],
)
def test_the_test_sees_each_way_around_the_door(source: str) -> None:
    assert list(moves_beside_the_door(source)) == [1]
