"""What nodes that ask a model have in common."""

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
"""The part of the effect that is the one question of a node that asks but one."""


class AiNode(EffectNode[P]):
    """Asks a model for each item."""

    group = "ai"

    def outside_source(self, parameters: Mapping[str, Any]) -> str | None:
        return "a model's answer"

    def concurrency(self, parameters: P) -> int:
        return parameters.concurrency

    def is_repeatable(self, parameters: P) -> bool:
        return True  # asked twice, a model does nothing but cost

    def target(self, parameters: P) -> str | None:
        return target_of(parameters)

    def pauses_seconds(self, parameters: P) -> Sequence[float]:
        return pauses(parameters)

    async def foreseen(self, index: int, parameters: P, call: NodeCall[P]) -> JsonObject:
        """The models in their order and what they would be told, without what is remembered."""
        messages = await self.opening(call.items[index], parameters, call)
        return {
            "models": list(call.ai.models.order(parameters.models)),
            "messages": [message_to_json(each) for each in messages],
        }

    @abstractmethod
    async def opening(self, item: Item, parameters: P, call: NodeCall[P]) -> list[Message]:
        """The question.

        Raises:
            JobsprintError: it cannot be made.
        """

    async def answer(
        self, index: int, item: Item, parameters: P, call: NodeCall[P], *, schema: JsonObject | None = None
    ) -> ChatAnswer:
        """The answer to the one question.

        Raises:
            NodeError: no model gave one.
            SuspendError: the connected assistant is to answer.
        """
        opening = await self.opening(item, parameters, call)
        question: ModelRequest = await question_of(call, parameters, opening, schema=schema)
        has_memory = parameters.memory is not None
        answer = await ask(call, index, question.request, part=ANSWER, is_kept=has_memory)
        await remember(call, index, parameters, question, answer)
        return answer
