"""The example of a package with node types: built, installed, found, run and type-checked as its author would do it."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import engine.node_api
from engine.node_api.testing import run_node
from engine.nodes.registry import BUILT_IN, load_registry
from tests.server.conftest import connected
from tests.support import server_process
from tests.support.http_target import listening
from tests.support.server_process import ROOT, ServerProcess

SOURCE = ROOT / "examples" / "own_node"
NO_SCHEMA = """
from collections.abc import Callable
from engine.node_api import ItemNode, Parameters

class OfNode(Parameters):
    value: Callable[[], int]

class Node(ItemNode[OfNode]):
    name = title = group = "x"
    parameter_model = OfNode

    def run_item(self, item, parameters, call):
        return None
"""
BROKEN = {
    "absent": ("import no_such_module", "No module named 'no_such_module'"),
    "leaving": ("raise SystemExit(1)", "SystemExit"),
    "no_class": ("Node = 5", "5 is not a subclass of ItemNode, BatchNode, AsyncNode or EffectNode"),
    "no_kind": ("from engine.node_api import NodeType as Node", "is not a subclass of ItemNode"),
    "no_name": ("from engine.node_api import ItemNode as Node", "has no class attribute 'name'"),
    "same_name": ("from engine.nodes.set_ import Set as Node", "Two node types are named 'set'"),
    "no_schema": (NO_SCHEMA, "Cannot generate a JsonSchema"),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's folder, copied, so that a build leaves nothing in the checkout."""
    copied = tmp_path_factory.mktemp("package") / "own_node"
    shutil.copytree(SOURCE, copied, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    return copied


@pytest.fixture(scope="module")
def installed(package: Path) -> Path:
    """A folder that the package is installed into, without the network."""
    folder = package.parent / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", str(folder), str(package)], check=True)
    return folder


@pytest.fixture
async def phone() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a double of an ntfy server, and what was sent to it."""
    received: list[dict[str, Any]] = []

    async def publish(request: Request) -> JSONResponse:
        received.append(await request.json())
        return JSONResponse({"id": f"m{len(received)}", "time": 1735732800, "event": "message"})

    async with listening(Starlette(routes=[Route("/", publish, methods=["POST"])])) as url:
        yield url, received


def test_its_own_tests_pass(package: Path, installed: Path) -> None:
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    _succeeds(pytest_, package, PYTHONPATH=str(installed))


@pytest.mark.long
def test_mypy_is_content_with_it_and_sees_our_types(package: Path) -> None:
    mypy = [sys.executable, "-m", "mypy", "--cache-dir", str(package.parent / "mypy")]
    _succeeds(mypy, package)
    (package / "wrong.py").write_text(
        "from engine.node_api import HttpRequest, NodeCall, NoParameters\n"
        "def use(call: NodeCall[NoParameters]) -> HttpRequest:\n"
        "    call.effect_key('0')\n"
        "    return HttpRequest(method=1, url='x')\n"
    )
    ran = subprocess.run([*mypy, "wrong.py"], cwd=package, capture_output=True, text=True, check=False)
    assert 'to "effect_key" of "NodeCall" has incompatible type "str"' in ran.stdout
    assert 'to "HttpRequest" has incompatible type "int"' in ran.stdout


def test_the_wheel_tells_type_checkers_that_it_is_typed(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    # engine.node_api gives names of both.
    assert {"engine/py.typed", "workflow/py.typed"} <= set(ZipFile(wheel).namelist())


def test_it_imports_nothing_of_ours_but_the_node_api() -> None:
    lines = [line for path in SOURCE.rglob("*.py") for line in path.read_text().splitlines()]
    rooms = ("workflow", "engine", "prompts", "integrations", "storage", "tools", "server")
    ours = [
        line
        for line in lines
        if line.startswith(tuple(f"{word} {room}" for word in ("from", "import") for room in rooms))
    ]
    assert {line.split()[1] for line in ours} == {"engine.node_api", "engine.node_api.testing"}


def test_every_name_of_the_node_api_is_in_its_documentation() -> None:
    page = (ROOT / "docs" / "own-nodes.md").read_text()
    words = set(re.findall(r"\w+", page))
    assert sorted(set(engine.node_api.__all__) - words) == []


async def test_the_node_type_that_the_documentation_begins_with_works() -> None:
    page = (ROOT / "docs" / "own-nodes.md").read_text()
    source = page.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"__name__": "slug"}
    exec(compile(source, "own-nodes.md", "exec", dont_inherit=True), names)  # noqa: S102 it is our own page
    kind = names["Slug"]()
    assert kind.problems_of(kind.example) == []
    ran = await run_node(kind, lambda item: {"text": item["title"]}, [{"title": "A Fine Day"}])
    assert [each["slug"] for each in ran.json()] == ["a-fine-day"]


async def test_a_server_lists_and_runs_its_node_types(
    installed: Path, phone: tuple[str, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, received = phone
    _start_afresh(monkeypatch)
    definition = {
        "name": "masked alert",
        "nodes": {
            "start": {"type": "manual"},
            "mask": {"type": "mask_text", "parameters": {"fields": ["text"]}},
            "push": {
                "type": "push_message",
                "parameters": {"topic": "alerts", "message": "={{ $json.text }}", "server": url},
            },
        },
        "connections": [["start", "mask"], ["mask", "push"]],
    }
    with ServerProcess(tmp_path / "data", {"PYTHONPATH": str(installed)}) as server:
        async with connected("http", "modern", server, tmp_path) as mcp:
            (found,) = (await mcp.call("find_nodes", name="push_message"))["nodes"]
            assert found["parameters"]["properties"]["priority"]["maximum"] == 5
            assert found["example"]["parameters"]["topic"] == "orders"
            listed = [each["type"] for each in (await mcp.call("find_nodes", query="phone alert"))["nodes"]]
            assert "push_message" in listed
            made = await mcp.call("create_workflow", definition=definition)
            ran = await mcp.call(
                "execute_workflow", workflow_id=made["workflow_id"], input={"text": "Call ada@example.com"}
            )
    assert ran["status"] == "succeeded", ran
    (item,) = ran["output"]["items"]["push"]
    assert (item["masked"]["email"], item["push"]["id"]) == (1, "m1")
    assert [each["message"] for each in received] == ["Call [email]"]


@pytest.mark.long
async def test_a_server_starts_without_a_node_type_that_is_broken(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _start_afresh(monkeypatch)
    _install(tmp_path / "broken", "absent", BROKEN["absent"][0])
    server = ServerProcess(tmp_path / "data", {"PYTHONPATH": f"{tmp_path / 'broken'}:{installed}"})
    server.start()
    try:
        async with connected("http", "modern", server, tmp_path) as mcp:
            nodes = await mcp.call("find_nodes", name="mask_text")
            assert nodes["nodes"][0]["title"] == "Mask personal data"
    finally:
        assert server.stop() == 0
    log = "".join(server.log)
    assert "package jobsprint-absent, entry point node = absent:Node: node type left out" in log
    assert BROKEN["absent"][1] in log


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_left_out_and_the_log_names_the_package(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source, reason = BROKEN[name]
    _install(tmp_path, name, source)
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level(logging.WARNING, logger="engine.nodes.registry"):
        registry = load_registry()
    assert len(list(registry)) >= len(BUILT_IN)
    assert type(registry.get("set")) in BUILT_IN
    assert f"package jobsprint-{name.replace('_', '-')}" in caplog.text
    assert reason in caplog.text


def test_of_two_packages_with_one_name_the_first_by_the_packages_name_wins(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _install(tmp_path, "zzz", "from jobsprint_example_nodes.mask_text import MaskText as Mine\nclass Node(Mine): ...")
    monkeypatch.syspath_prepend(installed)
    monkeypatch.syspath_prepend(tmp_path)
    found = load_registry().get("mask_text")
    assert type(found).__module__ == "jobsprint_example_nodes.mask_text"
    assert "package jobsprint-zzz" in caplog.text
    assert "Two node types are named 'mask_text'" in caplog.text


def _install(folder: Path, name: str, source: str) -> None:
    """A package of one module, as an installer leaves it."""
    distribution = f"jobsprint-{name.replace('_', '-')}"
    metadata = folder / f"{distribution.replace('-', '_')}-0.1.dist-info"
    metadata.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text(f"[jobsprint.nodes]\nnode = {name}:Node\n")


def _start_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers started by the real command: what tests fork from was loaded without the package on its path."""
    monkeypatch.setattr(server_process, "JOBSPRINT", str(Path(sys.executable).with_name("jobsprint")))


def _succeeds(command: list[str], folder: Path, **environment: str) -> None:
    ran = subprocess.run(
        command,
        cwd=folder,
        env={**server_process.environment(folder / "data"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
