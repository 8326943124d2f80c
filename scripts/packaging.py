"""Jobsprint's entries for registries and clients: ``server.json`` and the manifest of the ``.mcpb`` bundle.

Both say what ``pyproject.toml`` says, so that a version is written in one place.

Sources: the MCP registry's schema of 2025-12-11; the MCPB manifest in version 0.4, the first that knows ``uv``.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
REGISTRY_NAME = "io.github.jobsprint/jobsprint"
REGISTRY_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
MANIFEST_VERSION = "0.4"
ROOMS = ("workflow", "engine", "prompts", "integrations", "storage", "tools", "server")
BUNDLED_FILES = ("pyproject.toml", "README.md", "LICENSE")


def server_json() -> dict[str, Any]:
    """The entry for the MCP registry: the package from PyPI, started on stdio or as a server on this machine."""
    project = _project()
    package = {
        "registryType": "pypi",
        "identifier": project["name"],
        "version": project["version"],
        "runtimeHint": "uvx",
        "environmentVariables": [
            {
                "name": "JOBSPRINT_DATA_DIR",
                "description": "Folder that workflows and executions are kept in; by default the user's data folder.",
                "format": "filepath",
            }
        ],
    }
    return {
        "$schema": REGISTRY_SCHEMA,
        "name": REGISTRY_NAME,
        "title": "Jobsprint",
        "description": project["description"],
        "version": project["version"],
        "packages": [
            {
                **package,
                "packageArguments": [{"type": "positional", "value": "stdio"}],
                "transport": {"type": "stdio"},
            },
            {
                **package,
                "packageArguments": [{"type": "positional", "value": "serve"}],
                "transport": {"type": "streamable-http", "url": "http://127.0.0.1:8765/mcp"},
            },
        ],
    }


def manifest(tools: Mapping[str, str]) -> dict[str, Any]:
    """The bundle's manifest; ``tools`` maps the names of what the server lists to descriptions."""
    project = _project()
    return {
        "manifest_version": MANIFEST_VERSION,
        "name": project["name"],
        "display_name": "Jobsprint",
        "version": project["version"],
        "description": project["description"],
        "author": {"name": "The Jobsprint maintainers"},
        "license": project["license"],
        "keywords": project["keywords"],
        "icon": "icon.png",
        "icons": [{"src": "icon.png", "size": "256x256"}],
        "server": {
            "type": "uv",
            "entry_point": "server/commands/cli.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", "--no-dev", "jobsprint", "stdio"],
            },
        },
        "tools": [{"name": name, "description": description} for name, description in tools.items()],
        "tools_generated": True,
        "compatibility": {
            "platforms": ["darwin", "linux"],
            "runtimes": {"python": project["requires-python"]},
        },
    }


def stage(folder: Path, tools: Mapping[str, str]) -> None:
    """Fill ``folder``, which is made anew, with everything that the bundle holds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUNDLED_FILES:
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "tools/icons/jobsprint.png", folder / "icon.png")
    (folder / "manifest.json").write_bytes(as_text(manifest(tools)))


def as_text(document: Mapping[str, Any]) -> bytes:
    """The document as it is written to a file."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project
