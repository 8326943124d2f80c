"""What rendering a template may cost. Whatever a template says, it ends soon, with text of bounded length."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from workflow.prompt_templates import PromptRenderError

MAX_OUTPUT_CHARACTERS = 1_000_000
"""Of all messages together: a quarter of a million tokens, more than most models take."""
MAX_TEXT_CHARACTERS = 20_000_000
"""Of every text that is made on the way."""
MAX_STEPS = 100_000
"""Passes through loops, and members that filters look at."""
MAX_SECONDS = 2.0
"""How long rendering may take on the clock; a machine under load still fills in a large template in that time."""


class Meter:
    """Counts what one rendering costs, and breaks it off where that is too much."""

    def __init__(self) -> None:
        self._steps = 0
        self._characters = 0
        self._output = 0
        self._until = time.monotonic() + MAX_SECONDS

    def step(self, count: int = 1) -> None:
        """Take so many steps.

        Raises:
            PromptRenderError: they are too many, or it takes too long.
        """
        self._steps += count
        if self._steps > MAX_STEPS:
            raise _too_much(f"takes more than {MAX_STEPS} steps", "Loop over less.")
        if time.monotonic() > self._until:
            raise _too_much(f"takes longer than {MAX_SECONDS:g} s", "Loop over less, or give it less text.")

    def text(self, characters: int) -> None:
        """Make a text of this length on the way; to be called before it is made.

        Raises:
            PromptRenderError: all of them together are too long.
        """
        self.step()
        self._characters += characters
        if self._characters > MAX_TEXT_CHARACTERS:
            raise _too_much(f"makes more than {MAX_TEXT_CHARACTERS} characters", "Join and repeat less.")

    def value(self, value: Any) -> None:
        """Make a list or object on the way, of members that may be large and in it more than once.

        A list that holds another one twice, which holds another one twice, is small in memory and without bounds for
        code that walks through it. So every one that is made is walked through here, as far as the limits allow.

        Raises:
            PromptRenderError: that is too far.
        """
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if isinstance(each, str):
                self.text(len(each))
            elif isinstance(each, Mapping):
                self.step(len(each))
                waiting += [*each.keys(), *each.values()]
            elif isinstance(each, list | tuple):
                self.step(len(each))
                waiting += each

    def output(self, characters: int) -> None:
        """Put a text of this length into a message.

        Raises:
            PromptRenderError: the messages together are too long.
        """
        self._output += characters
        if self._output > MAX_OUTPUT_CHARACTERS:
            raise _too_much(f"is longer than {MAX_OUTPUT_CHARACTERS} characters", "Give it less, or use truncate.")

    def counted(self, values: Iterable[Any]) -> Iterator[Any]:
        """The values, each of which is a step."""
        for value in values:
            self.step()
            yield value


def _too_much(what: str, fix: str) -> PromptRenderError:
    return PromptRenderError(f"The prompt {what}.", fix=fix)
