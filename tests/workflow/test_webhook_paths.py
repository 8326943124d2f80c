"""Paths of webhooks as patterns."""

from __future__ import annotations

import re

import pytest

from workflow.webhook_paths import PATH_PATTERN, normal, overlap, shape_of, shapes_for, values_of


@pytest.mark.parametrize("path", ["leads", "orders/:id", "a/:b/c/:d", "a-b_c/1", "v1/:_x", "/".join(["a"] * 8)])
def test_these_are_paths(path: str) -> None:
    assert re.search(PATH_PATTERN, path)


@pytest.mark.parametrize(
    "path",
    [
        "", "/a", "a/", "a//b", ":id", ":id/a", "a/:", "a/:1", "a/:b:c", "a/b:c", "a/*", "a b", "a/..", "-a", "a\n",
        "/".join(["a"] * 9), "a?b", "a/{id}", "a/" + "x" * 101, "é",
    ],
)  # fmt: skip
def test_these_are_none(path: str) -> None:
    assert not re.fullmatch(PATH_PATTERN.removesuffix("$") + r"\Z", path)


@pytest.mark.parametrize(
    ("path", "request_path", "values"),
    [
        ("orders/:id", "orders/42", {"id": "42"}),
        ("orders/:id", "orders/caf%C3%A9%2F1", {"id": "café/1"}),
        ("orders/:id", "orders/a+b", {"id": "a+b"}),
        ("orders/:id", "orders/%FF", {"id": "\ufffd"}),
        ("a/:x/b/:y", "a/1/b/2", {"x": "1", "y": "2"}),
        ("leads", "leads", {}),
        ("leads", "lead", None),
        ("orders/:id", "orders", None),
        ("orders/:id", "orders/", None),
        ("orders/:id", "orders/1/2", None),
        ("orders/:id", "other/1", None),
        ("a/:x/b", "a/1/c", None),
    ],
)
def test_values_come_out_of_the_path(path: str, request_path: str, values: dict[str, str] | None) -> None:
    assert values_of(path, request_path) == values


def test_a_request_has_all_shapes_that_listen_to_it() -> None:
    assert shapes_for("a/b/c") == ["a/b/c", "a/b/:", "a/:/c", "a/:/:"]
    assert shapes_for("leads") == ("leads",)
    assert shapes_for("a/:id") == ["a/:"]
    assert [shapes_for(path) for path in ("", "/a", "a/", "a//b", "/".join("a" * 9))] == [()] * 5
    assert len(shapes_for("/".join("a" * 8))) == 128


def test_paths_overlap_where_one_request_would_come_to_both() -> None:
    assert overlap("a/:x/c", "a/b/:y")
    assert overlap("a/:", "a/b")
    assert not overlap("a/:x", "a/:x/b")
    assert not overlap("a/:x/c", "a/:x/d")
    assert shape_of("a/:x/c") == shape_of("a/:other/c") == "a/:/c"


@pytest.mark.parametrize(
    ("written", "path"),
    [("%6Feads", "oeads"), ("a/%2f", "a/%2F"), ("a/b c", "a/b%20c"), ("a/%C3%A9", "a/%C3%A9"), ("a/%zz", "a/%25zz")],
)
def test_a_path_has_one_way_to_be_written(written: str, path: str) -> None:
    assert normal(written) == normal(path) == path
