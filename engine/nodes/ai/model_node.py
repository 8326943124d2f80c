"""The base of nodes that ask a model one question per item."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode
from engine.nodes.ai.model_calls import ModelRequest, ask, pauses, question_of, remember, target_of
from engine.nodes.ai.model_parameters import PromptParameters
from workflow.chat import ChatAnswer, Message
from workflow.items import Item, JsonObject
from workflow.message_forms import message_to_json

P = TypeVar("P", bound=PromptParameters)

ANSWER = "answer"
"""The name of the step in which such a node asks its question."""


class AiNode(EffectNode[P]):
    """Asks a model for each item."""

    group = "ai"

    def outside_source(self, parameters: Mapping[str, Any]) -> str | None:
        return "a model's answer"

    def concurrency(self, parameters: P) -> int:
        return parameters.concurrency

    def is_repeatable(self, parameters: P) -> bool:
        return True  # a second question costs money, and has no other effect

    def target(self, parameters: P) -> str | None:
        return target_of(parameters)

    def pauses_seconds(self, parameters: P) -> Sequence[float]:
        return pauses(parameters)

    async def foreseen(self, index: int, parameters: P, call: NodeCall[P]) -> JsonObject:
        """The models in order, and the messages without those of the conversation."""
        messages = await self.opening(call.items[index], parameters, call)
        return {
            "models": list(call.ai.models.order(parameters.models)),
            "messages": [message_to_json(each) for each in messages],
        }

    @abstractmethod
    async def opening(self, item: Item, parameters: P, call: NodeCall[P]) -> list[Message]:
        """The question's messages.

        Raises:
            JobsprintError: they cannot be made.
        """

    async def answer(
        self, index: int, item: Item, parameters: P, call: NodeCall[P], *, schema: JsonObject | None = None
    ) -> ChatAnswer:
        """Ask the question.

        Raises:
            NodeError: no model gave a usable answer.
            SuspendError: the item waits for the connected assistant.
        """
        opening = await self.opening(item, parameters, call)
        question: ModelRequest = await question_of(call, parameters, opening, schema=schema)
        has_memory = parameters.memory is not None
        answer = await ask(call, index, question.request, part=ANSWER, is_kept=has_memory)
        await remember(call, index, parameters, question, answer)
        return answer
