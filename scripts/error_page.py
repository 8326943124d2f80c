"""docs/errors.md: every code with its cause, what to do, and a real example."""

from __future__ import annotations

import asyncio
import json
import logging
import tomllib
from pathlib import Path
from typing import Any

from scripts.error_codes import codes_in_sources
from scripts.error_examples import examples

CATALOGUE = Path(__file__).with_name("errors.toml")

FINDINGS = """What `validate_workflow` finds, and what `create_workflow` and `update_workflow` refuse or warn of.
A `patch` (RFC 6902) corrects its finding; patches are applied in the order of the findings."""
FAILURES = """In an execution's `error`, in a node run's, and in the field `error` of items that `on_error` sends on.
`transient` ones were tried again as the node's `retry` says."""

PLACES = {
    "call": ("Errors of calls", 'A tool answers with `isError` and `{"error": …}`; REST with a problem document.'),
    "finding": ("Findings", FINDINGS),
    "node": ("Failures of nodes and executions", FAILURES),
    "http": ("Refusals over HTTP", "Problem documents (RFC 9457) of REST, webhooks and resume links."),
    "resource": ("Errors of resources", "A JSON-RPC error with the code -32602."),
    "server": ("Failures of the server itself", "Written to standard error and to the log."),
}
"""Where a code appears: the title of its section of the page, and the section's introduction."""

INTRODUCTION = """# Errors

Every failure says what is wrong (`code`, stable, for programs; `message`, one sentence), where (`pointer`, a JSON
pointer into what was sent) and what to do (`fix`; `next`, the tool call to make, ready to be made; `patch` at
findings, which `update_workflow` takes as `{"op": "patch"}`). Nothing is ever half saved. Secrets are redacted.
(This page is generated: `make docs`. The examples are real answers.)
"""


def catalogue() -> dict[str, dict[str, Any]]:
    """Every documented code with ``where`` it appears, its ``cause`` and its ``mend``."""
    return tomllib.loads(CATALOGUE.read_text())


def errors_page() -> str:
    """The page."""
    logging.disable(logging.ERROR)  # the failures are wanted
    try:
        shown = asyncio.run(examples())
    finally:
        logging.disable(logging.NOTSET)
    sources = codes_in_sources()
    parts = [INTRODUCTION]
    for place, (title, about) in PLACES.items():
        parts += [f"## {title}", "", about, ""]
        for code, entry in catalogue().items():
            if entry["where"][0] == place:
                parts += _entry(code, entry, shown.get(code), sources.get(code, []))
    return "\n".join(parts)


def _entry(code: str, entry: dict[str, Any], example: Any, modules: list[str]) -> list[str]:
    others = [PLACES[place][0].lower() for place in entry["where"][1:]]
    also = f" (Also among: {', '.join(others)}.)" if others else ""
    lines = [f"### `{code}`", "", f"{entry['cause']}{also}", "", f"**What to do:** {entry['mend']}", ""]
    if example is not None:
        lines += ["```json", json.dumps(example, indent=2, ensure_ascii=False), "```", ""]
    return [*lines, f"Source: {', '.join(f'`{module}`' for module in modules)}", ""]
