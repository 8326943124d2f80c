"""Many executions in few words: counted, their errors grouped, their times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.protocol.budget import fit
from workflow.execution_figures import ExecutionFigures
from workflow.executions import Execution
from workflow.messages import utc_text
from workflow.states import ExecutionState

MOST_WORKFLOWS = 8
MOST_LISTED = 3
ERROR_TOKENS = 30
SUMMARY_TOKENS = 300


def figures_content(figures: ExecutionFigures) -> dict[str, Any]:
    """The figures in at most 300 tokens, for any number of executions."""
    names = {each.workflow_id: each.workflow_name for each in figures.newest}
    by_workflow: dict[str, dict[str, int]] = {}
    totals: dict[str, int] = {}
    for (workflow_id, state), count in figures.counts.items():
        by_workflow.setdefault(names.get(workflow_id, workflow_id), {}).setdefault(state, 0)
        by_workflow[names.get(workflow_id, workflow_id)][state] += count
        totals[state] = totals.get(state, 0) + count
    most = sorted(by_workflow.items(), key=lambda pair: -sum(pair[1].values()))
    content: dict[str, Any] = {"total": sum(totals.values()), "by_status": totals}
    if figures.newest:
        newest = figures.newest[0]
        content["newest"] = {"status": newest.state.value, "created_at": utc_text(newest.created_at)}
    if len(most) > 1:
        content["by_workflow"] = dict(most[:MOST_WORKFLOWS])
        if len(most) > MOST_WORKFLOWS:
            content["other_workflows"] = len(most) - MOST_WORKFLOWS
    content |= _times(figures.newest)
    if figures.errors:
        content["errors"] = [
            {"count": count, **_example(figures.newest, text), "message": fit(text, ERROR_TOKENS)[0]}
            for text, count in figures.errors
        ]
    still = _open_failures(figures.newest)
    if still:
        content["open_failures"] = {"count": len(still), "newest": [each.id for each in still[:MOST_LISTED]]}
    return dict(fit(content, SUMMARY_TOKENS)[0])


def _example(newest: Sequence[Execution], message: str) -> Mapping[str, Any]:
    """The node that failed so last, and the execution; nothing where none of the newest did."""
    for each in newest:
        if each.error is not None and each.error.message == message:
            return {"execution_id": each.id, **({"node": each.error.node} if each.error.node else {})}
    return {}


def _times(newest: Sequence[Execution]) -> Mapping[str, Any]:
    """Of those of the newest that succeeded (where none did, that have ended): half and nineteen in twenty take no
    longer than this, and the slowest. Failures are often quick, and would make the others look quicker than they are.
    """
    ended = [each for each in newest if each.duration_ms is not None]
    ended = [each for each in ended if each.state is ExecutionState.SUCCEEDED] or ended
    if not ended:
        return {}
    ended.sort(key=lambda each: each.duration_ms or 0.0)
    slowest = ended[-1]
    return {
        "duration_ms": {
            "p50": _rounded(ended[(len(ended) - 1) // 2]),
            "p95": _rounded(ended[(len(ended) - 1) * 95 // 100]),
            "of_newest": len(ended),
        },
        "slowest": {"execution_id": slowest.id, "duration_ms": _rounded(slowest)},
    }


def _rounded(execution: Execution) -> float:
    return round(execution.duration_ms or 0.0, 1)


def _open_failures(newest: Sequence[Execution]) -> list[Execution]:
    """The failed and dead ones that no later run has mended."""
    mended = {each.rerun_of for each in newest if each.state is ExecutionState.SUCCEEDED}
    has_failed = (ExecutionState.FAILED, ExecutionState.DEAD)
    return [each for each in newest if each.state in has_failed and each.id not in mended]
