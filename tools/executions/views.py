"""Executions as agents and programs see them: summaries, node runs, and what running one is answered with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import mcp_types as types

from engine.definitions.authoring import Authoring
from engine.executions.reader import ExecutionReader, Inspection
from tools.protocol.budget import fit, shown, shown_and_fit
from tools.protocol.provenance import outside_sources
from tools.protocol.tool import Answer
from workflow.agent_questions import PeopleOnlyError, is_for_people
from workflow.errors import ErrorKind, JobsprintError, NextCall, WorkflowNotFoundError
from workflow.executions import ErrorRecord, Execution, NodeRun, Suspension
from workflow.identity import RUNS, Actor
from workflow.items import JsonObject
from workflow.messages import utc_text
from workflow.redaction import ShownLink
from workflow.states import FINISHED, ExecutionState

OUTPUT_TOKENS = 1_500
"""What an execution's output may take in the answer of execute_workflow; the rest is behind a link."""


LINES_TOKENS = 400
"""What the lines of its nodes may take there."""
META = "dev.jobsprint"
IDS = ("execution_id", "workflow_id", "version", "from_outside")
"""Members of an answer that are for programs where a tool gives its plain result."""
MOST_WAITING = 20
"""Items that wait and are shown; how many there are is said beside them."""
MOST_EFFECTS = 3
"""Of a node that are shown; the others are likely alike."""
TIMERS = frozenset({"timer", "retry", "child"})
"""Kinds of suspensions that nobody answers."""

LINKS = frozenset({"resume_url", "url", "left"})
"""Members of a suspension's details that have links with which it, or what comes after it, can be answered."""


def execution_summary(execution: Execution) -> dict[str, Any]:
    """What every answer about an execution starts with."""
    summary: dict[str, Any] = {
        "execution_id": execution.id,
        "workflow_id": execution.workflow_id,
        "workflow": execution.workflow_name,
        "version": execution.workflow_version,
        "status": execution.state.value,
        "trigger": execution.trigger,
        "created_at": utc_text(execution.created_at),
    }
    if execution.duration_ms is not None:
        summary["duration_ms"] = round(execution.duration_ms, 1)
    if execution.error is not None:
        summary["error"] = execution.error.to_json()
    if execution.notified_at is not None:
        summary["user_notified_at"] = utc_text(execution.notified_at)
    if execution.wake_at is not None:
        summary["waits_until"] = utc_text(execution.wake_at)
    if execution.mode != "live":
        summary["mode"] = execution.mode
    if execution.rerun_of is not None:
        summary["rerun_of"] = execution.rerun_of
    return summary


def overview(inspection: Inspection, actor: Actor) -> dict[str, Any]:
    """A line per node run, what waits, and the output, as the actor may see it."""
    content: dict[str, Any] = {
        **mending(inspection),
        "nodes": [node_run_summary(run) for run in inspection.node_runs],
    }
    if inspection.running:
        content["running"] = list(inspection.running)
    if inspection.retrying:
        content["retrying"] = dict(inspection.retrying)
    if inspection.waiting:
        content["waiting"] = [
            waiting_summary(each, execution_id=inspection.execution.id, with_links=may_answer(actor, each))
            for each in inspection.waiting
        ]
    if inspection.execution.output is not None:
        content["output"] = inspection.execution.output
    return content


def mending(inspection: Inspection) -> dict[str, Any]:
    """Of a failed execution: the later one that succeeded in its place, else those that try to."""
    mended = next((each for each in inspection.reruns if each.state is ExecutionState.SUCCEEDED), None)
    if mended is not None:
        return {"mended_by": mended.execution_id}
    return {"reruns": {each.execution_id: each.state.value for each in inspection.reruns}} if inspection.reruns else {}


def may_answer(actor: Actor, waiting: Suspension) -> bool:
    """Whether the actor may answer what waits, and so have its links."""
    return actor.scopes >= RUNS and (actor.is_person or not is_for_people(waiting))


