"""Prompts: texts that a person chooses for their assistant, with arguments that can be completed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import mcp_types as types

from prompts.guides import Guide, load_guides
from tools.protocol.caller import Caller
from tools.protocol.completions import Completer, Completers
from workflow.errors import InvalidArgumentsError
from workflow.findings import did_you_mean, nearest
from workflow.identity import Actor

Writer = Callable[[Mapping[str, str], Actor], Awaitable[types.GetPromptResult]]
"""Makes a prompt's messages from checked arguments, for a user."""


@dataclass(slots=True, frozen=True)
class PromptArgument:
    """A value that a prompt takes, and what completes it as it is typed."""

    name: str
    description: str
    required: bool = False
    completer: Completer | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class Prompt:
    """One prompt. Users' own ones come through a :class:`tools.protocol.offering.OfferSource`."""

    name: str
    title: str
    description: str
    arguments: tuple[PromptArgument, ...]
    write: Writer
    listed: types.Prompt = field(init=False)

    def __post_init__(self) -> None:
        listed = types.Prompt(
            name=self.name,
            title=self.title,
            description=self.description,
            arguments=[
                types.PromptArgument(name=each.name, description=each.description, required=each.required)
                for each in self.arguments
            ],
        )
        object.__setattr__(self, "listed", listed)

    async def get(self, arguments: Mapping[str, str], caller: Caller) -> types.GetPromptResult:
        """The messages.

        Raises:
            InvalidArgumentsError: an argument is missing or unknown.
        """
        known = [each.name for each in self.arguments]
        for name in arguments:
            if name not in known:
                raise InvalidArgumentsError(
                    f"Prompt {self.name!r} has no argument {name!r}.{did_you_mean(nearest(name, known))}",
                    pointer=f"/arguments/{name}",
                    fix=f"Its arguments: {', '.join(known) or 'none'}.",
                )
        missing = [each.name for each in self.arguments if each.required and not arguments.get(each.name)]
        if missing:
            raise InvalidArgumentsError(
                f"Prompt {self.name!r} needs {', '.join(missing)}.",
                pointer=f"/arguments/{missing[0]}",
                fix="Give each of them as text.",
            )
        return await self.write(arguments, caller.actor)

    def completer(self, argument: str) -> Completer | None:
        """What completes the argument.

        Raises:
            InvalidArgumentsError: it has no such argument.
        """
        for each in self.arguments:
            if each.name == argument:
                return each.completer
        raise InvalidArgumentsError(
            f"Prompt {self.name!r} has no argument {argument!r}.",
            pointer="/argument/name",
            fix="prompts/list has its arguments.",
        )


def guide_prompts(completers: Completers) -> list[Prompt]:
    """The built-in guides as prompts."""
    known = {"trigger": completers.triggers, "execution_id": completers.execution_ids}
    return [
        Prompt(
            name=guide.name,
            title=guide.title,
            description=guide.description,
            arguments=tuple(
                PromptArgument(each.name, each.description, each.required, known.get(each.name))
                for each in guide.arguments
            ),
            write=_writer(guide),
        )
        for guide in load_guides()
    ]


def _writer(guide: Guide) -> Writer:
    async def write(arguments: Mapping[str, str], actor: Actor) -> types.GetPromptResult:
        text = types.TextContent(type="text", text=guide.render(arguments))
        return types.GetPromptResult(
            description=guide.description, messages=[types.PromptMessage(role="user", content=text)]
        )

    return write
