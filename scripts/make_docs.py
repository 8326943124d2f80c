"""Writes the generated pages: docs/definition.md from the guide that agents read, docs/settings.md from the settings'
model, docs/nodes.md from the node types, docs/errors.md from the catalogue of codes and what a server answers, and
server.json from pyproject.toml.

Run it with ``make docs``; a test compares the pages with the code.
"""

from __future__ import annotations

from typing import Any

import orjson
from pydantic_core import PydanticUndefined

from engine.nodes.registry import BUILT_IN, NodeRegistry
from scripts.error_page import errors_page
from scripts.packaging import ROOT, as_text, server_json
from server.settings.settings import PREFIX, Settings
from tools.definition_guide import page

DOCS = ROOT / "docs"


def settings_page() -> str:
    """The table of settings."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable or a line of the file `.env` in the working directory. None is",
        "required. Durations are in seconds, sizes in bytes. (This page is generated: `make docs`.)",
        "",
        "| variable | default | what it does |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{PREFIX}{name.upper()}` | {_default(name, field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(name: str, field: Any) -> str:
    if name == "data_dir":
        return "the user's data folder"
    value = field.default_factory() if field.default is PydanticUndefined else field.default
    if isinstance(value, tuple):
        value = ",".join(value)
    return f"`{value}`" if value not in (None, "", {}) else "–"


def nodes_page() -> str:
    """Every built-in node type with its parameters and an example."""
    parts = ["# Node types", "", "What workflows are made of. (This page is generated: `make docs`.)", ""]
    for kind in NodeRegistry(BUILT_IN):
        inputs, outputs = kind.inputs_of(kind.example), kind.outputs_of(kind.example)
        parts += [
            f"## `{kind.name}`: {kind.title}",
            "",
            kind.documentation,
            "",
            f"Inputs: {', '.join(inputs) or 'none, it is a trigger'}. Outputs: {', '.join(outputs)}.",
            "",
        ]
        properties = kind.schema.json_schema().get("properties", {})
        required = kind.schema.json_schema().get("required", [])
        if properties:
            parts += ["| parameter | type | default | meaning |", "|---|---|---|---|"]
            for name, schema in properties.items():
                default = "required" if name in required else f"`{orjson.dumps(schema.get('default')).decode()}`"
                meaning = schema.get("description", "").replace("|", "\\|")
                parts.append(f"| `{name}` | {_type(schema)} | {default} | {meaning} |")
            parts.append("")
        if kind.example:
            example = orjson.dumps(
                {"type": kind.name, "parameters": dict(kind.example)}, option=orjson.OPT_INDENT_2
            ).decode()
            parts += ["```json", example, "```", ""]
    return "\n".join(parts)


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(option) for option in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


PAGES = {"definition.md": page, "settings.md": settings_page, "nodes.md": nodes_page, "errors.md": errors_page}


def main() -> None:
    """Write every page."""
    for name, made in PAGES.items():
        (DOCS / name).write_text(made())
    (ROOT / "server.json").write_bytes(as_text(server_json()))


if __name__ == "__main__":
    main()
