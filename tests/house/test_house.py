"""The rules of the house, held against the tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from scripts.make_docs import PAGES

ROOT = Path(__file__).parents[2]
ROOMS = ("workflow", "engine", "prompts", "integrations", "storage", "tools", "server")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MAX_LINES = 400


def test_modules_are_short_and_say_what_they_are_for() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in MODULES}
    assert {name: n for name, text in texts.items() if (n := len(text.splitlines())) > MAX_LINES} == {}
    assert [name for name, text in texts.items() if not ast.get_docstring(ast.parse(text))] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_must_not_do(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text())) or ""
    assert "Must not" in docstring


def test_public_functions_and_classes_of_the_domain_and_engine_have_docstrings() -> None:
    missing = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and path.parts[-2] != "versions"
        # What the arguments of a tool mean stands in their schema.
        and not any(isinstance(base, ast.Name) and base.id == "Arguments" for base in getattr(node, "bases", ()))
    ]
    assert missing == []


def test_no_dependency_brings_a_package_of_a_rooms_name() -> None:
    distributions = packages_distributions()
    assert {room: distributions[room] for room in ROOMS if set(distributions.get(room, [])) - {"jobsprint"}} == {}


LOCKS = ("requirements.lock", "deploy/requirements.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_names_no_host_and_pins_everything_by_hash(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    entries = re.split(r"\n(?=\S)", lock)
    assert all("--hash=sha256:" in entry for entry in entries if not entry.startswith("#"))


def locked(name: str) -> set[str]:
    """Packages and versions of a lock file."""
    return set(re.findall(r"^([a-z0-9-]+==[^ ]+)", (ROOT / name).read_text(), re.MULTILINE))


def test_every_dependency_is_locked_and_the_image_gets_no_other_and_no_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    built = {_name(each) for each in [*project["project"]["dependencies"], *groups["build"]]}
    tools = {_name(each) for each in groups["dev"] if isinstance(each, str)}
    everything, image = (locked(name) for name in LOCKS)
    assert image < everything
    assert built <= {_name(each) for each in image}
    assert tools <= {_name(each) for each in everything - image}


def _name(requirement: str) -> str:
    return re.split(r"[\[><=; ]", requirement)[0]


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_those_of_the_code(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == PAGES[name](), "run `make docs`"


def test_the_wheel_holds_every_room_and_its_data(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = ZipFile(wheel).namelist()
    for name in (
        *(f"{room}/__init__.py" for room in ROOMS),
        "engine/expressions/javascript/zones.json",
        "prompts/guides/build_workflow.toml",
        "prompts/templates/summarize.toml",
        "tools/apps/execution.html",
        "tools/icons/jobsprint.svg",
        "engine/expressions/javascript/vendor/luxon.LICENSE",
        "storage/migrations/script.py.mako",
    ):
        assert name in names
    assert any(name.endswith("entry_points.txt") for name in names)
