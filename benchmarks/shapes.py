"""Workflows that benchmarks run: native twins of the peers' (webhook → … → answer), and long chains."""

from __future__ import annotations

import itertools
from typing import Any

Definition = dict[str, Any]


def webhook(path: str) -> dict[str, Any]:
    """A webhook."""
    return {"type": "webhook", "parameters": {"path": path}}


def fields(keep_input: bool = True, **values: Any) -> dict[str, Any]:
    """A set node."""
    return {"type": "set", "parameters": {"fields": values, "keep_input": keep_input}}


def chain(name: str, nodes: dict[str, Any], **settings: Any) -> Definition:
    """Nodes one behind the other, in their order."""
    names = list(nodes)
    connections = [list(pair) for pair in itertools.pairwise(names)]
    return {"name": name, "nodes": nodes, "connections": connections, "settings": settings}


RESPOND = {"type": "respond"}


def case_a() -> Definition:
    """Answers at once, then sets a field."""
    return chain("bench a", {"hook": webhook("bench-a"), "set": fields(x="={{ $json.body.n + 1 }}")})


def case_b(path: str = "bench-b", **settings: Any) -> Definition:
    """set → if → set → answer."""
    nodes = {
        "hook": webhook(path),
        "set1": fields(keep_input=False, n="={{ $json.body.n }}", msg="=hello {{ $json.body.name }}"),
        "if": {
            "type": "if",
            "parameters": {"comparisons": [{"left": "={{ $json.n }}", "operator": "greater", "right": 10}]},
        },
        "set2": fields(ok=True, up="={{ $json.msg.toUpperCase() }}"),
        "set3": fields(ok=False),
        "answer": RESPOND,
    }
    connections = [
        ["hook", "set1"],
        ["set1", "if"],
        ["if.true", "set2"],
        ["if.false", "set3"],
        ["set2", "answer"],
        ["set3", "answer"],
    ]
    return {"name": "bench b", "nodes": nodes, "connections": connections, "settings": settings}


def case_c(length: int = 10, path: str = "bench-c") -> Definition:
    """A chain of set and no_op by turns."""
    nodes: dict[str, Any] = {"hook": webhook(path)}
    for place in range(1, length + 1):
        value = f"={{{{ $json.body.n + {place} }}}}"
        nodes[f"step {place}"] = fields(**{f"k{place}": value}) if place % 2 else {"type": "no_op"}
    return chain(f"bench c{length}", {**nodes, "answer": RESPOND})


def case_d() -> Definition:
    """set → code → set."""
    code = "for (const item of items) { item.sq = item.n * item.n; item.tag = 'v' + item.n; }\nreturn items;"
    return chain(
        "bench d",
        {
            "hook": webhook("bench-d"),
            "set1": fields(keep_input=False, n="={{ $json.body.n }}"),
            "code": {"type": "code", "parameters": {"javascript": code}},
            "set2": fields(done=True),
            "answer": RESPOND,
        },
    )


def case_e(path: str = "bench-e") -> Definition:
    """A thousand items: split, set, filter, aggregate, set."""
    return chain(
        "bench e",
        {
            "hook": webhook(path),
            "split": {"type": "split_out", "parameters": {"field": "body.items"}},
            "set1": fields(
                keep_input=False,
                id="={{ $json.id }}",
                total="={{ $json.price * $json.qty }}",
                label="={{ $json.name }}-{{ $json.id }}",
            ),
            "filter": {
                "type": "filter",
                "parameters": {"comparisons": [{"left": "={{ $json.total }}", "operator": "greater", "right": 500}]},
            },
            "gather": {"type": "aggregate", "parameters": {"summaries": {"rows": {"operation": "collect"}}}},
            "set2": fields(keep_input=False, count="={{ $json.rows.length }}"),
            "answer": RESPOND,
        },
    )


def case_f() -> Definition:
    """Nothing but an answer."""
    return chain("bench f", {"hook": webhook("bench-f"), "pass": {"type": "no_op"}, "answer": RESPOND})


TARGET_URL = "http://127.0.0.1:9801/"
"""What cases g and h call: ``benchmarks/target.py``."""


def case_g() -> Definition:
    """One HTTP call."""
    return _calls("bench g", "bench-g", 1)


def case_h() -> Definition:
    """Three HTTP calls, one behind the other."""
    return _calls("bench h", "bench-h", 3)


def _calls(name: str, path: str, count: int) -> Definition:
    call = {"type": "http_request", "parameters": {"url": TARGET_URL, "method": "POST", "json_body": {"n": 1}}}
    calls = {f"call {number}": call for number in range(1, count + 1)}
    return chain(name, {"hook": webhook(path), **calls, "answer": RESPOND})


PEER_CASES = (case_a, case_b, case_c, case_d, case_e, case_f, case_g, case_h)
