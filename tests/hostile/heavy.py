"""Inputs that mean much work: the server may take or refuse them, and others must hardly notice.

Each is near a bound of size or count, or costs a careless reader more than its size: nested, doubling, repeated.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.hostile.corpus import RawRequest, definition

ITEMS = 200_000
MOST_BYTES = 4_000_000
"""Just below what a request may have."""
FORM = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = {"content-type": "multipart/form-data; boundary=b"}

Workflow = dict[str, Any]


def made_items(body: str = "({n})", count: int = ITEMS) -> dict[str, Any]:
    """A code node that makes items, ``n`` from 0 on."""
    return {"type": "code", "parameters": {"javascript": f"return Array.from({{length: {count}}}, (_, n) => {body});"}}


def chain(**nodes: dict[str, Any]) -> Workflow:
    """A workflow of nodes one after the other."""
    names = ["start", *nodes]
    pairs = [[before, after] for before, after in itertools.pairwise(names)]
    return {"name": "heavy", "nodes": {"start": {"type": "manual"}, **nodes}, "connections": pairs}


def nested(levels: int, inner: Any) -> Any:
    """A value inside lists and objects in turn."""
    for level in range(levels):
        inner = {"a": inner} if level % 2 else [inner]
    return inner


def nodes_in_line(count: int, parameters: Mapping[str, Any]) -> Workflow:
    """A workflow of very many nodes."""
    return chain(**{f"n{n}": {"type": "set", "parameters": dict(parameters)} for n in range(count)})


DEFINITIONS: dict[str, Callable[[], Any]] = {
    "brackets that open in each of 3,000 templates": lambda: definition(fields={"a": "=" + "{{(}}" * 3_000}),
    "braces that open in each of 3,000 templates": lambda: definition(fields={"a": "=" + "{{ {a: }}" * 3_000}),
    "quotes that open in each of 3,000 templates": lambda: definition(fields={"a": "=" + "{{'}}" * 3_000}),
    "backquotes that open in each of 3,000 templates": lambda: definition(fields={"a": "=" + "{{ `${ }}" * 3_000}),
    "comments that open in each of 3,000 templates": lambda: definition(fields={"a": "=" + "{{/*}}" * 3_000}),
    "templates that open 500,000 times": lambda: definition(fields={"a": "=" + "{{" * 500_000}),
    "templates that close 500,000 times": lambda: definition(fields={"a": "={{" + "}}" * 500_000}),
    "100,000 templates in a text": lambda: definition(fields={"a": "=" + "{{1}}" * 100_000}),
    "100,000 templates that read a field": lambda: definition(fields={"a": "=" + "{{$json.a}}" * 100_000}),
    "100,000 templates that read nodes": lambda: definition(fields={"a": "=" + "{{$('start').item.json.a}}" * 100_000}),
    "10,000 fields with a template each": lambda: definition(fields={f"f{n}": "={{ $json.a }}" for n in range(10_000)}),
    "5,000 different expressions": lambda: definition(fields={f"f{n}": f"={{{{ {n} + 1 }}}}" for n in range(5_000)}),
    "templates 90 levels deep": lambda: definition(fields={"a": nested(90, "={{ $json.a }}")}),
    "10,000 templates 40 levels deep": lambda: definition(
        fields={"a": nested(40, [f"={{{{ $json.a + {n} }}}}" for n in range(10_000)])}
    ),
    "an expression 20,000 brackets deep": lambda: definition(
        fields={"a": "={{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}"}
    ),
    "an expression of 200,000 members": lambda: definition(fields={"a": "={{ $json" + ".a" * 200_000 + " }}"}),
    "code of a megabyte": lambda: chain(step={"type": "code", "parameters": {"javascript": "a();" * 250_000}}),
    "code of 50,000 brackets": lambda: chain(
        step={"type": "code", "parameters": {"javascript": "return " + "[" * 50_000 + "]" * 50_000}}
    ),
    "2,000 nodes": lambda: nodes_in_line(2_000, {"fields": {"a": "={{ $json.a }}"}}),
    "2,000 nodes that each read another": lambda: nodes_in_line(2_000, {"fields": {"a": "={{ $('n0').item.json.a }}"}}),
    "2,000 nodes that are each connected with 9 others": lambda: {
        **nodes_in_line(2_000, {"fields": {"a": 1}}),
        "connections": [["start", "n0"], *([f"n{n}", f"n{m}"] for n in range(2_000) for m in range(n + 1, n + 10))][
            :18_000
        ],
    },
    "2,000 nodes in one circle": lambda: {
        "name": "n",
        "nodes": {"start": {"type": "manual"}, **{f"n{n}": {"type": "no_op"} for n in range(1_999)}},
        "connections": [["start", "n0"], *([f"n{n}", f"n{(n + 1) % 1_999}"] for n in range(1_999))],
    },
    "30,000 fields of 90 letters each": lambda: definition(fields={f"f{n}": "x" * 90 for n in range(30_000)}),
}
"""Sent to be stored, over REST and MCP."""

RUNS: dict[str, Workflow] = {
    "code that returns 109 MB": chain(step=made_items("({t: 'x'.repeat(1000)})", 109_000)),
    "code that returns 109 MB in one text": chain(
        step={"type": "code", "parameters": {"javascript": "return [{t: 'x'.repeat(109e6)}];"}}
    ),
    "code that returns 20 MB in one text": chain(
        step={"type": "code", "parameters": {"javascript": "return [{t: 'x'.repeat(20e6)}];"}}
    ),
    "code that returns 200,000 items": chain(step=made_items()),
    "200,000 items through code": chain(
        step=made_items(), again={"type": "code", "parameters": {"javascript": "return items;"}}
    ),
    "200,000 items through code each": chain(
        step=made_items(),
        again={"type": "code", "parameters": {"mode": "each_item", "javascript": "return {m: $json.n + 1};"}},
    ),
    "200,000 items through wait": chain(step=made_items(), pause={"type": "wait", "parameters": {"seconds": 1}}),
    "200,000 items through a wait that has passed": chain(
        step=made_items(), pause={"type": "wait", "parameters": {"seconds": 0}}
    ),
    "200,000 items through sort": chain(
        step=made_items("({n: (n * 7919) % 200003, t: 't' + n})"),
        order={"type": "sort", "parameters": {"by": [{"field": "t"}, {"field": "n", "order": "descending"}]}},
    ),
    "200,000 items through aggregate": chain(
        step=made_items("({n, g: n % 1000})"),
        sum={
            "type": "aggregate",
            "parameters": {"group_by": ["g"], "summaries": {"s": {"operation": "sum", "field": "n"}}},
        },
    ),
    "200,000 items collected into one": chain(step=made_items(), all={"type": "aggregate"}),
    "200,000 items each in a group of its own": chain(
        step=made_items(),
        each={"type": "aggregate", "parameters": {"group_by": ["n"], "summaries": {"c": {"operation": "count"}}}},
    ),
    "200,000 items merged by field": {
        "name": "heavy",
        "nodes": {
            "start": {"type": "manual"},
            "a": made_items("({n, a: 1})"),
            "b": made_items("({n, b: 2})"),
            "join": {"type": "merge", "parameters": {"mode": "by_field", "match_on": ["n"]}},
        },
        "connections": [["start", "a"], ["start", "b"], ["a", "join.first"], ["b", "join.second"]],
    },
    "600 items merged with 600 by a field that is the same in all": {
        "name": "heavy",
        "nodes": {
            "start": {"type": "manual"},
            "a": made_items("({n: 1, a: n})", 600),
            "b": made_items("({n: 1, b: n})", 600),
            "join": {"type": "merge", "parameters": {"mode": "by_field", "match_on": ["n"]}},
        },
        "connections": [["start", "a"], ["start", "b"], ["a", "join.first"], ["b", "join.second"]],
    },
    "200,000 items split out of one": chain(
        step={
            "type": "code",
            "parameters": {"javascript": "return [{l: Array.from({length: 200000}, (_, n) => ({n}))}];"},
        },
        split={"type": "split_out", "parameters": {"field": "l"}},
    ),
    "200,000 items split out with the input beside them": chain(
        step={
            "type": "code",
            "parameters": {
                "javascript": "return [{a: 1, b: 'x'.repeat(50), l: Array.from({length: 200000}, (_, n) => n)}];"
            },
        },
        split={"type": "split_out", "parameters": {"field": "l", "into": "l", "keep_input": True}},
    ),
    "200,000 items through set": chain(
        step=made_items(), set={"type": "set", "parameters": {"fields": {"m": "={{ $json.n }}"}}}
    ),
    "200,000 items through an expression": chain(
        step=made_items(), set={"type": "set", "parameters": {"fields": {"m": "={{ $json.n * 2 }}"}}}
    ),
    "200,000 items through filter": chain(
        step=made_items(),
        some={
            "type": "filter",
            "parameters": {"comparisons": [{"left": "={{ $json.n }}", "operator": "greater", "right": 5}]},
        },
    ),
    "200,000 items through respond": chain(
        step=made_items(), answer={"type": "respond", "parameters": {"all_items": True}}
    ),
    "200,000 items through a loop": {
        "name": "heavy",
        "nodes": {
            "start": {"type": "manual"},
            "a": made_items(),
            "loop": {"type": "loop", "parameters": {"batch_size": 50_000}},
            "back": {"type": "no_op"},
        },
        "connections": [["start", "a"], ["a", "loop"], ["loop.batch", "back"], ["back", "loop"]],
    },
    "an item 90 levels deep, 20,000 times": chain(
        step={
            "type": "code",
            "parameters": {
                "javascript": "let v = 1; for (let n = 0; n < 90; n++) v = [v];"
                "return Array.from({length: 20000}, () => ({v}));"
            },
        }
    ),
}
"""Executed to their end, over REST and MCP."""


def _pairs(size: int, pair: Callable[[int], str]) -> bytes:
    count = size // (len(pair(100_000)) + 1)
    return "&".join(map(pair, range(count))).encode()


def _parts(size: int, head: Callable[[int], str], content: str = "x") -> bytes:
    def part(number: int) -> str:
        return f"--b\r\ncontent-disposition: form-data; {head(number)}\r\n\r\n{content}\r\n"

    return ("".join(map(part, range(size // len(part(100_000))))) + "--b--\r\n").encode()


WEBHOOK_BODIES: list[RawRequest] = [
    RawRequest("a form of 4 MB with one name", headers=FORM, content=lambda: _pairs(MOST_BYTES, lambda _: "a=1")),
    RawRequest("a form of 4 MB with many names", headers=FORM, content=lambda: _pairs(MOST_BYTES, "a{}=1".format)),
    RawRequest("a form of 4 MB with nothing in it", headers=FORM, content=lambda: b"&" * MOST_BYTES),
    RawRequest("a form of 4 MB with names alone", headers=FORM, content=lambda: b"a&" * (MOST_BYTES // 2)),
    RawRequest("a form of 4 MB in one value", headers=FORM, content=lambda: b"a=" + b"%41" * (MOST_BYTES // 3)),
    RawRequest("a form of 4 MB with broken escapes", headers=FORM, content=lambda: b"a=" + b"%" * MOST_BYTES),
    RawRequest(
        "a multipart body of 4 MB with one name",
        headers=MULTIPART,
        content=lambda: _parts(MOST_BYTES, lambda _: 'name="a"'),
    ),
    RawRequest(
        "a multipart body of 4 MB with many names",
        headers=MULTIPART,
        content=lambda: _parts(MOST_BYTES, 'name="a{}"'.format),
    ),
    RawRequest(
        "a multipart body of 4 MB with many files",
        headers=MULTIPART,
        content=lambda: _parts(MOST_BYTES, 'name="a"; filename="{}.bin"'.format),
    ),
    RawRequest(
        "a multipart body of 4 MB in one file",
        headers=MULTIPART,
        content=lambda: _parts(MOST_BYTES, lambda _: 'name="a"; filename="a"', "\x01" * (MOST_BYTES - 2_000)),
    ),
    RawRequest(
        "a multipart body of 4 MB of boundaries", headers=MULTIPART, content=lambda: b"--b\r\n" * (MOST_BYTES // 5)
    ),
    RawRequest(
        "a multipart body of 4 MB of half boundaries",
        headers=MULTIPART,
        content=lambda: b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n' + b"\r\n--" * (MOST_BYTES // 4),
    ),
    RawRequest(
        "a multipart body with a head of 4 MB", headers=MULTIPART, content=lambda: b"--b\r\n" + b"a: b\r\n" * 600_000
    ),
    RawRequest("JSON of 4 MB in one text", content=lambda: b'"' + b"x" * MOST_BYTES + b'"'),
    RawRequest("JSON of 4 MB of escapes", content=lambda: b'"' + b"\\u00e9" * (MOST_BYTES // 6) + b'"'),
    RawRequest("JSON of 249,000 numbers", content=lambda: b"[" + b"1.5," * 248_999 + b"1]"),
    RawRequest("JSON of 100,000 objects", content=lambda: b"[" + b'{"a":1},' * 99_999 + b"{}]"),
    RawRequest("text of 4 MB", headers={"content-type": "text/plain"}, content=lambda: b"\xff" * MOST_BYTES),
    RawRequest(
        "text of 4 MB in a slow charset",
        headers={"content-type": "text/plain; charset=utf-7"},
        content=lambda: b"+AOk-" * (MOST_BYTES // 5),
    ),
    RawRequest(
        "bytes of 4 MB", headers={"content-type": "application/octet-stream"}, content=lambda: b"\x00" * MOST_BYTES
    ),
]
"""Posted to a published webhook."""


def _document(schemas: dict[str, Any], paths: int = 1) -> bytes:
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/F"}}}}
    each = {f"/f{n}": {"post": {"requestBody": body, "responses": {}}} for n in range(paths)}
    whole = {"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": each}
    return json.dumps({**whole, "components": {"schemas": schemas}}, separators=(",", ":")).encode()


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _levels(levels: int, properties: int) -> dict[str, Any]:
    def level(number: int) -> dict[str, Any]:
        below = _ref(f"L{number + 1}") if number < levels else {"type": "string"}
        return {"type": "object", "properties": {f"p{n}": below for n in range(properties)}}

    return {"F": _ref("L1"), **{f"L{number}": level(number) for number in range(1, levels + 1)}}


def _recursive(properties: int) -> dict[str, Any]:
    refs = {f"p{n}": _ref("F") for n in range(properties)}
    return {"F": {"type": "object", "properties": {"v": {"type": "string"}, **refs}}}


DOCUMENTS: dict[str, Callable[[], bytes]] = {
    "twelve levels with three properties each": lambda: _document(_levels(12, 3)),
    "two levels with 300 properties each": lambda: _document(_levels(2, 300)),
    "a schema that holds itself three times": lambda: _document(_recursive(3)),
    "a schema that holds itself twenty times": lambda: _document(_recursive(20)),
    "twelve schemas that each hold all": lambda: _document(
        {
            name: {"type": "object", "properties": {other: _ref(other) for other in ["F", *map(str, range(11))]}}
            for name in ["F", *map(str, range(11))]
        }
    ),
    "a choice of three, twelve levels deep": lambda: _document(
        {"F": _ref("0"), **{str(n): {"oneOf": [_ref(str(n + 1))] * 3} for n in range(12)}, "12": {"type": "string"}}
    ),
    "a sum of two, twenty levels deep": lambda: _document(
        {"F": _ref("0"), **{str(n): {"allOf": [_ref(str(n + 1))] * 2} for n in range(20)}, "20": {"type": "object"}}
    ),
    "references in a circle": lambda: _document({"F": _ref("G"), "G": _ref("F")}),
    "a chain of 5,000 references": lambda: _document(
        {"F": _ref("0"), **{str(n): _ref(str(n + 1)) for n in range(5_000)}, "5000": {"type": "string"}}
    ),
    "3,000 operations": lambda: _document(_levels(3, 3), 3_000),
    "YAML with aliases that double": lambda: (
        b"openapi: 3.0.3\ninfo: {title: t, version: '1'}\nx0: &x0 [a, a]\n"
        + b"".join(b"x%d: &x%d [*x%d, *x%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 24))
        + b"paths: {/f: {get: {x-y: *x23, responses: {}}}}\n"
    ),
    "YAML of 3 MB": lambda: (
        b"openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths: {}\nx:\n"
        + b"".join(b"  - {a: 1, b: [2, 3]}\n" for _ in range(130_000))
    ),
    "YAML of 50,000 brackets": lambda: b"openapi: 3.0.3\nx: " + b"[" * 50_000,
}
"""OpenAPI documents that a connection is made from."""

TEMPLATE_VARIABLES: dict[str, Callable[[], Any]] = {
    "a value 90 levels deep": lambda: nested(90, "x"),
    "a list of 100,000": lambda: list(range(100_000)),
    "a megabyte of text": lambda: "x" * 1_000_000,
}
TEMPLATES: dict[str, str] = {
    "a value as it is": "{{ value }}",
    "a value as JSON": "{{ value | tojson }}",
    "a loop in a loop": "{% for a in value %}{% for b in value %}x{% endfor %}{% endfor %}",
    "20,000 values": "{{ value }}" * 20_000,
    "ifs inside ifs": "{% if value %}" * 300 + "{% endif %}" * 300,
    "a sum of 10,000": "{{ " + "1+" * 10_000 + "1 }}",
    "10,000 brackets": "{{ " + "(" * 10_000 + "1" + ")" * 10_000 + " }}",
    "tags that never close": "{% if " * 20_000,
}
"""Prompt templates to render, each with each of the variables."""
