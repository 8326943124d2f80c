"""A person decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode, Emission, SuspendError
from engine.node_api.parameters import Parameters
from workflow.agent_questions import PEOPLE
from workflow.items import Item, JsonObject
from workflow.messages import utc_text

EXPIRED = "expired"
DEFAULT_CHOICES = ("approve", "reject")


class ApprovalParameters(Parameters):
    """The question, the choices, and how long to wait."""

    question: str = Field(min_length=1, max_length=10_000)
    choices: list[str] = Field(
        default=list(DEFAULT_CHOICES), min_length=1, max_length=20, description="Each is an output of its own."
    )
    who: str | None = Field(default=None, max_length=200, description="Who is to decide; shown with the question.")
    approvers: Literal["anyone", "people"] = Field(
        default="anyone",
        description="people: only a person can answer, logged in or on the signed page; no tool, API key or client.",
    )
    expires_seconds: float | None = Field(
        default=None, gt=0, le=366 * 24 * 3600, description="After this the item goes to the output expired."
    )


class Approval(EffectNode[ApprovalParameters]):
    """Waits until a person chooses, and sends the item to the output of the choice.

    The answer comes through control_execution, POST /api/executions/{id}/resume, the page /resume/{id} for people who
    log in, or a signed page, whose link is in waiting (inspect_execution); $execution.resumeUrl in a node before this
    one is a link to it, too. Each link is good for one answer. The assistant that runs the workflow can also answer,
    unless approvers is people. The item then has approval: {choice, comment, by, who, client, asked_at, answered_at};
    by says through what the answer came: agent (a tool), person (a form), rest, link (the page), timer.
    """

    name = "approval"
    title = "Approval"
    group = "flow"
    keywords = ("human", "confirm", "decide", "review", "ask", "question", "choice")
    example = {"question": "=Refund {{ $json.amount }} € to {{ $json.name }}?", "who": "support lead"}
    is_fork = True
    unfit_for_try = "it waits for somebody, and a try ends with the call"
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
                    **({"approvers": parameters.approvers} if parameters.approvers == PEOPLE else {}),
                    "resume_url": call.resume_url(index),
                },
            )
        data = resumption.data if isinstance(resumption.data, dict) else {"choice": resumption.data}
        choice = EXPIRED if resumption.by == "timer" else data["choice"]
        asked = call.suspension(index)
        answer = {
            "choice": choice,
            "comment": data.get("comment"),
            "by": resumption.by,
            **({"who": resumption.who.user_id, "client": resumption.who.client} if resumption.who is not None else {}),
            **({"asked_at": utc_text(asked.at)} if asked is not None else {}),
            "answered_at": utc_text(resumption.at),
        }
        return {**item.json, "approval": answer}
