"""Answers the webhook request."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from engine.node_api.node_call import NodeCall, WebhookResponse
from engine.node_api.node_type import BatchNode, paired
from engine.node_api.parameters import Parameters
from workflow.definitions.catalogue import MAIN
from workflow.http.headers import TRANSPORT_HEADERS
from workflow.items import Outputs

MAX_HEADERS = 50
MAX_HEADER_BYTES = 8_000

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
"""RFC 9110, 5.6.2."""
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110, 5.5: no control characters. A line break would let the value start another header."""
_SERVERS_OWN = TRANSPORT_HEADERS | frozenset(
    {
        "content-encoding",
        "date",
        # Headers that apply to the server's whole origin, not to one workflow.
        "access-control-allow-credentials",
        "alt-svc",
        "clear-site-data",
        "public-key-pins",
        "service-worker-allowed",
        "set-cookie",
        "strict-transport-security",
    }
)


class RespondParameters(Parameters):
    """Status, headers and body."""

    status: int = Field(default=200, ge=200, le=599)
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = Field(
        default=None, description="JSON, or text; without it the first item. With status 204, 205 and 304 none is sent."
    )
    all_items: bool = Field(default=False, description="Without a body: answer a list of all items.")

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        if len(headers) > MAX_HEADERS:
            raise ValueError(f"there are more than {MAX_HEADERS} headers")
        for name, value in headers.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r:.100} is not the name of a header")
            if name.lower() in _SERVERS_OWN:
                raise ValueError(f"the header {name} is the server's own: a workflow cannot set it")
            if not _VALUE.fullmatch(value):
                raise ValueError(f"the header {name} holds a line break or another character that headers cannot have")
            if len(value) > MAX_HEADER_BYTES:
                raise ValueError(f"the header {name} is longer than {MAX_HEADER_BYTES} bytes")
        return headers


class Respond(BatchNode[RespondParameters]):
    """Answers the request that started the execution; the workflow then goes on.

    Only the first respond node that runs answers. Started by hand, its answer is the execution's output.
    """

    name = "respond"
    title = "Respond"
    group = "flow"
    keywords = ("webhook", "answer", "reply", "return", "response")
    example = {"status": 201, "body": {"id": "={{ $json.id }}"}}
    parameter_model = RespondParameters

    def run(self, call: NodeCall[RespondParameters]) -> Outputs:
        parameters = call.common
        body = parameters.body
        if "body" not in parameters.model_fields_set:
            jsons = [item.json for item in call.items]
            body = jsons if parameters.all_items else jsons[0]
        call.respond(WebhookResponse(status=parameters.status, headers=parameters.headers, body=body))
        return {MAIN: paired([item.json for item in call.items], range(len(call.items)))}
