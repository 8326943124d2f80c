"""Fences around text that comes from outside, found again in what was rendered; :mod:`workflow.fences` makes them."""

from __future__ import annotations

import re

from workflow.fences import DIGITS as DIGITS
from workflow.fences import NOTE as NOTE
from workflow.fences import fenced as fenced

_FENCED = re.compile(
    rf"\s*<data id=\"(?P<id>[0-9a-f]{{{DIGITS}}})\" from=\"[^\"\n]*\">\n.*?\n</data id=\"(?P=id)\">\s*", re.DOTALL
)
_END = re.compile(rf"</data id=\"[0-9a-f]{{{DIGITS}}}\">\Z")
_ANY = re.compile(rf"^<data id=\"[0-9a-f]{{{DIGITS}}}\" from=\"", re.MULTILINE)


def is_all_fenced(text: str) -> bool:
    """Whether a message is one fenced text and nothing else."""
    return _FENCED.fullmatch(text) is not None


def has_fence(text: str) -> bool:
    """Whether there is a fence in a message."""
    return _ANY.search(text) is not None


def ends_fence(text: str) -> bool:
    """Whether the line that ends a fence is the last of a text."""
    return _END.search(text, max(0, len(text) - 50)) is not None
