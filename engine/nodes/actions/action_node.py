"""The base of nodes that run an action of a connection, with alternatives: other actions, or a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode, SuspendError
from engine.node_api.parameters import Parameters
from engine.node_api.ports import Step
from engine.nodes.actions.action_call import ActionRun, OnDoubt, SettledError, Way
from workflow.actions import ActionError
from workflow.connections import ConnectionNotFoundError
from workflow.credential_forms import NAME
from workflow.definitions.catalogue import ParameterProblem
from workflow.errors import JobsprintError, NodeError
from workflow.items import Item, JsonObject

DONE, CANNOT = "done", "cannot"
MOST_SHOWN_CHARACTERS = 4_000
"""Characters of the arguments in the task for a person."""
CONNECTION = f"^{NAME.pattern}$"


class ManualTask(BaseModel):
    """A task for a person."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = Field(min_length=1, max_length=4_000, description="What is to be done, in words.")
    who: str | None = Field(default=None, max_length=200, description="Who is to do it.")


class Alternative(BaseModel):
    """An alternative: an action of a connection, or a person."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connection: str | None = Field(default=None, pattern=CONNECTION)
    action: str | None = Field(default=None, min_length=1, max_length=200)
    arguments: dict[str, Any] = Field(default_factory=dict)
    instructions: str | None = Field(default=None, max_length=4_000)
    manual: ManualTask | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.manual is None) == (self.connection is None or self.action is None):
            raise ValueError("an alternative is either an action (connection, action) or a person (manual)")
        return self


class ActionParameters(Parameters):
    """The parameters of all such nodes."""

    connection: str = Field(pattern=CONNECTION, description="Name of a connection.")
    timeout_seconds: float = Field(default=30, gt=0, le=3600)
    digest: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{12}$",
        description="Digest of the action's form, from find_actions: if the form changes, the node fails first.",
    )
    on_doubt: OnDoubt = Field(
        default="ask",
        description="If a call that changes something may have happened: ask a person, fail, or repeat and mark it.",
    )
    fallback: list[Alternative] = Field(
        default_factory=list,
        max_length=5,
        description="Alternatives, in order, for when the one before fails.",
    )


P = TypeVar("P", bound=ActionParameters)


class ActionNode(EffectNode[P]):
    """Runs one action per item; gives {result, via}. ``action_name`` and ``arguments_name`` are the names of the
    parameters with the action and its arguments."""

    group = "integration"
    action_name: ClassVar[str] = "action"
    arguments_name: ClassVar[str] = "arguments"

    def way_of(self, parameters: P) -> Way:
        """The first action to try."""
        return Way(
            name="way 0",
            kind=self.name,
            connection=parameters.connection,
            action=getattr(parameters, self.action_name),
            arguments=getattr(parameters, self.arguments_name),
            instructions=getattr(parameters, "instructions", None),
            timeout_seconds=parameters.timeout_seconds,
            digest=parameters.digest,
            on_doubt=parameters.on_doubt,
        )

    def named(self, parameters: Mapping[str, Any]) -> tuple[Any, Any]:
        """The connection and the action in parameters as written."""
        return parameters.get("connection"), parameters.get(self.action_name)

    def target(self, parameters: P) -> str | None:
        return None  # each call is a step with a target of its own

    def outside_source(self, parameters: Mapping[str, Any]) -> str:
        connection, action = self.named(parameters)
        return f"{connection}/{action}"

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        """Also expressions that would choose what is called: with them, data from outside could choose."""
        found = list(super().problems_of(parameters))
        for path, value in _fixed(parameters):
            if is_template(value):
                message = f"{path[-1]} cannot be an expression: data would choose what is called."
                fix = "Write the name; for several, use a node for each behind a switch."
                found.append(ParameterProblem(code="bad_parameter", path=path, message=message, fix=fix))
        return found

    async def foreseen(self, index: int, parameters: P, call: NodeCall[P]) -> JsonObject:
        """Whether the action changes something, and the alternatives."""
        way = self.way_of(parameters)
        action = await call.actions.find(call.owner, way.connection, way.action)
        chain = [
            f"{each.connection}/{each.action}" if each.manual is None else f"a person: {each.manual.task}"
            for each in parameters.fallback
        ]
        return {
            "effect": action.effect,
            **({"effect_note": action.effect_note} if action.effect_note is not None else {}),
            "is_repeatable": action.is_repeatable,
            **({"fallback": chain} if chain else {}),
        }

    async def run_item(self, index: int, item: Item, parameters: P, call: NodeCall[P]) -> JsonObject:
        first = self.way_of(parameters)
        failures: list[JobsprintError] = []
        for place, way in enumerate([first, *(_way(first, each, n) for n, each in enumerate(parameters.fallback, 1))]):
            if place > 0:
                call.actions.note_fallback(call.owner, first.connection, first.action)
            if isinstance(way, ManualTask):
                return _result(await _by_hand(call, index, way, first, place), place)
            try:
                return _result(await ActionRun(call, index, way).result(), place)
            except SettledError as settled:
                return _result(settled.result, place)
            except ConnectionNotFoundError as error:
                failures.append(error)
            except ActionError as error:
                failures.append(error)
                if not _is_closed(error):
                    break
        raise _failure(failures)


def _way(first: Way, other: Alternative, place: int) -> Way | ManualTask:
    if other.manual is not None or other.connection is None or other.action is None:
        if other.manual is None:
            raise TypeError("an alternative without an action has a task for a person")
        return other.manual
    return Way(
        name=f"way {place}",
        kind=first.kind,
        connection=other.connection,
        action=other.action,
        arguments=other.arguments,
        instructions=other.instructions,
        timeout_seconds=first.timeout_seconds,
        digest=None,
        on_doubt=first.on_doubt,
    )


def _is_closed(error: ActionError) -> bool:
    """Whether nothing was done for sure, for a reason that another connection may not have."""
    return not error.may_have_happened and (error.is_unavailable or error.transient)


def _failure(failures: Sequence[JobsprintError]) -> NodeError:
    last = failures[-1]
    message = last.message
    if len(failures) > 1:
        message = " Then: ".join(each.message for each in failures)
    code = last.outbound_code if isinstance(last, ActionError) else last.code
    return NodeError(
        message,
        code=code,
        transient=any(isinstance(each, ActionError) and each.transient for each in failures),
        fix=last.fix,
        retry_after_seconds=last.retry_after_seconds if isinstance(last, ActionError) else None,
    )


def _result(outcome: JsonObject, place: int) -> JsonObject:
    via = {**outcome["via"], **({"fallback": place} if place else {})}
    rest = {name: value for name, value in outcome.items() if name not in ("data", "via")}
    return {"result": outcome["data"], "via": via, **rest}


async def _by_hand(call: NodeCall[Any], index: int, task: ManualTask, first: Way, place: int) -> JsonObject:
    """The answer of the person who does the task.

    Raises:
        SuspendError: there is no answer yet.
        NodeError: the person cannot do it.
    """
    part = f"way {place}"

    async def ask() -> JsonObject:
        waits, resumption = call.suspension(index), call.resumption(index)
        if waits is None or waits.kind != "approval" or waits.details.get("part") != part:
            raise SuspendError("approval", details=_task(call, index, task, first, part))
        if resumption is None:
            raise SuspendError("approval", details=waits.details)
        data = resumption.data if isinstance(resumption.data, dict) else {"choice": resumption.data}
        said = {name: data[name] for name in ("choice", "comment", "result") if data.get(name) is not None}
        return {"data": said, "via": {"manual": task.task}, "by": resumption.by}

    outcome: JsonObject = await call.once(index, Step(name=part, kind="manual"), ask)
    if outcome["data"].get("choice") == CANNOT:
        raise NodeError(
            f"{outcome['by']} could not do it: {outcome['data'].get('comment') or 'they do not say why'}",
            code="manual_refused",
            fix="Read the reason, and remove what prevents it.",
        )
    return outcome


def _task(call: NodeCall[Any], index: int, task: ManualTask, first: Way, part: str) -> JsonObject:
    shown = orjson.dumps(first.arguments, option=orjson.OPT_INDENT_2).decode()[:MOST_SHOWN_CHARACTERS]
    return {
        "question": f"{task.task}\n\nIt was to be done by {first.connection}/{first.action}, with\n{shown}",
        "choices": [DONE, CANNOT],
        **({"who": task.who} if task.who else {}),
        "resume_url": call.resume_url(index),
        "part": part,
        "action": f"{first.connection}/{first.action}",
        "arguments": first.arguments,
    }


def _fixed(parameters: Mapping[str, Any]) -> list[tuple[tuple[str | int, ...], Any]]:
    """Path and value of every parameter that decides what is called."""
    names = ("connection", "action", "tool", "digest", "on_doubt")
    found: list[tuple[tuple[str | int, ...], Any]] = [((name,), parameters.get(name)) for name in names]
    fallback = parameters.get("fallback")
    found.append((("fallback",), fallback if isinstance(fallback, str) else None))
    for place, each in enumerate(fallback if isinstance(fallback, list) else []):
        if isinstance(each, dict):
            found += [(("fallback", place, name), each.get(name)) for name in ("connection", "action")]
    return found
