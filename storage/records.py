"""Node runs and errors as rows and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from workflow.executions import ErrorRecord, Execution, NodeRun
from workflow.items import Item, Outputs, Pair, Source
from workflow.states import ExecutionState


def error_to_json(error: ErrorRecord | None) -> dict[str, Any] | None:
    """The failure as it is stored."""
    return error.to_json() if error is not None else None


def error_from_json(stored: dict[str, Any] | None) -> ErrorRecord | None:
    """The failure that was stored."""
    return ErrorRecord(**stored) if stored is not None else None


def node_run_to_row(execution_id: str, position: int, run: NodeRun) -> dict[str, Any]:
    """The row of one node run. An item is ``[json, pairs]``, a pair ``[input, item]``."""
    return {
        "execution_id": execution_id,
        "position": position,
        "node": run.node,
        "run_index": run.run_index,
        "status": run.status,
        "started_at": run.started_at,
        "duration_ms": run.duration_ms,
        "items_in": run.items_in,
        "sources": [None if source is None else tuple(source) for source in run.sources],
        "outputs": {
            output: [(item.json, [tuple(pair) for pair in item.paired]) for item in items]
            for output, items in run.outputs.items()
        },
        "error": error_to_json(run.error),
    }


def node_run_from_row(row: Row[Any]) -> NodeRun:
    """The node run of a row."""
    outputs: Outputs = {
        output: [Item(json, tuple(Pair(*pair) for pair in pairs)) for json, pairs in items]
        for output, items in row.outputs.items()
    }
    return NodeRun(
        node=row.node,
        run_index=row.run_index,
        status=row.status,
        started_at=row.started_at,
        duration_ms=row.duration_ms,
        items_in=row.items_in,
        sources=tuple(Source(*source) if source is not None else None for source in row.sources),
        outputs=outputs,
        error=error_from_json(row.error),
    )


def execution_from_row(row: Row[Any]) -> Execution:
    """The execution of a row."""
    return Execution(
        id=row.id,
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        workflow_version=row.workflow_version,
        state=ExecutionState(row.state),
        trigger=row.trigger,
        start_node=row.start_node,
        input=row.input,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        output=row.output,
        error=error_from_json(row.error),
    )
