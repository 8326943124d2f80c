"""Executions and journal records as JSON bytes and back."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from workflow.executions import (
    EffectKey,
    EffectResult,
    EffectStart,
    EffectStep,
    EncodedRecord,
    ErrorRecord,
    Execution,
    NodeRun,
    Parent,
    Record,
    Resumption,
    Suspension,
)
from workflow.identity import LOCAL_ACTOR, Initiator
from workflow.items import Item, ItemOrigin, Items, Outputs, Pair, from_item, pairs_of
from workflow.states import ExecutionState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
SLICE_VALUES = 10_000
"""Values of a list that are encoded in one go: some milliseconds where they are small."""
_NOBODY_ELSE = LOCAL_ACTOR.initiator
"""Who started what was stored before revision 0003."""


def micros(moment: datetime | None) -> int | None:
    """Whole microseconds since 1970, the form in which times are stored."""
    # A double holds seconds since 1970 to a quarter of a microsecond until the year 2242, so this is exact.
    return None if moment is None else round(moment.timestamp() * 1_000_000)


def moment(stored: int | None) -> Any:
    """The time of whole microseconds since 1970."""
    return None if stored is None else _EPOCH + stored * _MICROSECOND


def error_to_json(error: ErrorRecord | None) -> dict[str, Any] | None:
    """The failure as it is stored."""
    return error.to_json() if error is not None else None


def error_from_json(stored: dict[str, Any] | None) -> ErrorRecord | None:
    """The failure that was stored."""
    return ErrorRecord(**stored) if stored is not None else None


def execution_to_bytes(execution: Execution) -> bytes:
    """What the row's own columns do not hold."""
    return orjson.dumps(
        {
            "name": execution.workflow_name,
            "version": execution.workflow_version,
            "trigger": execution.trigger,
            "start": execution.start_node,
            "input": execution.input,
            "started": micros(execution.started_at),
            "finished": micros(execution.finished_at),
            "output": execution.output,
            "error": error_to_json(execution.error),
            "mode": execution.mode,
            "pins": execution.pins,
            "priority": execution.priority,
            "parent": [execution.parent.execution_id, *execution.parent.key] if execution.parent else None,
            **({"root": execution.root, "depth": execution.depth} if execution.root is not None else {}),
            "rerun_of": execution.rerun_of,
            "notified": micros(execution.notified_at),
            "by": list(execution.initiator),
            "form": execution.answer_form,
            **({"answer": execution.answer} if execution.answer is not None else {}),
        }
    )


def execution_from_row(row: Any, stored: bytes) -> Execution:
    """The execution of a row; ``stored`` is what :func:`execution_to_bytes` made."""
    data = orjson.loads(stored)
    return Execution(
        id=row.id,
        owner=row.owner,
        workflow_id=row.workflow_id,
        workflow_name=data["name"],
        workflow_version=data["version"],
        state=ExecutionState(row.state),
        trigger=data["trigger"],
        start_node=data["start"],
        input=data["input"],
        created_at=row.created_at,
        initiator=Initiator(*data["by"]) if "by" in data else _NOBODY_ELSE,
        started_at=moment(data["started"]),
        finished_at=moment(data["finished"]),
        output=data["output"],
        error=error_from_json(data["error"]),
        wake_at=row.wake_at,
        mode=data["mode"],
        pins=data["pins"],
        priority=data["priority"],
        parent=Parent(data["parent"][0], EffectKey(*data["parent"][1:])) if data["parent"] else None,
        root=data.get("root"),
        depth=data.get("depth", 0),
        rerun_of=data["rerun_of"],
        notified_at=moment(data["notified"]),
        answer_form=data["form"] if "form" in data else _old_form(data),
        answer=data.get("answer"),
    )


def _old_form(data: dict[str, Any]) -> str | None:
    """Until revision 0003 it was kept with the user who had called."""
    call = data.get("call")
    return str(call[1]) if call else None


def records_to_bytes(records: Sequence[Record | EncodedRecord]) -> bytes:
    """Journal records: a list of lists, each with its kind first, to keep names out of every row."""
    return orjson.dumps([_ENCODERS[type(record)](record) for record in records])


def record_to_bytes(record: Record) -> bytes:
    """One large record, as :func:`records_to_bytes` has it; where that runs in a thread, other threads take turns."""
    if isinstance(record, NodeRun):
        outputs = {output: list(map(_in_slices, _items_to_json(items))) for output, items in record.outputs.items()}
        return orjson.dumps(_run_to_json(record, outputs))
    return orjson.dumps(_ENCODERS[type(record)](record))


def _in_slices(values: Any) -> Any:
    """The list encoded in slices: the interpreter runs nothing else while it encodes one value."""
    if not isinstance(values, list) or len(values) <= SLICE_VALUES:
        return values
    slices = [orjson.dumps(values[start : start + SLICE_VALUES])[1:-1] for start in range(0, len(values), SLICE_VALUES)]
    return orjson.Fragment(b"[" + b",".join(slices) + b"]")


def records_from_bytes(stored: bytes) -> list[Record]:
    """The journal records of one row."""
    return [_DECODERS[kind](*members) for kind, *members in orjson.loads(stored)]


