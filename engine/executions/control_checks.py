"""What may be done to an execution, and what is said where it may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.definitions.compiled import CompiledWorkflow
from workflow.agent_questions import PeopleOnlyError, is_for_people, read_answer
from workflow.definitions import graph
from workflow.errors import IllegalTransitionError, InvalidArgumentsError, NextCall, NodeNotFoundError, NotWaitingError
from workflow.executions import Execution, Suspension
from workflow.findings import did_you_mean, listed, nearest
from workflow.identity import Actor
from workflow.states import ExecutionEvent


def moved(execution: Execution, event: ExecutionEvent, **members: Any) -> Execution:
    """The execution moved as a caller wishes, with an error that helps the caller where that is impossible.

    Raises:
        IllegalTransitionError: it cannot happen to this execution as it is.
    """
    try:
        return execution.moved(event, **members)
    except IllegalTransitionError as error:
        raise IllegalTransitionError(
            error.message, pointer="/action", fix=error.fix, next_call=look_at(execution.id)
        ) from None


def look_at(execution_id: str) -> NextCall:
    """The call that shows an execution."""
    return NextCall("inspect_execution", {"execution_id": execution_id})


def no_such_node(execution_id: str, name: str, compiled: CompiledWorkflow) -> NodeNotFoundError:
    """A node was named that the plan has not."""
    near = nearest(name, compiled.index_by_name)
    again = {"execution_id": execution_id, "action": "rerun", "node": near}
    return NodeNotFoundError(
        f"The workflow has no node {name!r}.{did_you_mean(near)}",
        pointer="/node",
        fix=f"Its nodes are: {listed(compiled.index_by_name)}.",
        next_call=NextCall("control_execution", again) if near else look_at(execution_id),
    )


def upstream(compiled: CompiledWorkflow, from_node: str) -> set[str]:
    """The nodes that neither are ``from_node`` nor lie behind it."""
    edges = [
        graph.Edge(compiled.nodes[edge.source].name, "", compiled.nodes[edge.target].name, "")
        for edge in compiled.edges
    ]
    return set(compiled.index_by_name) - graph.reachable([from_node], graph.successors(edges)) - {from_node}


def check_answerer(actor: Actor, execution_id: str, waiting: Suspension) -> None:
    """Check that the actor may answer: what people are asked is not answered by programs that act for them.

    Raises:
        PeopleOnlyError: they may not.
    """
    if is_for_people(waiting) and not actor.is_person:
        raise PeopleOnlyError(execution_id, waiting.key.node)


def check_answer(execution_id: str, waiting: Suspension, data: Any) -> None:
    """Hold an answer against what was asked.

    Raises:
        InvalidArgumentsError: it does not answer that.
    """
    if waiting.kind == "model":
        read_answer(waiting.details, data)
    choices = waiting.details.get("choices")
    if waiting.kind != "approval" or not choices:
        return
    answer = data.get("choice") if isinstance(data, dict) else data
    if answer not in choices:
        near = nearest(str(answer), choices)
        right = {"execution_id": execution_id, "action": "resume", "node": waiting.key.node, "data": {"choice": near}}
        raise InvalidArgumentsError(
            f"{answer!r:.60} is none of the choices.{did_you_mean(near)}",
            pointer="/data/choice" if isinstance(data, dict) else "/data",
            fix=f'Answer {{"choice": …}} with one of: {listed(choices)}.',
            next_call=NextCall("control_execution", right) if near else look_at(execution_id),
        )


def the_one_meant(
    execution: Execution, waiting: Sequence[Suspension], *, node: str | None, item: int | None, kinds: Sequence[str]
) -> Suspension:
    """The one suspension that fits a node, an item and kinds, each of which may be left out.

    Raises:
        NotWaitingError: none fits.
        InvalidArgumentsError: several do.
    """
    found = [
        each
        for each in waiting
        if node in (None, each.key.node) and item in (None, each.key.item_index) and (not kinds or each.kind in kinds)
    ]
    if not found:
        raise NotWaitingError(execution.id, execution.state)
    if len(found) > 1:
        places = ", ".join(f"{each.key.node}[{each.key.item_index}]" for each in found[:20])
        raise InvalidArgumentsError(
            f"{len(found)} items wait: {places}.",
            pointer="/node" if node is None else "/item",
            fix="Name the node that you mean, and the number of the item.",
            next_call=look_at(execution.id),
        )
    return found[0]
