"""A server of models that says what its script tells it to, in OpenAI's and in Anthropic's words.

``serving()`` runs it inside a test; ``python -m tests.doubles.models`` runs it by hand.
"""

from __future__ import annotations

from tests.doubles.models.answers import (
    Answer,
    calling,
    cut_body,
    cut_off,
    cut_stream,
    data,
    embedded,
    empty_choices,
    filtered,
    garbage_in_stream,
    hanging,
    malformed_json,
    refusal,
    said,
    slow,
    status,
)
from tests.doubles.models.server import Asked, ModelsDouble, in_turns, serving

__all__ = [
    "Answer",
    "Asked",
    "ModelsDouble",
    "calling",
    "cut_body",
    "cut_off",
    "cut_stream",
    "data",
    "embedded",
    "empty_choices",
    "filtered",
    "garbage_in_stream",
    "hanging",
    "in_turns",
    "malformed_json",
    "refusal",
    "said",
    "serving",
    "slow",
    "status",
]
