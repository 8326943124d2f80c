"""Words that a reader from elsewhere has to puzzle over do not stand in code, tests or pages.

docs/glossary.md has the word for each concept. CHANGELOG.md is history and stays as it was written.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLEAN = (
    "workflow",
    "engine",
    "prompts",
    "integrations",
    "storage",
    "tools",
    "server",
    "tests",
    "examples",
    "benchmarks",
    "deploy",
    "docs",
    "scripts",
    "ARCHITECTURE.md",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "Makefile",
    "pyproject.toml",
)
"""Folders and files of the root that are held to it: all."""
EXEMPT = {"docs/glossary.md", "tests/house/test_plain_words.py"}
"""These name the words, to ban them."""
TEXTS = {".py", ".md", ".toml", ".html", ".yaml", ".yml", ".conf", ".sh", ".service", ".js", ""}
NOT_OURS = {"node_modules", "__pycache__", "vendor"}
PUZZLING = re.compile(r"\b(whoever|in +hand|(?:is|are) +told|by +and +by|taken +up)\b", re.IGNORECASE)


def texts(name: str) -> list[Path]:
    """The text files of a folder of the root, or the one file."""
    found = [ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*"))
    return [
        path
        for path in found
        if path.is_file()
        and path.suffix in TEXTS
        and not NOT_OURS & set(path.relative_to(ROOT).parts)
        and str(path.relative_to(ROOT)) not in EXEMPT
    ]


def puzzling(path: Path) -> list[str]:
    """Each place of a file with such a word; a sentence may be broken between two lines."""
    text = path.read_text()
    flat = re.sub(r"\s", " ", text)
    joined = re.sub(r"(?<= )#(?= )|(?<= )\*(?= )", " ", flat)
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1} {match[0]}"
        for match in PUZZLING.finditer(joined)
    ]


@pytest.mark.parametrize("name", CLEAN)
def test_there_is_no_puzzling_word(name: str) -> None:
    assert [place for path in texts(name) for place in puzzling(path)] == []
