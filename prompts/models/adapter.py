"""The model adapter, by which nodes reach models: fallback, limits, memory and history together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from prompts.models import structured
from prompts.models.availability import Availability
from prompts.models.catalogue import ModelCatalogue, Target
from prompts.models.failures import TIMEOUT, ProviderError
from prompts.models.fallback import Course, Fallback
from prompts.models.history import History
from prompts.models.limits import Spending
from prompts.models.memory import SingleFlight, content_hash, packed, unpacked
from prompts.models.provider import OnText
from prompts.models.usage import NOTHING, added, usage_of_texts
from prompts.tokens import request_tokens, text_tokens
from prompts.wholeness import MOST_LEVELS, whole_request, whole_text
from workflow.chat import (
    AGENT,
    AgentAnswersError,
    Asker,
    ChatAnswer,
    ChatAttempt,
    ChatRequest,
    ModelError,
    Usage,
)
from workflow.exchanges import OK, AnswerMemory

TEXTS_AT_ONCE = 128
"""Texts of one request for embeddings; OpenAI takes 2,048, servers at home fewer."""
EMBED_TIMEOUT_SECONDS = 60.0

AGENT_ASKED = "agent_asked"
CANCELLED = "cancelled"
"""Outcomes of exchanges that are neither answers nor failures."""


class Embedded(list[Sequence[float]]):
    """Vectors that know which model made them; that of no texts still says which model would be asked."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model


