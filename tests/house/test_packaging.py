"""What Jobsprint gives to registries and desktop clients, compared with their schemas and with the project."""

from __future__ import annotations

import json
import re
import tomllib

from scripts.packaging import REGISTRY_NAME, ROOT, as_text, manifest, server_json
from server.version import VERSION

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_server_json_is_that_of_the_project() -> None:
    assert (ROOT / "server.json").read_bytes() == as_text(server_json()), "run `make docs`"


def test_server_json_is_as_the_registry_wants_it() -> None:
    entry = json.loads((ROOT / "server.json").read_text())
    assert set(entry) == {"$schema", "name", "title", "description", "version", "packages"}
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", entry["name"])
    assert 3 <= len(entry["name"]) <= 200
    assert 1 <= len(entry["title"]) <= 100
    assert 1 <= len(entry["description"]) <= 100
    assert entry["version"] == VERSION == PROJECT["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", entry["version"])
    for package in entry["packages"]:
        assert {"registryType", "identifier", "transport"} <= set(package)
        assert (package["registryType"], package["identifier"]) == ("pypi", PROJECT["name"])
        assert package["version"] == VERSION
        assert all(each["type"] == "positional" and each["value"] for each in package["packageArguments"])
        assert all(each["name"].startswith("JOBSPRINT_") for each in package["environmentVariables"])
    transports = {package["transport"]["type"]: package["transport"] for package in entry["packages"]}
    assert transports["stdio"] == {"type": "stdio"}
    assert re.fullmatch(r"https?://\S+", transports["streamable-http"]["url"])


def test_the_readme_says_the_name_by_which_the_registry_knows_whose_package_it_is() -> None:
    assert f"mcp-name: {REGISTRY_NAME}" in (ROOT / "README.md").read_text()


def test_the_command_that_is_packaged_is_one_that_there_is() -> None:
    made = manifest({"find_nodes": "Finds."})
    assert made["version"] == VERSION
    assert made["server"]["type"] == "uv"
    assert made["server"]["mcp_config"]["args"][-2:] == ["jobsprint", "stdio"]
    assert "jobsprint" in PROJECT["scripts"]
    assert made["tools"] == [{"name": "find_nodes", "description": "Finds."}]
    assert (ROOT / made["server"]["entry_point"]).is_file()
