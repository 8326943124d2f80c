"""A person decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode, Emission, SuspendError
from engine.node_api.parameters import Parameters
from workflow.items import Item, JsonObject

EXPIRED = "expired"
DEFAULT_CHOICES = ("approve", "reject")


class ApprovalParameters(Parameters):
    """The question, the choices, and how long to wait."""

    question: str = Field(min_length=1, max_length=10_000)
    choices: list[str] = Field(
        default=list(DEFAULT_CHOICES), min_length=1, max_length=20, description="Each is an output of its own."
    )
    who: str | None = Field(default=None, max_length=200, description="Who is to decide; shown with the question.")
    expires_seconds: float | None = Field(
        default=None, gt=0, le=366 * 24 * 3600, description="After this the item goes to the output expired."
    )


class Approval(EffectNode[ApprovalParameters]):
    """Waits until a person chooses, and sends the item to the output of the choice.

    The answer comes through control_execution, POST /api/executions/{id}/resume, or the page at
    $execution.resumeUrl. The item then has approval: {choice, comment, by}.
    """

    name = "approval"
    title = "Approval"
    group = "flow"
    keywords = ("human", "confirm", "decide", "review", "ask", "question", "choice")
    example = {"question": "=Refund {{ $json.amount }} € to {{ $json.name }}?", "who": "support lead"}
    is_fork = True
    parameter_model = ApprovalParameters

    def outputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        choices = parameters.get("choices", list(DEFAULT_CHOICES))
        named = [choice for choice in choices if isinstance(choice, str)] if isinstance(choices, list) else []
        return tuple(dict.fromkeys([*named, EXPIRED]))

    def outside_source(self, parameters: Mapping[str, Any]) -> str:
        return "the person who answers the approval"

    def emission(self, result: JsonObject, outputs: Sequence[str]) -> Emission:
        return Emission(result["approval"]["choice"], result)

    def concurrency(self, parameters: ApprovalParameters) -> int:
        return 1_000_000  # items that wait do no work

    async def run_item(
        self, index: int, item: Item, parameters: ApprovalParameters, call: NodeCall[ApprovalParameters]
    ) -> JsonObject:
        resumption = call.resumption(index)
        if resumption is None:
            expires = parameters.expires_seconds
            raise SuspendError(
                "approval",
                wake_at=call.now + timedelta(seconds=expires) if expires is not None else None,
                details={
                    "question": parameters.question,
                    "choices": parameters.choices,
                    **({"who": parameters.who} if parameters.who else {}),
                    "resume_url": call.resume_url(),
                },
            )
        data = resumption.data if isinstance(resumption.data, dict) else {"choice": resumption.data}
        choice = EXPIRED if resumption.by == "timer" else data["choice"]
        return {**item.json, "approval": {"choice": choice, "comment": data.get("comment"), "by": resumption.by}}
