"""Every file, module and name that docstrings, comments and pages mention is there.

Nothing is imported for this: the names come from the sources' syntax trees.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("workflow", "engine", "prompts", "integrations", "storage", "tools", "server")
FOLDERS = (*ROOMS, "tests", "scripts", "benchmarks", "examples", "docs", "deploy")
NOT_OURS = ("node_modules", "__pycache__", "vendor")


def _files(pattern: str) -> list[Path]:
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob(pattern))
    return sorted(path for path in found if not set(path.relative_to(ROOT).parts) & set(NOT_OURS))


SOURCES = _files("*.py")
# CHANGELOG.md is history: it names what was there then.
PAGES = [*sorted(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"), *_files("*.md")]


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


# What names there are.


@dataclass(slots=True)
class Module:
    """A module's own names: those of classes with their members, and what it imports from where."""

    names: set[str] = field(default_factory=set)
    classes: dict[str, Class] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Class:
    """A class's members, and the names of its bases."""

    members: set[str]
    bases: list[str]


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, Module]:
    """Our modules by their dotted names."""
    return {_dotted(path): _module(ast.parse(path.read_text())) for path in SOURCES}


def _module(tree: ast.Module) -> Module:
    made = Module()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            made.imports |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            made.imports |= {each.asname or each.name: each.name for each in node.names}
        elif isinstance(node, ast.ClassDef):
            made.classes[node.name] = Class(_members(node), [ast.unparse(each).split("[")[0] for each in node.bases])
    made.names = _bound(tree.body) | set(made.classes) | set(made.imports)
    return made


def _members(node: ast.ClassDef) -> set[str]:
    on_self = {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self"
    }
    return _bound(node.body) | on_self


def _bound(body: list[ast.stmt]) -> set[str]:
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.If | ast.Try):
            found |= _bound([*node.body, *node.orelse])
    return found


def is_name(name: str, *, seen_from: str | None = None) -> bool:
    """Whether a dotted name is one: from the root, or among the names of the module that mentions it."""
    home = modules().get(seen_from or "")
    if name.startswith("."):
        return any(is_name(name[1:], seen_from=each) for each in modules())
    first, _, rest = name.partition(".")
    if home is not None and first in home.names:
        return not rest or _has(home, first, rest)
    if home is not None and any(_has(home, kind, name) for kind in home.classes):
        return True
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        module = modules().get(".".join(parts[:size]))
        if module is not None:
            inner = parts[size:]
            return not inner or (inner[0] in module.names and (not inner[1:] or _has(module, inner[0], inner[1])))
    return first not in FOLDERS and _is_foreign(name)


MEMBERLESS = {"Protocol", "Generic", "StrEnum", "Exception"}


def _has(module: Module, kind: str, member: str) -> bool:
    """Whether a name of the module has the member; of what is not a class of ours, every member is believed."""
    if kind in MEMBERLESS:
        return False
    if kind in module.classes:
        found = module.classes[kind]
        return member in found.members or any(_has(module, base.split(".")[0], member) for base in found.bases)
    source, _, name = module.imports.get(kind, "").rpartition(".")
    if source in modules():
        return name in modules()[source].names and _has(modules()[source], name, member)
    return kind in module.imports


def _is_foreign(name: str) -> bool:
    if hasattr(builtins, name):
        return True
    module, _, rest = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), rest) if module else False
    except ImportError:
        return False


