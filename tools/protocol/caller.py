"""Who calls a tool or gets a prompt, and what can be reported to them and asked of them while the call lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from workflow.identity import Actor
from workflow.items import JsonObject


class ModelMessage(NamedTuple):
    """One message of a question to a model."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(slots=True, frozen=True, kw_only=True)
class ModelPrompt:
    """What the caller's own model is to answer, not the person."""

    system: str
    messages: Sequence[ModelMessage]
    max_tokens: int


@dataclass(slots=True, frozen=True, kw_only=True)
class Elicitation:
    """Something to ask the person behind a caller.

    ``key`` is unique among the questions of the same call. ``form`` is the JSON Schema of the answer: one object
    of plain members. ``url`` is a page to answer on instead, taken where the caller's client can open one. With a
    ``prompt`` it is for the caller's model: the answer is one member, ``text``.
    """

    key: str
    message: str
    form: JsonObject
    url: str | None = None
    prompt: ModelPrompt | None = None


class AnswerComesLaterError(Exception):
    """The call is over for now: its client asks these questions, and makes it again with the answers.

    No failure of a tool, so tools do not catch it.
    """

    def __init__(self, questions: Sequence[Elicitation], *, about: str | None) -> None:
        super().__init__(", ".join(question.key for question in questions))
        self.questions = questions
        self.about = about


class Caller(Protocol):
    """One call's other side. It is the same for tools whatever the protocol's version."""

    @property
    def actor(self) -> Actor:
        """Who it is, and in whose workspace."""
        ...

    @property
    def takes_tasks(self) -> bool:
        """Whether the answer may be a task, to be looked at until it is done."""
        ...

    @property
    def goes_on_with(self) -> str | None:
        """Where the call was broken off to ask something, and is made again with the answer: what was being asked
        ``about``. Nothing of what the first call began may be begun again."""
        ...

    async def report_progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Report how far it is, where the caller has asked for reports."""
        ...

    async def ask(
        self, questions: Sequence[Elicitation], *, about: str | None = None
    ) -> Mapping[str, JsonObject | None]:
        """Have the person answer; at least one question is settled when it returns.

        Returns:
            By key the answer: the form's members, or nothing in them where it was a page, which then has been opened.
            ``None`` where the person would not answer, or cannot be asked at all. A question that is not in it has
            not been put yet.

        Raises:
            AnswerComesLaterError: the call has to be made again with the answers. Let it pass.
        """
        ...
