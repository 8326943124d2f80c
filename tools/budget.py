"""Token budgets: results are cut to what the caller can read, and the cut says what is missing and where it is.

A token is taken as four bytes of JSON, the estimate that the project counts by everywhere.
"""

from __future__ import annotations

from typing import Any

import orjson

BYTES_PER_TOKEN = 4
STRING_MAX_CHARACTERS = 2_000


def tokens(value: Any) -> int:
    """Estimated tokens of ``value`` as JSON."""
    return -(-len(orjson.dumps(value)) // BYTES_PER_TOKEN)


def fit(value: Any, budget: int) -> tuple[Any, bool]:
    """``value`` cut to about ``budget`` tokens, and whether anything was cut.

    Lists lose their tails, long strings their middles; what is gone is told in place: ``"… 90 more"``.
    Each member of an object gets its share of what its smaller siblings leave.
    """
    if tokens(value) <= budget:
        return value, False
    if isinstance(value, str):
        return _short_string(value, max(20, budget * BYTES_PER_TOKEN)), True
    if isinstance(value, list):
        return _short_list(value, budget), True
    if isinstance(value, dict):
        return _short_object(value, budget), True
    return value, False


def _short_string(text: str, size: int) -> str:
    size = min(size, STRING_MAX_CHARACTERS)
    if len(text) <= size:
        return text
    head, tail = size * 2 // 3, size // 3
    return f"{text[:head]} … {len(text) - head - tail} more characters … {text[-tail:]}"


def _short_list(members: list[Any], budget: int) -> list[Any]:
    kept: list[Any] = []
    left = budget - 5
    for member in members:
        cost = tokens(member)
        if cost > left:
            if not kept and left > 10:
                kept.append(fit(member, left)[0])
            break
        kept.append(member)
        left -= cost
    if len(kept) < len(members):
        kept.append(f"… {len(members) - len(kept)} more")
    return kept


def _short_object(members: dict[str, Any], budget: int) -> dict[str, Any]:
    costs = {name: tokens(member) for name, member in members.items()}
    left = budget - sum(tokens(name) + 1 for name in members)
    shares: dict[str, int] = {}
    for place, name in enumerate(sorted(members, key=lambda each: costs[each])):
        shares[name] = min(costs[name], max(0, left) // (len(members) - place))
        left -= shares[name]
    kept: dict[str, Any] = {}
    dropped = 0
    for name, member in members.items():
        if shares[name] >= costs[name]:
            kept[name] = member
        elif shares[name] > 5:
            kept[name] = fit(member, shares[name])[0]
        else:
            dropped += 1
    if dropped:
        kept["…"] = f"{dropped} more members"
    return kept