def waiting_summary(waiting: Suspension, *, execution_id: str, with_links: bool) -> dict[str, Any]:
    """An item that waits: where, for what, and until when; ``with_links`` is for those who :func:`may_answer`."""
    summary: dict[str, Any] = {"node": waiting.key.node, "item_index": waiting.key.item_index, "for": waiting.kind}
    if waiting.wake_at is not None:
        summary["until"] = utc_text(waiting.wake_at)
    for name, value in waiting.details.items():
        if value is None or name == "part" or (name in LINKS and not with_links):
            continue
        if name == "resume_url":
            # A rerun keeps suspensions of the execution that it repeats; their links answer that one.
            if isinstance(value, str) and f"/resume/{execution_id}?" in value:
                summary[name] = ShownLink(value)
        else:
            summary[name] = value
    return summary


def how_to_answer(execution_id: str, waiting: Suspension) -> str:
    """The call that answers a question to the connected assistant, in words that can be copied."""
    details = waiting.details
    data = "<JSON that fits schema>" if details.get("schema") is not None else "<the text>"
    arguments = {
        "execution_id": execution_id,
        "action": "resume",
        "node": waiting.key.node,
        "item": waiting.key.item_index,
        "data": data,
    }
    call = json.dumps(arguments, ensure_ascii=False)
    look = json.dumps({"execution_id": execution_id, "path": "/waiting"}, ensure_ascii=False)
    return (
        f"Node {waiting.key.node} asks you, the connected assistant, as its model. Read what it asks "
        f"(inspect_execution {look}) and answer it yourself: control_execution {call}"
    )


def plain_result(output: JsonObject) -> JsonObject:
    """An execution's output as the result of a tool: the body of its answer, else its one item; several items are in
    ``items``, those of several nodes under the nodes' names."""
    response = output.get("response")
    if isinstance(response, dict) and "body" in response:
        body = response["body"]
        return body if isinstance(body, dict) else {"result": body}
    by_node = output.get("items") or {}
    if len(by_node) != 1:
        return dict(by_node)
    (items,) = by_node.values()
    return items[0] if len(items) == 1 else {"items": items}


def how_to_go_on(execution: Execution, waiting: Sequence[Suspension]) -> str:
    """What lets an execution go on that waits: an answer, for the first item that waits for one; else time alone."""
    for each in waiting:
        if is_for_people(each):
            return PeopleOnlyError(execution.id, each.key.node).fix or ""
        if each.kind in TIMERS:
            continue
        call = {"execution_id": execution.id, "action": "resume", "node": each.key.node, "item": each.key.item_index}
        choices = each.details.get("choices")
        if choices:
            call["data"] = {"choice": choices[0]}
        return f"Once that is decided: control_execution {json.dumps(call, ensure_ascii=False)}"
    at = f" at {utc_text(execution.wake_at)}" if execution.wake_at is not None else ""
    look = json.dumps({"execution_id": execution.id, "wait_seconds": 50})
    return f"It goes on by itself{at}. Wait for it with inspect_execution {look}, or cancel it with control_execution."


def how_to_mend(execution: Execution) -> str:
    """What to do about an execution that has failed or is dead: try again what may pass, else mend and rerun."""
    error = execution.error
    node = error.node if error is not None else None
    if execution.state is ExecutionState.DEAD:
        call = {"execution_id": execution.id, "action": "redrive"}
        return f"When its cause is gone: control_execution {json.dumps(call)}; discard gives it up."
    if error is not None and error.transient:
        call = {"execution_id": execution.id, "action": "retry"}
        return f"This may pass by itself. Try what failed again: control_execution {json.dumps(call)}"
    if node is None:
        return "inspect_execution shows how far it came."
    call = {"execution_id": execution.id, "action": "rerun", "node": node, "version": "current"}
    return (
        f"inspect_execution with node {node!r} shows what it was given. Mend it with update_workflow, then go on from "
        f"there: control_execution {json.dumps(call, ensure_ascii=False)}"
    )


