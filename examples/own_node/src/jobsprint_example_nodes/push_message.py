"""Push a message to a phone, through an ntfy server (https://docs.ntfy.sh/publish/)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from engine.node_api import (
    CredentialName,
    CredentialRef,
    EffectNode,
    HttpRequest,
    Item,
    JsonObject,
    NodeCall,
    Parameters,
    redacted_address,
    send,
    status_error,
)


class PushMessageParameters(Parameters):
    """What to send, and where to."""

    topic: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The phone subscribes to this topic.")
    message: str = Field(min_length=1, max_length=4_000)
    title: str | None = Field(default=None, max_length=250)
    priority: int = Field(default=3, ge=1, le=5, description="5 rings through; 1 makes no sound.")
    server: str = Field(
        default="https://ntfy.sh", pattern=r"^https?://[^/?#]+/?$", description="Address of the server."
    )
    credential: CredentialName | None = Field(
        default=None, description="Name of a credential of kind bearer or basic, for servers that want one."
    )


class PushMessage(EffectNode[PushMessageParameters]):
    """Sends a push message to everybody who subscribes to an ntfy topic; the item gets push: {id, time}."""

    name = "push_message"
    title = "Push message"
    group = "integration"
    keywords = ("ntfy", "notify", "notification", "phone", "alert", "push")
    example: ClassVar[Mapping[str, Any]] = {"topic": "orders", "message": "=Order {{ $json.id }} is paid."}
    parameter_model = PushMessageParameters

    def concurrency(self, parameters: PushMessageParameters) -> int:
        return 4

    def target(self, parameters: PushMessageParameters) -> str:
        return f"POST {redacted_address(parameters.server)}"

    async def run_item(
        self, index: int, item: Item, parameters: PushMessageParameters, call: NodeCall[PushMessageParameters]
    ) -> JsonObject:
        body = parameters.model_dump(include={"topic", "message", "title", "priority"}, exclude_none=True)
        response = await send(
            call,
            HttpRequest(
                method="POST",
                url=parameters.server,
                headers={"content-type": "application/json", "idempotency-key": call.effect_key(index)},
                body=json.dumps(body).encode(),
                credential=CredentialRef(owner=call.owner, name=parameters.credential)
                if parameters.credential
                else None,
            ),
        )
        if response.status >= 400:
            raise status_error(
                response,
                f"The server answered {response.status}: {response.body[:200].decode(errors='replace')}",
                fix="Check the topic, the server's address and the credential.",
            )
        said = json.loads(response.body)
        return {**item.json, "push": {"id": said["id"], "time": said["time"]}}
