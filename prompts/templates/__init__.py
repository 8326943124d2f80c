"""The built-in templates, one data file each, and what reads them.

Must not: hold a template that a workspace's own check would find anything against; the tests save every one of them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from prompts.documents import template_of
from workflow.prompt_templates import PromptTemplate


def load_templates() -> list[PromptTemplate]:
    """Every built-in template, by name; their version is 0."""
    return [
        template_of(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
        for path in sorted(Path(__file__).parent.glob("*.toml"))
    ]