def node_lines(inspection: Inspection) -> dict[str, str]:
    """One line for each node that ran, by its name, in the order of their first run: a loop's 65 runs are one line."""
    runs: dict[str, list[NodeRun]] = {}
    for run in inspection.node_runs:
        runs.setdefault(run.node, []).append(run)
    lines = {}
    for node, those in runs.items():
        items_in, items_out = sum(run.items_in for run in those), sum(run.items_out for run in those)
        parts = [f"{items_in} → {items_out} items", f"{sum(run.duration_ms for run in those):.3g} ms"]
        if len(those) > 1:
            parts.insert(0, f"{len(those)} runs")
        if node in inspection.attempts:
            parts.append(f"{inspection.attempts[node]} attempts")
        if those[-1].status != "succeeded":
            parts.append(those[-1].status)
        execution = inspection.execution
        if execution.rerun_of is not None and those[-1].started_at < execution.created_at:
            parts = [f"kept from the run before: {parts[0]}"]
        lines[node] = ", ".join(parts)
    return lines


def effect_lines(inspection: Inspection) -> dict[str, list[str]]:
    """What was sent outside and how it was answered, by node: the first effects of each."""
    lines: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for effect in inspection.effects:
        node = effect.key.node
        counts[node] = counts.get(node, 0) + 1
        if counts[node] <= MOST_EFFECTS:
            status = (effect.result or {}).get("status")
            came_to = effect.error.code if effect.error is not None else status if isinstance(status, int) else "done"
            lines.setdefault(node, []).append(f"{effect.sent} → {came_to}")
    for node, count in counts.items():
        if count > MOST_EFFECTS:
            lines[node].append(f"… {count - MOST_EFFECTS} more")
    return lines


def node_run_summary(run: NodeRun) -> dict[str, Any]:
    """One node run without its items."""
    summary: dict[str, Any] = {
        "node": run.node,
        "status": run.status,
        "started_at": utc_text(run.started_at),
        "duration_ms": round(run.duration_ms, 2),
        "items_in": run.items_in,
        "items_out": {output: len(items) for output, items in run.outputs.items()},
    }
    if run.run_index:
        summary["run"] = run.run_index
    if run.error is not None:
        summary["error"] = run.error.to_json()
    return summary


def node_run_details(run: NodeRun, every: Any) -> dict[str, Any]:
    """One node run with its items in, found at their sources, and out."""
    by_key = {(each.node, each.run_index): each for each in every}
    inputs = []
    for source in run.sources:
        from_run = by_key.get((source.node, source.run_index)) if source is not None else None
        if source is not None and from_run is not None:
            items = [item.json for item in from_run.outputs.get(source.output, ())]
            inputs.append({"from": f"{source.node}.{source.output}", "items": items})
    details = node_run_summary(run)
    if inputs:
        details["inputs"] = inputs
    details["outputs"] = {output: [item.json for item in items] for output, items in run.outputs.items()}
    return details


def execution_link(execution: Execution, node: str | None = None) -> types.ResourceLink:
    """Where the whole of it can be read."""
    suffix = f"/nodes/{quote(node, safe='')}" if node is not None else ""
    return types.ResourceLink(
        type="resource_link",
        name=f"execution {execution.id}{suffix}",
        uri=f"execution://{execution.id}{suffix}",
        description="The whole of what was cut here.",
        mime_type="application/json",
    )


class WorkflowFailedError(JobsprintError):
    """A workflow that was called as a tool has failed; what it failed with."""

    code = "workflow_failed"
    kind = ErrorKind.INVALID

    def __init__(self, execution_id: str, error: ErrorRecord) -> None:
        where = f"Node {error.node!r} failed: " if error.node is not None else ""
        super().__init__(
            f"{where}{error.message} ({error.code})",
            fix=error.fix,
            next_call=NextCall(
                "inspect_execution",
                {"execution_id": execution_id, **({"node": error.node} if error.node is not None else {})},
            ),
        )


