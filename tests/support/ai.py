"""Models and memory for the engine alone: what is asked is noted, and answered as the test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflow.chat import AGENT, AgentAnswersError, Asker, ChatAnswer, ChatRequest, Message, ModelError, ToolCall, Usage
from workflow.conversations import Window
from workflow.schemas.schemas import InputSchema

Said = str | dict[str, Any] | list[tuple[str, Any]] | Exception
"""A text, data, wishes for tools (name and arguments), or a failure."""


@dataclass(slots=True, kw_only=True)
class ScriptedModels:
    """Implements :class:`workflow.chat.Models`: says what its script says, one after the other, the last for good.

    Without a script it is the calling agent's turn. ``decide`` is asked before the script.
    """

    script: list[Said] = field(default_factory=list)
    decide: Callable[[ChatRequest], Said | None] | None = None
    asked: list[ChatRequest] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    streamed: int = 0

    async def chat(self, request: ChatRequest, *, on_text: Any = None) -> ChatAnswer:
        """What comes next."""
        self.asked.append(request)
        said = self.decide(request) if self.decide is not None else None
        if said is None:
            if not self.script:
                raise AgentAnswersError(request)
            said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, Exception):
            raise said
        answer = answer_of(said, len(self.asked))
        if on_text is not None:
            self.streamed += 1
            for word in answer.text.split(" "):
                on_text(f"{word} ")
        return answer

    def order(self, models: Sequence[str]) -> Sequence[str]:
        """As they come."""
        return list(models) or [AGENT]

    async def answered(self, request: ChatRequest, text: str, *, model: str = AGENT) -> ChatAnswer:
        """The answer, checked and noted."""
        value = json.loads(text) if request.schema is not None else None
        if request.schema is not None and InputSchema(request.schema).findings(value):
            raise ModelError("It does not fit.", code="model_answer_invalid", transient=False, fix="Answer again.")
        self.taken.append(text)
        return ChatAnswer(
            model=model, text=text, data=value, usage=Usage(input_tokens=1, output_tokens=1), latency_ms=0
        )

    async def embed(self, asker: Asker, texts: Sequence[str], *, model: str | None = None) -> Sequence[Sequence[float]]:
        """Counts of the vowels."""
        return [[float(1 + text.count(vowel)) for vowel in "aeiou"] for text in texts]


def answer_of(said: str | dict[str, Any] | list[tuple[str, Any]], number: int) -> ChatAnswer:
    """What was said as an answer."""
    wishes = said if isinstance(said, list) else []
    return ChatAnswer(
        model="scripted/model",
        text=said if isinstance(said, str) else json.dumps(said) if isinstance(said, dict) else "",
        data=said if isinstance(said, dict) else None,
        usage=Usage(input_tokens=10, output_tokens=5),
        latency_ms=1.0,
        tool_calls=tuple(
            ToolCall(id=f"c{number}-{place}", name=name, arguments=arguments)
            for place, (name, arguments) in enumerate(wishes)
        ),
    )


@dataclass(slots=True, kw_only=True)
class KeptConversations:
    """Implements :class:`workflow.conversations.Conversations` in memory, with a window of everything."""

    said: dict[str, list[Message]] = field(default_factory=dict)
    effects: set[str] = field(default_factory=set)

    async def window(self, owner: str, key: str, **options: Any) -> Window:
        """All of it."""
        messages = tuple(self.said.get(key, ()))
        return Window(messages=messages, tokens=len(messages), left_out=0, is_estimate=True)

    async def note(
        self, owner: str, key: str, messages: Sequence[Message], *, effect: str | None = None, **options: Any
    ) -> None:
        """Add messages, of one effect once."""
        if effect is None or effect not in self.effects:
            self.effects.add(effect or "")
            self.said.setdefault(key, []).extend(messages)
