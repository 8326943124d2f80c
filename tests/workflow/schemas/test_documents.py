"""JSON text is read so that no mistake is lost."""

from __future__ import annotations

import pytest

from workflow.errors import InvalidArgumentsError
from workflow.schemas.documents import parse_document


def test_a_name_that_stands_twice_is_a_finding() -> None:
    value, findings = parse_document('{"nodes": {"a": 1, "a": 2}}')
    assert value == {"nodes": {"a": 2}}
    assert [finding.code for finding in findings] == ["duplicate_name"]


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", '{"a": NaN}', "[" * 100_000, b"\xff"])
def test_what_is_not_json_is_refused_in_one_sentence(text: str | bytes) -> None:
    with pytest.raises(InvalidArgumentsError, match="not JSON"):
        parse_document(text)