class ExecutionAnswers:
    """What execute_workflow says of executions: a :data:`tools.executions.runs.Form`."""

    def __init__(self, authoring: Authoring, reader: ExecutionReader) -> None:
        self._authoring = authoring
        self._reader = reader

    async def __call__(self, execution: Execution) -> Answer:
        """How it stands, a line for each node, its output, what it waits for in full, and what to do next."""
        inspection = await self._reader.inspect(execution.owner, execution.id)
        content = execution_summary(execution)
        if inspection.waited_ms:
            content["waited_ms"] = round(inspection.waited_ms)
        content["nodes"], _ = fit(shown(node_lines(inspection)), LINES_TOKENS)
        effects = effect_lines(inspection)
        if effects:
            content["effects"], _ = fit(shown(effects), LINES_TOKENS)
        links: tuple[types.ResourceLink, ...] = ()
        whole = execution_link(execution)
        if execution.output is not None:
            content["output"], was_cut = await shown_and_fit(execution.output, OUTPUT_TOKENS)
            if was_cut:
                content["output_is_cut"] = True
                links = (whole,)
            content |= await self._origin(execution)
        if execution.state is ExecutionState.WAITING:
            waiting = inspection.waiting
            asked = next((each for each in waiting if each.kind == "model"), None)
            if asked is not None:
                question = waiting_summary(asked, execution_id=execution.id, with_links=False)
                content["asks"], was_cut = await shown_and_fit(question, OUTPUT_TOKENS)
                links = (whole,) if was_cut else links
                content["next"] = how_to_answer(execution.id, asked)
            else:
                # Links are for those who may answer, and the answer may be read by others.
                first = waiting[:MOST_WAITING]
                all_of_it = [waiting_summary(each, execution_id=execution.id, with_links=False) for each in first]
                content["waiting"], was_cut = fit(shown(all_of_it), OUTPUT_TOKENS)
                if len(waiting) > MOST_WAITING:
                    content["waiting_of"] = len(waiting)
                links = (whole,) if was_cut else links
                content["next"] = how_to_go_on(execution, waiting)
        elif execution.state not in FINISHED | {ExecutionState.DEAD}:
            look = json.dumps({"execution_id": execution.id, "wait_seconds": 50})
            content["next"] = f"It goes on. Wait for its end with inspect_execution {look}"
        elif execution.error is not None:
            content["next"] = how_to_mend(execution)
        return Answer(content, links=links, whole=whole)

    async def plain(self, execution: Execution) -> Answer:
        """The result alone, for a workflow that is a tool: its one item, or its items; ids are in the metadata. Where
        there is no result yet, how it stands.

        Raises:
            WorkflowFailedError: it has failed.
        """
        answer = await self(execution)
        meta = {f"{META}/{name}": answer.content[name] for name in IDS if name in answer.content}
        error = execution.error
        if execution.state in (ExecutionState.FAILED, ExecutionState.DEAD) and error is not None:
            raise WorkflowFailedError(execution.id, error)
        if execution.state is not ExecutionState.SUCCEEDED:
            return answer
        content, was_cut = await shown_and_fit(plain_result(execution.output or {}), OUTPUT_TOKENS)
        return replace(answer, content=content, meta=meta, links=answer.links if was_cut else ())

    async def _origin(self, execution: Execution) -> dict[str, Any]:
        """Through which nodes texts may have come in from outside."""
        try:
            stored = await self._authoring.workflows.get(
                execution.owner, execution.workflow_id, execution.workflow_version
            )
        except WorkflowNotFoundError:
            return {}
        definition = stored.definition
        sources = outside_sources(definition, self._authoring.registry, execution, definition.nodes)
        return {"from_outside": sources} if sources else {}
