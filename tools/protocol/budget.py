"""Token budgets: results are cut to what the caller can read, and the cut says what is missing and where it is.

A token is taken as four bytes of JSON, the estimate that the project counts by everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from storage.database.cursors import decode_cursor, encode_cursor, foreign_cursor
from workflow.redaction import may_hold_secrets, redacted
from workflow.schemas.bounds import is_large

BYTES_PER_TOKEN = 4
STRING_MAX_CHARACTERS = 2_000
LIST_BUDGET = 4_000
"""Tokens for one page of a list. A page ends sooner than its limit says where the rest would not fit."""
ROW_TOKENS = 150
"""Tokens for one row of a list; longer descriptions and messages are cut in it."""
ROOM_FOR_CURSOR = 60
"""Tokens left free for the cursor of the next page."""
CUT = "…"
"""The name, or the start of the text, under which a cut says what is gone."""

_TIGHTER = 0.8
_LEAST = 8


def tokens(value: Any) -> int:
    """Estimated tokens of ``value`` as JSON."""
    return tokens_of_bytes(len(orjson.dumps(value)))


def tokens_of_bytes(count: int) -> int:
    """Estimated tokens of this many bytes of JSON."""
    return -(-count // BYTES_PER_TOKEN)


def shown(value: Any) -> Any:
    """``value`` with the secrets in it hidden. It comes before any cut: half a secret, or one without the name that it
    stands under, would not be recognised any more."""
    return redacted(value) if may_hold_secrets(orjson.dumps(value)) else value


async def shown_and_fit(value: Any, budget: int) -> tuple[Any, bool]:
    """What :func:`fit` makes of the value as it is :func:`shown`; a large one is looked at beside the event loop."""

    def work() -> tuple[Any, bool]:
        return fit(shown(value), budget)

    return await asyncio.to_thread(work) if is_large(value) else work()


def fit(value: Any, budget: int) -> tuple[Any, bool]:
    """``value`` cut to ``budget`` tokens, and whether anything was cut.

    Lists lose their tails, long strings their middles; what is gone stands in its place: ``"… 90 more"``, or
    ``{"…": "90 more"}`` in a list of objects. Each member of an object gets its share of what its smaller siblings
    leave. A budget of fewer than a few tokens may be exceeded by the words that say so.
    """
    if tokens(value) <= budget:
        return value, False
    aim = budget
    while True:
        cut = _cut(value, aim)
        if tokens(cut) <= budget or aim <= _LEAST:
            return cut, True
        aim = int(aim * _TIGHTER)


def _cut(value: Any, budget: int) -> Any:
    if tokens(value) <= budget:
        return value
    if isinstance(value, str):
        return _short_string(value, max(20, budget * BYTES_PER_TOKEN))
    if isinstance(value, list):
        return _short_list(value, budget)
    if isinstance(value, dict):
        return _short_object(value, budget)
    return value


def _short_string(text: str, size: int) -> str:
    size = min(size, STRING_MAX_CHARACTERS)
    if len(text) <= size:
        size = max(1, size * len(text) // max(1, len(orjson.dumps(text))))  # many bytes for each character
    head, tail = size * 2 // 3, size // 3
    return f"{text[:head]} … {len(text) - head - tail} more characters … {text[len(text) - tail :]}"


def _short_list(members: list[Any], budget: int) -> list[Any]:
    kept: list[Any] = []
    left = budget - 5
    for member in members:
        cost = tokens(member) + 1
        if cost > left:
            if not kept and left > 10:
                kept.append(_cut(member, left))
            break
        kept.append(member)
        left -= cost
    gone = f"{len(members) - len(kept)} more"
    if len(kept) < len(members):
        kept.append({CUT: gone} if isinstance(members[0], dict) else f"{CUT} {gone}")
    return kept


def _short_object(members: dict[str, Any], budget: int) -> dict[str, Any]:
    costs = {name: tokens(member) for name, member in members.items()}
    left = budget - sum(tokens(name) + 1 for name in members)
    shares: dict[str, int] = {}
    for place, name in enumerate(sorted(members, key=lambda each: costs[each])):
        shares[name] = min(costs[name], max(0, left) // (len(members) - place))
        left -= shares[name]
    if left < 0:  # the names alone are too many
        members = dict(list(members.items())[: max(1, budget // 10)])
    kept: dict[str, Any] = {}
    dropped = len(costs) - len(members)
    for name, member in members.items():
        if shares[name] >= costs[name]:
            kept[name] = member
        elif shares[name] > 5:
            kept[name] = _cut(member, shares[name])
        else:
            dropped += 1
    if dropped:
        kept[CUT] = f"{dropped} more members"
    return kept


@dataclass(slots=True, frozen=True)
class Part:
    """A page of a larger value. ``next_start`` is where the next one begins, ``None`` where this is the last.

    ``is_cut`` says that a member of the page was too large for the whole budget and is cut itself.
    """

    value: Any
    next_start: int | None
    is_cut: bool = False


def part_of(value: Any, start: int, budget: int) -> Part:
    """What of ``value`` fits into ``budget`` tokens from ``start`` on: members of a list or object in their order,
    or characters of a string. There is at least one, cut where it must be. Anything else is its own only page."""
    if isinstance(value, str):
        return _part_of_string(value, start, budget)
    if isinstance(value, list):
        count = fitting(value[start:], budget)
        end = start + max(1, count)
        members = value[start:end] if count else [fit(each, budget)[0] for each in value[start:end]]
        return Part(members, end if end < len(value) else None, not count and start < len(value))
    if isinstance(value, dict):
        pairs = list(value.items())[start:]
        count = fitting(pairs, budget, lambda pair: tokens(pair[0]) + tokens(pair[1]))
        end = start + max(1, count)
        chosen = dict(pairs[: max(1, count)])
        if not count:
            chosen = {name: fit(member, budget - tokens(name) - 2)[0] for name, member in chosen.items()}
        return Part(chosen, end if end < len(value) else None, not count and bool(pairs))
    return Part(value, None)


def fitting(members: Sequence[Any], budget: int, cost_of: Callable[[Any], int] = tokens) -> int:
    """How many of ``members``, from the first on, fit into ``budget`` tokens as one list."""
    left = budget - 1
    for count, member in enumerate(members):
        left -= cost_of(member) + 1
        if left < 0:
            return count
    return len(members)


def _part_of_string(text: str, start: int, budget: int) -> Part:
    size = budget * BYTES_PER_TOKEN
    chosen = text[start : start + size]
    while len(chosen) > 1 and tokens(chosen) > budget:
        chosen = chosen[: len(chosen) * 3 // 4]
    end = start + len(chosen)
    return Part(chosen, end if end < len(text) else None)


def cursor_to(start: int, *view: str) -> str:
    """The cursor of the page of this view that begins at ``start``."""
    return encode_cursor(*view, start)


def start_of(cursor: str | None, *view: str) -> int:
    """Where the page begins that ``cursor`` is of; 0 without one.

    Raises:
        InvalidArgumentsError: it is none of ours, or of another view.
    """
    if cursor is None:
        return 0
    *seen, start = decode_cursor(cursor, *(str for _ in view), int)
    if tuple(seen) != view or start < 0:
        raise foreign_cursor(cursor)
    return int(start)