class ModelAdapter:
    """Implements :class:`workflow.chat.Models`. ``monotonic`` gives seconds that never go back."""

    def __init__(
        self,
        *,
        catalogue: ModelCatalogue,
        history: History,
        spending: Spending,
        memory: AnswerMemory,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalogue = catalogue
        self.availability = Availability(monotonic=monotonic)
        self._history = history
        self._spending = spending
        self._memory = memory
        self._monotonic = monotonic
        self._fallback = Fallback(availability=self.availability, monotonic=monotonic)
        self._flights: SingleFlight[ChatAnswer] = SingleFlight()

    async def chat(self, request: ChatRequest, *, on_text: OnText | None = None) -> ChatAnswer:
        """The answer of the first model that gives one; see the port."""
        request = _whole(request)
        order = self.catalogue.order(request.models)
        first = order[0]
        if not request.may_cache or first is None:
            return await self._fresh(request, order, on_text=on_text)
        kept = await self._memory.get(content_hash(request, first.name))
        if kept is not None:
            return await self._again(request, unpacked(kept), on_text)
        names = [AGENT if target is None else target.name for target in order]
        try:
            answer, is_mine = await self._flights.share(
                content_hash(request, *names), lambda: self._fresh(request, order, on_text=on_text)
            )
        except AgentAnswersError as error:
            raise AgentAnswersError(request, error.attempts) from None
        return answer if is_mine else await self._again(request, unpacked(packed(answer)), on_text)

    def order(self, models: Sequence[str]) -> Sequence[str]:
        """The names of the models that would be asked; see the port."""
        return [AGENT if target is None else target.name for target in self.catalogue.order(models)]

    async def answered(self, request: ChatRequest, text: str, *, model: str = AGENT) -> ChatAnswer:
        """What the connected assistant answered, checked and stored; see the port."""
        value = None
        if request.schema is not None:
            try:
                value = structured.read(text, request.schema)
            except structured.UnfitAnswerError as unfit:
                raise ModelError(
                    f"The answer does not fit the schema. {unfit}",
                    code="model_answer_invalid",
                    transient=False,
                    fix="Answer with one JSON value that fits the schema, and with nothing else.",
                ) from unfit
        usage = Usage(
            input_tokens=_tokens(request),
            output_tokens=text_tokens(text),
            is_estimate=True,
            cost_micros=0,
        )
        attempt = ChatAttempt(model=model, outcome=OK, latency_ms=0.0)
        answer = ChatAnswer(model=model, text=text, usage=usage, latency_ms=0.0, data=value, attempts=(attempt,))
        await self._keep(request, answer)
        return answer

    async def embed(self, asker: Asker, texts: Sequence[str], *, model: str | None = None) -> Sequence[Sequence[float]]:
        """A vector for each text, with the name of the model beside them; see the port."""
        target = self.catalogue.embedding_target(model)
        vectors = Embedded(target.name)
        if not texts:
            return vectors
        texts = list(map(whole_text, texts))
        async with self._spending.admitted(asker, lambda: sum(map(text_tokens, texts))):
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                vectors += await self._embedded(asker, target, list(texts[start : start + TEXTS_AT_ONCE]))
        return vectors

    async def _fresh(self, request: ChatRequest, order: list[Target | None], *, on_text: OnText | None) -> ChatAnswer:
        """Ask, and keep in the history how it went."""
        course = Course()
        try:
            answer = await self._within_limits(request, order, course, on_text=on_text)
        except AgentAnswersError:
            if course.attempts:
                await self._note_failed(request, AGENT_ASKED, course)
            raise
        except ModelError as error:
            await self._note_failed(request, error.model_code, course, error)
            raise
        except asyncio.CancelledError:
            if course.usage != NOTHING:
                await self._note_failed(request, CANCELLED, course)
            raise
        await self._keep(request, answer)
        if request.may_cache and answer.attempts[-1].outcome == OK:  # cut off or empty, the next may be better
            await self._memory.put(content_hash(request, answer.model), packed(answer))
        return answer

    async def _within_limits(
        self,
        request: ChatRequest,
        order: list[Target | None],
        course: Course,
        *,
        on_text: OnText | None,
    ) -> ChatAnswer:
        if order[0] is None:
            raise AgentAnswersError(request)
        try:
            async with self._spending.admitted(request.asker, lambda: _tokens(request)):
                return await self._fallback.chat(request, order, course, on_text=on_text)
        except ModelError as error:
            if error.model_code == "model_limit_reached" and None in order:  # the agent costs nothing
                raise AgentAnswersError(request) from error
            raise

    async def _again(self, request: ChatRequest, answer: ChatAnswer, on_text: OnText | None) -> ChatAnswer:
        """An answer that was given before, given once more."""
        if on_text is not None and answer.text and request.schema is None:
            on_text(answer.text)
        await self._keep(request, answer)
        return answer

    async def _keep(self, request: ChatRequest, answer: ChatAnswer) -> None:
        await self._history.answered(request, answer)
        self._spending.note(request.asker, answer.usage)

    async def _note_failed(
        self, request: ChatRequest, outcome: str, course: Course, error: ModelError | None = None
    ) -> None:
        await self._history.failed(request, outcome, attempts=course.attempts, usage=course.usage, error=error)
        self._spending.note(request.asker, course.usage)

    async def _embedded(self, asker: Asker, target: Target, texts: list[str]) -> Sequence[Sequence[float]]:
        started = self._monotonic()
        usage = NOTHING
        try:
            left_alone = self.availability.before(target.name)
            if left_alone is not None:
                raise ModelError(
                    f"{target.name} is left alone for another {left_alone.seconds:.0f} s.",
                    code="model_unavailable",
                    transient=True,
                    fix="Try again later.",
                    retry_after_seconds=left_alone.seconds,
                )
            async with asyncio.timeout(EMBED_TIMEOUT_SECONDS):
                found = await target.provider.embed(target.model, texts, timeout_seconds=EMBED_TIMEOUT_SECONDS)
        except asyncio.CancelledError:
            self.availability.broken_off(target.name)
            raise
        except (ProviderError, TimeoutError) as caught:
            error = caught if isinstance(caught, ProviderError) else ProviderError(TIMEOUT, "it did not answer in time")
            self.availability.failed(target.name, error)
            attempt = self._attempt(target, error.failure.code, started, error.status)
            await self._history.embedded(asker, len(texts), attempt=attempt, usage=usage, message=error.message)
            raise ModelError(
                f"No vectors came. {target.name}: {error.message}.",
                code=error.failure.code,
                transient=error.failure.transient,
                fix=error.failure.fix,
                retry_after_seconds=error.retry_after_seconds,
                attempts=(attempt,),
            ) from error
        self.availability.answered(target.name)
        usage = added(usage, usage_of_texts(target, texts, found.input_tokens))
        attempt = self._attempt(target, OK, started, 200)
        await self._history.embedded(asker, len(texts), attempt=attempt, usage=usage)
        self._spending.note(asker, usage)
        return found.vectors

    def _attempt(self, target: Target, outcome: str, started: float, status: int | None) -> ChatAttempt:
        latency_ms = (self._monotonic() - started) * 1000
        return ChatAttempt(model=target.name, outcome=outcome, latency_ms=latency_ms, status=status)


def _whole(request: ChatRequest) -> ChatRequest:
    """The request as it can be sent and kept.

    Raises:
        ModelError: something in it is nested too deeply, code ``model_rejected``.
    """
    try:
        return whole_request(request)
    except RecursionError as error:
        raise ModelError(
            f"A schema or a tool of the question is nested deeper than {MOST_LEVELS} levels.",
            code="model_rejected",
            transient=False,
            fix="Make it flatter.",
        ) from error


def _tokens(request: ChatRequest) -> int:
    return request_tokens(request.messages, tools=request.tools, schema=request.schema)
