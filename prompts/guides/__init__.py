"""The built-in guides, one data file each, and what reads them.

Must not: name a tool, a parameter or a form that is not there; the tests follow what the guides say.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PLACE = re.compile(r"\{\{(?P<name>\w+)(?:\|(?P<default>[^}]*))?\}\}")


@dataclass(slots=True, frozen=True)
class GuideArgument:
    """An argument of a guide."""

    name: str
    description: str
    required: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class Guide:
    """A text for a model, with places for arguments: ``{{name}}``, or ``{{name|what stands there without it}}``."""

    name: str
    title: str
    description: str
    arguments: tuple[GuideArgument, ...]
    template: str

    def render(self, values: Mapping[str, str]) -> str:
        """The text with the values in their places; a value is put in as it is, whatever it looks like."""
        return _PLACE.sub(lambda place: values.get(place["name"]) or place["default"] or "", self.template)


def load_guides() -> list[Guide]:
    """Every guide, by name."""
    return [_load(path) for path in sorted(Path(__file__).parent.glob("*.toml"))]


def _load(path: Path) -> Guide:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return Guide(
        name=path.stem,
        title=data["title"],
        description=data["description"],
        arguments=tuple(GuideArgument(**argument) for argument in data["arguments"]),
        template=data["template"]["text"].strip(),
    )
