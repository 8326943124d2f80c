"""A small search by meaning, in Jobsprint's own database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode, Emission
from engine.node_api.parameters import Parameters
from engine.nodes.ai.embed import embedded, embedding_model
from engine.nodes.ai.model_parameters import PAUSES_SECONDS
from workflow.items import Item, JsonObject
from workflow.vectors import MAX_DIMENSIONS, VectorEntry

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A number that is one, not true, a text or nothing."""


class VectorStoreParameters(Parameters):
    """The operation and its collection. Give text, or the vector that ai_embed made of it."""

    operation: Literal["upsert", "query", "delete"]
    collection: str = Field(min_length=1, max_length=200, description="Created by its first entry.")
    id: str | None = Field(default=None, min_length=1, max_length=200, description="upsert and delete: which entry.")
    text: str | None = Field(default=None, min_length=1, max_length=200_000)
    vector: list[Number] | None = Field(default=None, min_length=1, max_length=MAX_DIMENSIONS)
    data: dict[str, Any] = Field(default_factory=dict, description="upsert: JSON that a query returns with the entry.")
    model: str | None = Field(
        default=None, max_length=200, description="provider/model, also of a vector. Default: the settings'."
    )
    limit: int = Field(default=5, ge=1, le=100, description="query: the most matches.")
    min_score: float = Field(default=0, ge=-1, le=1, description="query: 1 is the same direction, 0 unrelated.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.operation != "query" and self.id is None:
            raise ValueError(f"{self.operation} needs an id")
        if self.operation != "delete" and (self.text is None) == (self.vector is None):
            raise ValueError(f"{self.operation} needs either text or vector")
        return self


class VectorStoreNode(EffectNode[VectorStoreParameters]):
    """Stores texts by their meaning and finds those nearest to a question.

    upsert stores an entry, in place of one with the same id; query gives the item matches: [{id, score, data}], nearest
    first; delete deletes an entry. Collections belong to the workspace and hold up to 20,000 entries, whose vectors one
    model made: those of another are refused, in questions too.
    """

    name = "vector_store"
    title = "Vector store"
    group = "ai"
    keywords = ("semantic search", "rag", "embedding", "similarity", "retrieval", "knowledge", "memory")
    example = {"operation": "query", "collection": "handbook", "text": "={{ $json.question }}", "limit": 3}
    parameter_model = VectorStoreParameters

    def outside_source(self, parameters: Mapping[str, Any]) -> str | None:
        return f"collection {parameters.get('collection', '')}" if parameters.get("operation") == "query" else None

    def is_repeatable(self, parameters: VectorStoreParameters) -> bool:
        return True

    def target(self, parameters: VectorStoreParameters) -> str | None:
        if parameters.text is None:
            return None
        return f"model {parameters.model}" if parameters.model else "embedding model of the settings"

    def pauses_seconds(self, parameters: VectorStoreParameters) -> Sequence[float]:
        return PAUSES_SECONDS

    def mock(self, item: JsonObject, parameters: Mapping[str, Any], outputs: Sequence[str]) -> Emission:
        matches: JsonObject = {"matches": []} if parameters.get("operation") == "query" else {}
        return Emission(outputs[0], {**item, **matches, "mocked": self.name})

    async def run_item(
        self, index: int, item: Item, parameters: VectorStoreParameters, call: NodeCall[VectorStoreParameters]
    ) -> JsonObject:
        store, collection = call.ai.vectors, parameters.collection
        if parameters.operation == "delete":
            found = await store.delete(call.owner, collection, parameters.id or "")
            return {**item.json, "deleted": found}
        vector: Sequence[float]
        if parameters.vector is not None:
            vector, model = parameters.vector, await embedding_model(call, parameters.model or None)
        else:
            vector, model = await embedded(call, parameters.text or "", parameters.model or None)
        if parameters.operation == "upsert":
            data = {**parameters.data, **({"text": parameters.text} if parameters.text is not None else {})}
            entry = VectorEntry(id=parameters.id or "", model=model, vector=vector, data=data)
            await store.upsert(call.owner, collection, entry, now=call.now)
            return {**item.json, "stored": parameters.id}
        hits = await store.nearest(
            call.owner,
            collection,
            model=model,
            vector=vector,
            limit=parameters.limit,
            min_score=parameters.min_score,
        )
        return {**item.json, "matches": [{"id": hit.id, "score": hit.score, "data": hit.data} for hit in hits]}
