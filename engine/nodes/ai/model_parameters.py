"""The parameters of nodes that ask a model, and the messages made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.parameters import Parameters, template_leaves
from workflow.chat import Attachment, Message
from workflow.definitions.catalogue import ParameterProblem
from workflow.errors import InvalidArgumentsError, NodeError
from workflow.fences import NOTE, fenced
from workflow.findings import Finding
from workflow.items import JsonObject
from workflow.schemas.schemas import schema_findings

MAX_INPUT_BYTES = 1_000_000
"""The largest input of a question; more fits no model."""
PAUSES_SECONDS = (60.0, 300.0, 900.0, 3_600.0, 3 * 3_600.0, 6 * 3_600.0)
"""How long an item waits before each further round of attempts when every model is down: ten and a half hours in all,
longer than the outages that providers have had."""
FIELD = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"


class ModelParameters(Parameters):
    """Which models are asked, and how."""

    models: list[str] = Field(
        default_factory=list,
        max_length=10,
        description="provider/model, tried in this order; agent is the connected assistant. Default: the settings'.",
    )
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    model_timeout_seconds: float = Field(default=60, gt=0, le=3600, description="For each attempt.")
    may_cache: bool = Field(default=False, description="The same question may be answered from the cache.")
    queue_when_down: bool = Field(
        default=True, description="When every model is down, try again for hours; false fails the item."
    )
    concurrency: int = Field(default=4, ge=1, le=50, description="Items at work at once.")


class Memory(BaseModel):
    """The conversation that the question is part of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(min_length=1, max_length=200, description="Anything: a user, a thread, a workflow.")
    budget_tokens: int = Field(default=8_000, ge=200, le=1_000_000, description="For everything that the model gets.")


class AttachmentParameters(BaseModel):
    """A file or picture, by its address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(min_length=1, max_length=4_000)
    media_type: str = Field(min_length=3, max_length=100)


class PromptParameters(ModelParameters):
    """The question: prompt, or template with variables. Put data from outside into input."""

    prompt: str | None = Field(default=None, min_length=1, max_length=200_000)
    template: str | None = Field(default=None, min_length=1, max_length=60, description="Name of a prompt template.")
    template_version: int | None = Field(default=None, ge=0)
    variables: dict[str, Any] = Field(default_factory=dict, description="Values of expressions are marked as data.")
    system: str | None = Field(default=None, max_length=200_000)
    input: Any = Field(
        default=None,
        description="The question's data. The model gets it marked as data from outside, not as instructions.",
    )
    memory: Memory | None = None
    attachments: list[AttachmentParameters] = Field(default_factory=list, max_length=20)

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if self.prompt is not None and self.template is not None:
            raise ValueError("give prompt or template, not both")
        return self


class AskingParameters(PromptParameters):
    """Parameters of nodes that need a prompt."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.prompt is None and self.template is None:
            raise ValueError("give prompt or template")
        return self


async def opening(
    call: NodeCall[Any], parameters: PromptParameters, *, prompt: str = "", instructions: str = "", about: Any = None
) -> list[Message]:
    """The first messages to the model: a system message, then the question.

    ``prompt`` is used where the parameters have none, ``about`` where they have no input. ``instructions`` are the
    node type's own, at the end of the system message.

    Raises:
        JobsprintError: the template cannot be rendered.
        NodeError: the input is too large.
        InvalidArgumentsError: the input is nested too deeply.
    """
    attachments = tuple(Attachment(url=each.url, media_type=each.media_type) for each in parameters.attachments)
    if parameters.template is not None:
        rendered = await call.ai.prompts.render(
            call.owner,
            parameters.template,
            parameters.variables,
            version=parameters.template_version,
            outside=_written_by_data(call.raw.get("variables"), parameters.variables),
        )
        messages = [each for each in rendered if each.role != "system"]
        system = [each.content for each in rendered if each.role == "system"]
    else:
        messages = [Message(role="user", content=parameters.prompt or prompt)]
        system = []
    if attachments:
        messages.append(Message(role="user", content="The attached files:", attachments=attachments))
    given = parameters.input if "input" in parameters.model_fields_set else about
    if given is not None:
        messages.append(Message(role="user", content=fenced(_text(given), "input"), is_from_outside=True))
    system += [each for each in (parameters.system, instructions) if each]
    if any(each.is_from_outside for each in messages) and not any(NOTE in each for each in system):
        system.append(NOTE)
    return [*([Message(role="system", content="\n\n".join(system))] if system else []), *messages]


def schema_problems(parameters: Mapping[str, Any], name: str) -> list[ParameterProblem]:
    """The problems of the JSON Schema in this parameter; none while it holds an expression."""
    schema = parameters.get(name)
    if schema is None or template_leaves(schema):
        return []
    return schema_problems_at((name,), schema)


def schema_problems_at(path: tuple[str | int, ...], schema: Any) -> list[ParameterProblem]:
    """The problems of a JSON Schema at ``path``."""
    return [
        ParameterProblem(
            code="bad_schema", path=path, message=f"{each.message} (at {each.pointer or '/'})", fix=each.fix
        )
        for each in schema_findings(schema)
    ]


def mock_of(item: JsonObject, kind: str, **fields: Any) -> JsonObject:
    """The item that an AI node sends on in tests and plans, where no model is asked."""
    return {**item, **fields, "ai": {"model": "mock", "input_tokens": 0, "output_tokens": 0}, "mocked": kind}


def _written_by_data(raw: Any, variables: Mapping[str, Any]) -> Sequence[str]:
    """The variables whose values come from expressions."""
    if is_template(raw) or not isinstance(raw, Mapping):
        return list(variables)
    return [name for name in variables if template_leaves(raw.get(name))]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else _json(value)
    if len(text.encode(errors="replace")) > MAX_INPUT_BYTES:
        raise NodeError(
            f"The input has more than {MAX_INPUT_BYTES:,} bytes.",
            code="model_input_too_large",
            fix="Give the model less: choose fields, or split the text into several items.",
        )
    return text


def _json(value: Any) -> str:
    try:
        try:
            return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        except TypeError as error:
            if "surrogates" not in str(error):
                raise
        # The model gets half of a surrogate pair as a mark.
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (TypeError, ValueError, RecursionError) as error:
        message = "The input is nested too deeply to be shown to a model, or has a number beyond 64 bits."
        found = Finding(code="bad_value", pointer="/input", message=message, fix="Choose the fields that it needs.")
        raise InvalidArgumentsError.of([found]) from error
