"""Every failure has a documented code, and says what to do."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from scripts.error_codes import ROOMS, ROOT, codes_in_sources
from scripts.error_page import PLACES, catalogue
from workflow import errors
from workflow.errors import JobsprintError

CATALOGUE = catalogue()
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def test_every_code_in_the_sources_is_documented_and_every_documented_one_is_used() -> None:
    assert set(codes_in_sources()) == set(CATALOGUE)


def test_entries_say_where_why_and_what_to_do() -> None:
    for code, entry in CATALOGUE.items():
        assert set(entry) == {"where", "cause", "mend"}, code
        assert set(entry["where"]) <= set(PLACES), code
        assert entry["cause"].endswith("."), code
        assert entry["mend"].endswith("."), code


def test_the_page_has_an_example_of_nearly_every_code() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    entries = {part.partition("`")[0]: part for part in page.split("\n### `")[1:]}
    assert set(entries) == set(CATALOGUE)
    # These take a broken machine, or a fault of ours or of a package; or stand for more exact ones.
    rare = {
        "bad_http",
        "body_too_slow",
        "head_too_slow",
        "http_error",
        "internal_error",
        "model_failed",
        "node_bug",
        "node_failed",
        "not_accepted",
        "outbound_failed",
        "storage_failed",
        "too_many_connections",
        "unstorable_value",
    }
    assert {code for code, part in entries.items() if "```json" not in part} <= rare


def generic_errors() -> set[str]:
    """The names of the error classes that leave it to those who raise them to say what to do."""
    found = {JobsprintError.__name__, "NodeTypeError", "BadSettingsError", "ResourceNotFoundError"}
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, JobsprintError) and "fix" in inspect.signature(kind.__init__).parameters:
            found.add(name)
    return found


def silent_failures(path: Path) -> Iterator[str]:
    """Places that make a failure or finding and do not say what to do."""
    generic = generic_errors()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        given = {keyword.arg for keyword in node.keywords}
        needs = (
            {"fix"}
            if name in generic | {"problem", "ErrorRecord"}
            else {"fix", "patch"}
            if name in ("Finding", "ParameterProblem", "_add")
            else set()
        )
        if needs and not needs & given and None not in given:
            yield f"{path.relative_to(ROOT)}:{node.lineno} {name}"


def test_every_failure_says_what_to_do() -> None:
    assert [place for path in MODULES for place in silent_failures(path)] == []
