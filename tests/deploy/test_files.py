"""The files of deploy/ are what their programs take, and name what there is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.settings.settings import PREFIX, Settings
from storage.queue.topology import Topology
from storage.queue.waiting import PRIORITIES
from tests.support.services import go_without, need_program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
MANIFESTS = sorted(DEPLOY.glob("kubernetes/*.yaml"))


def tool(name: str) -> str:
    """A checker that `make deploy-check` has installed."""
    path = ROOT / "build" / "deploy" / "bin" / name
    return str(path) if path.exists() else go_without(f"{name} is not there: run `make deploy-check`")


def run(*command: str, **more: Any) -> None:
    """Run a checker; it must find nothing."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_that_is_named_is_one() -> None:
    named = {name for path in FILES for name in re.findall(rf"\b{PREFIX}([A-Z0-9_]+)\b", path.read_text())}
    assert named
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


def test_queues_that_are_watched_are_ours() -> None:
    watched = re.findall(r"queueName: ([\w.]+)", (DEPLOY / "kubernetes" / "autoscaling.yaml").read_text())
    assert watched == [Topology().work_queue(priority) for priority in PRIORITIES]


def test_the_compose_file_is_one() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_what_kubernetes_takes(path: Path) -> None:
    own = [
        each for each in yaml.safe_load_all(path.read_text()) if not each["apiVersion"].startswith(("keda.", "kust"))
    ]
    assert own or path.name == "kustomization.yaml"
    for each in own:
        document = subprocess.run(
            [tool("kubernetes-validate"), "--strict", "--version", "1.33", "-"],
            input=yaml.safe_dump(each),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert document.returncode == 0, document.stdout + document.stderr


def test_every_manifest_is_in_the_kustomization() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted({path.name for path in MANIFESTS} - {"kustomization.yaml"})


def test_the_dockerfile_is_as_one_should_be() -> None:
    # DL3006/DL3008: tags move; who builds an image pins them in their own registry.
    run(tool("hadolint"), str(DEPLOY / "Dockerfile"))


def test_what_the_image_is_built_from_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = {"engine", "integrations", "prompts", "server", "storage", "tools", "workflow"}
    assert kept >= packages | {"pyproject.toml", "deploy/requirements.lock", "README.md", "LICENSE"}


@pytest.mark.parametrize("unit", ["jobsprint-serve.service", "jobsprint-worker@.service"])
def test_units_are_what_systemd_takes(unit: str, tmp_path: Path) -> None:
    analyze = need_program("systemd-analyze")
    text = (DEPLOY / "systemd" / unit).read_text()
    # It wants to see the program, which is not installed here.
    program = tmp_path / "jobsprint"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / unit.replace("@", "@1")
    copy.write_text(text.replace("/opt/jobsprint/bin/jobsprint", str(program)))
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""
