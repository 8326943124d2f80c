"""From a template and values to messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import UndefinedError

from prompts.fences import NOTE, has_fence, is_all_fenced
from prompts.sandbox import Sandbox
from prompts.syntax import Outside, analysis, compiled, reached_by
from workflow.chat import Message
from workflow.prompt_templates import PromptRenderError, PromptTemplate

MOST_PARTIALS = 50


@dataclass(slots=True, frozen=True)
class Parts:
    """A template, and the partials that it includes, or they do, by the names that ``include`` has for them."""

    template: PromptTemplate
    partials: Mapping[str, PromptTemplate]

    @property
    def sources(self) -> tuple[str, ...]:
        """Every text of it."""
        return tuple(each.content for part in (self.template, *self.partials.values()) for each in part.messages)

    def defaults(self) -> dict[str, Any]:
        """The default values of the partials' variables."""
        return {
            variable.name: variable.default
            for partial in self.partials.values()
            for variable in partial.variables
            if not variable.required
        }

    def outside(self) -> set[str]:
        """The variables that one of them marks as from outside."""
        every = (self.template, *self.partials.values())
        return {variable.name for part in every for variable in part.variables if variable.is_from_outside}


def rendered(parts: Parts, values: Mapping[str, Any], *, outside: Collection[str] = ()) -> list[Message]:
    """The template's messages with the values filled in; messages that come to nothing are left out.

    ``values`` are checked already; ``outside`` names more variables whose values come from outside. This takes a
    while, at most as :mod:`prompts.meter` says: call it in a thread.

    Raises:
        PromptRenderError: the template fails on the values.
    """
    marked: Outside = tuple((name, name) for name in sorted(parts.outside() | set(outside)))
    reached = reached_by(parts.sources, marked)
    messages: list[Message] = []
    try:
        codes = {name: compiled(partial.messages[0].content, reached) for name, partial in parts.partials.items()}
        sandbox = Sandbox(codes)
        every = {**parts.defaults(), **values}
        for number, message in enumerate(parts.template.messages):
            text = _render(sandbox, compiled(message.content, reached), every, number).strip("\n")
            if text.strip():
                messages.append(
                    Message(role=message.role, content=text, is_from_outside=bool(marked) and is_all_fenced(text))
                )
    except RecursionError as error:
        raise PromptRenderError("The prompt is nested too deeply.", fix="Include less in each other.") from error
    if marked and any(has_fence(each.content) for each in messages):
        return _noted(messages)
    return messages


def _render(sandbox: Sandbox, code: Any, values: Mapping[str, Any], number: int) -> str:
    try:
        return sandbox.render(code, values)
    except PromptRenderError as error:
        raise PromptRenderError(error.message, pointer=f"/messages/{number}/content", fix=error.fix) from error
    # Whatever else a template does to values that they cannot take, Python says in many ways.
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        undefined = next((each for each in (error, error.__cause__) if isinstance(each, UndefinedError)), None)
        raise PromptRenderError(
            f"The prompt cannot be filled in: {str(undefined or error).rstrip('.')}.",
            pointer=f"/messages/{number}/content",
            fix="Ask with `is defined` or |default first, or give a value that has it."
            if undefined is not None
            else "Look at what the message does with these values.",
        ) from error


def _noted(messages: list[Message]) -> list[Message]:
    """The messages with a system message that says what fences are."""
    for place, each in enumerate(messages):
        if each.role == "system" and not each.is_from_outside:
            noted = Message(role="system", content=f"{each.content}\n\n{NOTE}")
            return [*messages[:place], noted, *messages[place + 1 :]]
    return [Message(role="system", content=NOTE), *messages]


def included_by(template: PromptTemplate) -> list[str]:
    """The partials that a template includes itself, as it names them."""
    return list(dict.fromkeys(name for each in template.messages for name in analysis(each.content).includes))
