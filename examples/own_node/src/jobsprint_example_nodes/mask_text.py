"""Hide personal data before a text leaves the house."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.node_api import MAIN, Emission, Item, ItemNode, NodeCall, Parameters, require

Kind = Literal["email", "phone", "card"]

PATTERNS: Mapping[Kind, re.Pattern[str]] = {
    "email": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "card": re.compile(r"\b\d(?:[ -]?\d){12,18}\b"),
    "phone": re.compile(r"(?<!\w)\+?\d(?:[ ()/.-]{0,2}\d){6,14}\b"),
}
"""In the order in which they are looked for: a card's number also has the form of a phone's."""


class MaskTextParameters(Parameters):
    """Where to look, and for what."""

    fields: list[str] = Field(min_length=1, description="Fields of the item that hold text; absent ones are skipped.")
    kinds: list[Kind] = Field(default=["email", "card", "phone"], min_length=1, description="What to mask.")


class MaskText(ItemNode[MaskTextParameters]):
    """Replaces e-mail addresses, card numbers and phone numbers in fields by marks such as [email].

    The item gets masked: how many of each kind were replaced. Put it in front of a node that asks a model.
    """

    name = "mask_text"
    title = "Mask personal data"
    group = "data"
    keywords = ("privacy", "gdpr", "redact", "anonymize", "email", "phone", "card")
    example: ClassVar[Mapping[str, Any]] = {"fields": ["subject", "body"]}
    parameter_model = MaskTextParameters

    def run_item(self, item: Item, parameters: MaskTextParameters, call: NodeCall[MaskTextParameters]) -> Emission:
        json = dict(item.json)  # the item itself must not be changed
        masked: dict[str, int] = {}
        for field in parameters.fields:
            if field not in json:
                continue
            text = json[field]
            require(isinstance(text, str), f"The field {field!r} is not text.", fix="Name fields that hold text.")
            for kind, pattern in PATTERNS.items():
                if kind in parameters.kinds:
                    text, count = pattern.subn(f"[{kind}]", text)
                    masked[kind] = masked.get(kind, 0) + count
            json[field] = text
        return Emission(MAIN, {**json, "masked": masked})
