"""Connectors: APIs described as data, one JSON file each. ``Connector`` says what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from integrations.apis.operations import IDEMPOTENT, READING, HttpOperation
from workflow.actions import Action


class ConnectorAction(BaseModel):
    """An action of a connector: what it takes (``properties`` are JSON Schemas), and the request that it comes to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=2_000)
    operation: HttpOperation
    properties: dict[str, Any] = Field(default_factory=dict)
    required: tuple[str, ...] = ()
    is_idempotent: bool | None = Field(default=None, description="Default: as the method has it.")

    def action(self, connection: str, group: str) -> Action:
        """The action as everybody sees it."""
        method = self.operation.method
        idempotent = method in IDEMPOTENT if self.is_idempotent is None else self.is_idempotent
        schema = {"type": "object", "properties": self.properties, "additionalProperties": False}
        return Action(
            connection=connection,
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema={**schema, "required": list(self.required)} if self.required else schema,
            effect="read" if method in READING else "write",
            is_idempotent=idempotent,
            is_destructive=method == "DELETE",
            group=group,
            details=self.operation.model_dump(mode="json", exclude_defaults=True),
        )


class Connector(BaseModel):
    """An API. ``check`` names an action that takes nothing and shows whether the credential is good."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1, max_length=200)
    url: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    credential: Literal["any", "address"] = Field(default="any", description="address: it says where requests go.")
    check: str | None = None
    actions: tuple[ConnectorAction, ...] = Field(min_length=1, max_length=200)


@cache
def connectors() -> Mapping[str, Connector]:
    """The built-in ones by name."""
    folder = files("integrations.apis.connectors")
    return {
        each.name.removesuffix(".json"): Connector.model_validate_json(each.read_bytes())
        for each in sorted(folder.iterdir(), key=lambda each: each.name)
        if each.name.endswith(".json")
    }
