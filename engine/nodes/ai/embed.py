"""Turns texts into vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode, Emission
from engine.node_api.parameters import Parameters
from engine.nodes.ai.model_calls import failed
from engine.nodes.ai.model_parameters import FIELD, PAUSES_SECONDS, mock_of
from workflow.chat import ModelError
from workflow.items import Item, JsonObject

UNNAMED = "default"
"""The model of vectors of which nobody knows who made them. So were all vectors of the settings' model once kept."""


class AiEmbedParameters(Parameters):
    """The text and the model."""

    text: str = Field(min_length=1, max_length=200_000)
    model: str | None = Field(default=None, max_length=200, description="provider/model. Default: the settings'.")
    output: str = Field(default="vector", pattern=FIELD, description="Field of the item that gets the vector.")
    concurrency: int = Field(default=4, ge=1, le=50, description="Items at work at once.")


class AiEmbed(EffectNode[AiEmbedParameters]):
    """Turns a text into a vector, a list of numbers; vectors of texts with similar meaning are near each other.

    To search by meaning, use vector_store, which does this itself.
    """

    name = "ai_embed"
    title = "Embed text"
    group = "ai"
    keywords = ("embedding", "vector", "semantic", "similarity", "rag")
    example = {"text": "={{ $json.body }}"}
    parameter_model = AiEmbedParameters

    def concurrency(self, parameters: AiEmbedParameters) -> int:
        return parameters.concurrency

    def is_repeatable(self, parameters: AiEmbedParameters) -> bool:
        return True

    def target(self, parameters: AiEmbedParameters) -> str:
        return f"model {parameters.model}" if parameters.model else "embedding model of the settings"

    def pauses_seconds(self, parameters: AiEmbedParameters) -> Sequence[float]:
        return PAUSES_SECONDS

    def mock(self, item: JsonObject, parameters: Mapping[str, Any], outputs: Sequence[str]) -> Emission:
        field = str(parameters.get("output", "vector"))
        return Emission(outputs[0], mock_of(item, self.name, **{field: [1.0, 0.0, 0.0]}))

    async def run_item(
        self, index: int, item: Item, parameters: AiEmbedParameters, call: NodeCall[AiEmbedParameters]
    ) -> JsonObject:
        vector, _ = await embedded(call, parameters.text, parameters.model)
        return {**item.json, parameters.output: list(vector)}


async def embedded(call: NodeCall[Any], text: str, model: str | None) -> tuple[Sequence[float], str]:
    """The text's vector, and the name of the model that made it.

    Raises:
        NodeError: no model gave one.
    """
    try:
        vectors = await call.ai.models.embed(call.asker, [text], model=model)
    except ModelError as error:
        raise failed(error) from error
    return vectors[0], _made_by(vectors, model)


async def embedding_model(call: NodeCall[Any], model: str | None) -> str:
    """The name of the model whose vectors are meant: the one that is named, else the settings'."""
    if model is not None:
        return model
    try:
        return _made_by(await call.ai.models.embed(call.asker, []), None)
    except ModelError:  # none is configured: the vectors are made somewhere else
        return UNNAMED


def _made_by(vectors: Sequence[Sequence[float]], model: str | None) -> str:
    # The adapter says it beside the vectors (prompts.models.adapter.Embedded).
    return str(getattr(vectors, "model", None) or model or UNNAMED)
