"""The image of deploy/Dockerfile is built, and runs as it says that it can: read-only, without root.

No container engine is needed: buildah follows the Dockerfile, bubblewrap gives what it made a root of its own and a
network of its own. Debian's Python takes the place of the base image, which comes from a registry.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.services import go_without, need_program

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PACKAGES = "python3-venv,python3-pip,python-is-python3,ca-certificates"
OF_THIS_MACHINE = ("/etc/pip.conf", "/etc/xdg/pip", "/etc/ssl/certs")
"""How packages are reached from here, so also from within the build."""
CHECKED_SECONDS = 30


@dataclass(slots=True, frozen=True)
class Image:
    """What was built: its files, and what it says of itself."""

    root: Path
    config: dict[str, Any]


def output(*command: str, seconds: float = 60) -> str:
    """What a command prints; it must end well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Built from a base that is called as the Dockerfile's is."""
    for program in ("buildah", "debootstrap", "bwrap", "setpriv"):
        need_program(program)
    if os.geteuid() != 0:
        go_without("only root can build an image here")
    folder = tmp_path_factory.mktemp("image")
    buildah = ("buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run"))
    with ExitStack() as stack:
        stack.callback(output, *buildah, "rmi", "--all", "--force")
        stack.callback(output, *buildah, "rm", "--all")
        (name,) = set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE))
        mirror = output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").split()[0]
        suite = re.findall(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)[0]
        base = str(folder / "base")
        output("debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, base, mirror, seconds=300)
        empty = output(*buildah, "from", "scratch")
        output(*buildah, "add", "--quiet", empty, base, "/", seconds=200)
        output(*buildah, "commit", "--quiet", empty, f"docker.io/library/{name}", seconds=200)
        volumes = [f"--volume={path}:{path}:ro" for path in OF_THIS_MACHINE if Path(path).exists()]
        isolated = ("--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker")
        output(*buildah, "build", *isolated, *volumes, "-f", str(DOCKERFILE), "-t", "jobsprint", ".", seconds=400)
        made = output(*buildah, "from", "--pull-never", "jobsprint")
        config = json.loads(output(*buildah, "inspect", "--type", "image", "jobsprint"))["Docker"]["config"]
        yield Image(Path(output(*buildah, "mount", made)), config)


def test_it_serves_read_only_without_root_and_its_health_check_finds_it_healthy(image: Image, tmp_path: Path) -> None:
    data, user = tmp_path / "data", int(image.config["User"])
    assert user > 0
    assert list(image.config["Volumes"]) == ["/data"]
    data.mkdir()
    os.chown(data, user, user)
    check = " ".join(f"'{word}'" if word != "CMD" else "" for word in _quoted(image.config["Healthcheck"]["Test"]))
    command = " ".join([*image.config["Entrypoint"], *image.config["Cmd"]])
    # The server is up when its own health check says so; then it gets the signal by which an engine stops it.
    script = f"""
        echo "correct horse battery staple" | jobsprint users add ada@example.com --password-stdin || exit 7
        {command} & server=$!
        tries=0
        until {check}; do tries=$((tries + 1)); test $tries -lt {CHECKED_SECONDS} || exit 9; sleep 1; done
        touch /forbidden && exit 8
        id -u > /data/user
        kill -{image.config["StopSignal"].removeprefix("SIG")} $server
        wait $server
    """
    sandbox = ["bwrap", "--ro-bind", str(image.root), "/", "--tmpfs", "/tmp", "--bind", str(data), "/data"]  # noqa: S108
    sandbox += ["--proc", "/proc", "--dev", "/dev", "--unshare-pid", "--unshare-net", "--die-with-parent", "--clearenv"]
    for line in image.config["Env"]:
        name, _, value = line.partition("=")
        sandbox += ["--setenv", name, value]
    sandbox += ["--chdir", image.config["WorkingDir"]]
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    done = subprocess.run(
        [*sandbox, *as_user, "sh", "-c", script], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (data / "user").read_text().strip() == str(user)
    assert (data / "jobsprint.db").stat().st_uid == user


def test_nothing_of_the_build_is_left_in_it(image: Image) -> None:
    assert not (image.root / "build").exists()
    assert not list((image.root / "opt" / "jobsprint").rglob("tests/server"))
    size = int(output("du", "--summarize", "--block-size=1M", str(image.root / "opt" / "jobsprint")).split()[0])
    assert size < 250, "MB: the packages that it needs, and no more"


def _quoted(words: list[str]) -> list[str]:
    """The words for a shell that puts them between single quotes."""
    return [word.replace("'", "'\\''") for word in words]