# What is mentioned, and where.

ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc|obj):`~?([^`]+)`")
DOTTED = re.compile(rf"``?((?:{'|'.join(FOLDERS)})(?:\.\w+)+)(?:\(\))?``?")
EVENT = re.compile(r"workflow\.[a-z_]+")
"""Events and the audit log's actions are named so, too."""
PATH = re.compile(rf"(?<![\w/.:-])((?:{'|'.join(FOLDERS)})/(?:[\w.-]+/)*[\w-]*(?:\.\w+)?)(?:::(\w+))?(?![\w*<{{])")
SHORT = re.compile(r"`((?:[\w-]+/)*[\w-]+\.py)`")
LINK = re.compile(r"\]\((?!\w+:)([^)#]+)(?:#[^)]*)?\)")
CODE_NAME = re.compile(r"`([A-Z]\w+(?:\.\w+)?)(?:\(\))?`")
FILES = {".py", ".md", ".toml", ".json", ".yaml", ".yml", ".html", ".js", ".sh"}


def spoken(path: Path) -> Iterator[str]:
    """The docstrings and comments of a source, each as one text."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    comments = [each for each in tokenize.generate_tokens(io.StringIO(text).readline) if each.type == tokenize.COMMENT]
    yield from (each.string for each in comments)


def missing_names(text: str, *, seen_from: str | None) -> Iterator[str]:
    """Roles and dotted names that lead nowhere."""
    for name in ROLE.findall(text):
        if not is_name(name, seen_from=seen_from):
            yield name
    for name in DOTTED.findall(ROLE.sub("", text)):
        if not (Path(name).suffix in FILES or EVENT.fullmatch(name) or is_name(name)):
            yield name


def missing_paths(text: str, *, home: Path) -> Iterator[str]:
    """Paths from the root, or from ``home``, that lead nowhere, and tests that their files do not have."""
    for name, test in PATH.findall(text):
        is_file = Path(name).suffix in FILES
        if not (is_file or name.endswith("/")):
            continue
        found = [path for path in (ROOT / name, home / name) if (path.is_file() if is_file else path.is_dir())]
        if not found:
            yield name
        elif test and f"def {test}(" not in found[0].read_text():
            yield f"{name}::{test}"


def missing_short_names(text: str, *, home: Path) -> Iterator[str]:
    """Short names of sources that are not one file beside ``home``, or under a folder that the text names."""
    folders = [ROOT / name for name, _ in PATH.findall(text)]
    nearby = {home, *(each if each.is_dir() else each.parent for each in folders)}
    for name in SHORT.findall(text):
        if name.split("/")[0] in FOLDERS or any((folder / name).is_file() for folder in (ROOT, *nearby)):
            continue
        found = {path for folder in nearby - {ROOT} for path in folder.rglob(f"*/{name}")}
        if len(found) != 1:
            yield name


def parts_of(page: str) -> Iterator[str]:
    """A page's paragraphs and rows of tables, without blocks of code."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    for paragraph in prose.split("\n\n"):
        yield from paragraph.split("\n") if paragraph.startswith("|") else [paragraph]


def missing(text: str, *, home: Path, seen_from: str | None = None) -> list[str]:
    """Everything that the text mentions and that is not there."""
    return [
        *missing_names(text, seen_from=seen_from),
        *missing_paths(text, home=home),
        *missing_short_names(text, home=home),
    ]


def test_what_docstrings_and_comments_mention_is_there() -> None:
    wrong = {}
    for path in SOURCES:
        seen_from = _dotted(path)
        names = [name for text in spoken(path) for name in missing(text, home=path.parent, seen_from=seen_from)]
        if names:
            wrong[_id(path)] = names
    assert wrong == {}


def test_what_pages_mention_is_there() -> None:
    wrong = {}
    for path in PAGES:
        page = path.read_text()
        names = [link for link in LINK.findall(page) if not (path.parent / link).exists()]
        names += [name for part in parts_of(page) for name in missing(part, home=path.parent)]
        if names:
            wrong[_id(path)] = names
    assert wrong == {}


def test_the_architecture_names_what_the_code_has() -> None:
    names = set(CODE_NAME.findall((ROOT / "ARCHITECTURE.md").read_text()))
    assert [name for name in sorted(names) if not is_name(f".{name}")] == []


def test_dead_references_are_found() -> None:
    home = ROOT / "workflow"
    assert missing("`states.py` :class:`JobsprintError`", home=home, seen_from="workflow.errors") == []
    assert missing("`gone.py` in `engine/gone.py`, `tests/gone/`", home=home) == [
        "engine/gone.py",
        "tests/gone/",
        "gone.py",
    ]
    assert missing(":class:`Gone` ``engine.runs.gone`` :meth:`workflow.ports.Clock.gone`", home=home) == [
        "Gone",
        "workflow.ports.Clock.gone",
        "engine.runs.gone",
    ]
    assert missing("`tests/house/test_house.py::test_gone`", home=home) == ["tests/house/test_house.py::test_gone"]