def _run_to_json(run: NodeRun, outputs: dict[str, Any] | None = None) -> list[Any]:
    """``outputs`` are the run's, where they are encoded already."""
    if outputs is None:
        outputs = {output: _items_to_json(items) for output, items in run.outputs.items()}
    return [
        "run",
        run.node,
        run.run_index,
        run.status,
        micros(run.started_at),
        run.duration_ms,
        run.items_in,
        micros(run.logical_time),
        [None if source is None else tuple(source) for source in run.sources],
        outputs,
        error_to_json(run.error),
    ]


def _items_to_json(items: Items) -> list[Any]:
    """``[jsons, pairs]``.

    ``pairs`` is ``None`` where each item is from the one at its place in the first input, and a number where all are
    from that one. Otherwise an item's pairs are ``[input, item]``; one with the first input is its item alone.
    """
    pairs = [item.paired for item in items]
    stored: Any
    # Pairs of the usual kind are the same objects everywhere, so these comparisons are of addresses.
    if all(map(operator.is_, pairs, pairs_of(len(items)))):
        stored = None
    elif all(each is pairs[0] for each in pairs) and _is_plain(pairs[0]):
        stored = pairs[0][0].item
    else:
        stored = [each[0].item if _is_plain(each) else [tuple(pair) for pair in each] for each in pairs]
    return [[item.json for item in items], stored]


def _is_plain(pairs: tuple[Pair, ...]) -> bool:
    return len(pairs) == 1 and pairs[0].input == 0


def _items_from_json(jsons: list[Any], pairs: list[Any] | int | None) -> Items:
    if pairs is None:
        return list(map(Item, jsons, pairs_of(len(jsons))))
    if isinstance(pairs, int):
        return [Item(json, from_item(pairs)) for json in jsons]
    return [Item(json, _pairs_from_json(each)) for json, each in zip(jsons, pairs, strict=True)]


def _pairs_from_json(stored: Any) -> tuple[Pair, ...]:
    return from_item(stored) if isinstance(stored, int) else tuple(Pair(*pair) for pair in stored)


def _run_from_json(
    node: str,
    run_index: int,
    status: Any,
    started: int,
    duration: float,
    items_in: int,
    logical: int,
    sources: Any,
    outputs: Any,
    error: Any,
) -> NodeRun:
    made: Outputs = {output: _items_from_json(*items) for output, items in outputs.items()}
    return NodeRun(
        node=node,
        run_index=run_index,
        status=status,
        started_at=moment(started),
        duration_ms=duration,
        items_in=items_in,
        logical_time=moment(logical),
        sources=tuple(ItemOrigin(*source) if source is not None else None for source in sources),
        outputs=made,
        error=error_from_json(error),
    )


def _effect_to_json(effect: EffectResult) -> list[Any]:
    written = ["effect", *effect.key, micros(effect.at), effect.attempts, effect.result, error_to_json(effect.error)]
    return written if effect.sent is None else [*written, effect.sent]


def _effect_from_json(
    node: str, run_index: int, item_index: int, at: int, attempts: int, result: Any, error: Any, sent: str | None = None
) -> EffectResult:
    key = EffectKey(node, run_index, item_index)
    failed = error_from_json(error)
    return EffectResult(key=key, at=moment(at), attempts=attempts, result=result, error=failed, sent=sent)


def _suspension_to_json(record: Suspension) -> list[Any]:
    return ["suspend", *record.key, micros(record.at), record.kind, micros(record.wake_at), record.details]


def _suspension_from_json(
    node: str, run_index: int, item_index: int, at: int, kind: Any, wake_at: int | None, details: Any
) -> Suspension:
    key = EffectKey(node, run_index, item_index)
    return Suspension(key=key, at=moment(at), kind=kind, wake_at=moment(wake_at), details=details)


def _resumption_to_json(record: Resumption) -> list[Any]:
    who = [list(record.who)] if record.who is not None else []
    return ["resume", *record.key, micros(record.at), record.by, record.data, *who]


def _resumption_from_json(
    node: str, run_index: int, item_index: int, at: int, by: str, data: Any, who: Sequence[str] | None = None
) -> Resumption:
    key = EffectKey(node, run_index, item_index)
    return Resumption(key=key, at=moment(at), by=by, data=data, who=Initiator(*who) if who is not None else None)


def _start_to_json(record: EffectStart) -> list[Any]:
    return ["start", *record.key, micros(record.at)]


def _start_from_json(node: str, run_index: int, item_index: int, at: int) -> EffectStart:
    return EffectStart(key=EffectKey(node, run_index, item_index), at=moment(at))


def _step_to_json(record: EffectStep) -> list[Any]:
    return ["step", *record.key, micros(record.at), record.step, record.result]


def _step_from_json(node: str, run_index: int, item_index: int, at: int, step: str, result: Any) -> EffectStep:
    return EffectStep(key=EffectKey(node, run_index, item_index), at=moment(at), step=step, result=result)


_ENCODERS: dict[type, Callable[[Any], list[Any] | orjson.Fragment]] = {
    NodeRun: _run_to_json,
    EffectResult: _effect_to_json,
    Suspension: _suspension_to_json,
    Resumption: _resumption_to_json,
    EffectStart: _start_to_json,
    EffectStep: _step_to_json,
    EncodedRecord: lambda encoded: orjson.Fragment(encoded.data),
}
_DECODERS: dict[str, Callable[..., Record]] = {
    "run": _run_from_json,
    "effect": _effect_from_json,
    "suspend": _suspension_from_json,
    "resume": _resumption_from_json,
    "start": _start_from_json,
    "step": _step_from_json,
}
