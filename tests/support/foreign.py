"""Clients and servers of MCP that nobody here wrote, installed on demand under ``build/foreign``, pinned."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

from tests.support.server_process import ROOT

FOLDER = ROOT / "build" / "foreign"
NPM_PACKAGES = {
    "@modelcontextprotocol/inspector": "2.12.0",
    "@modelcontextprotocol/sdk": "1.32.2",
    "@modelcontextprotocol/client": "2.4.0",
    "@modelcontextprotocol/server": "2.4.0",
    "@modelcontextprotocol/node": "2.1.2",
    "zod": "4.6.7",
    "@heyputer/puter.js": "2.6.3",
    "oidc-provider": "9.13.3",
    # The Inspector wants a newer one than many machines have.
    "node": "24.21.0",
}
FASTMCP_PACKAGES = {
    "fastmcp": "4.1.6",
    # What uvicorn needs to serve it as fast as it serves us.
    "httptools": "0.9.0",
    "uvloop": "0.23.0",
}


class CannotInstallError(Exception):
    """What is foreign is not here and cannot be fetched; the message says why."""


def node_command(script: Path) -> list[str]:
    """The command that runs ``script`` with the npm packages in its reach.

    Raises:
        CannotInstallError: npm is missing, or it failed.
    """
    folder = FOLDER / "npm"
    if not _is_installed(folder, NPM_PACKAGES):
        if shutil.which("npm") is None:
            raise CannotInstallError("npm is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {"private": True, "type": "module", "dependencies": NPM_PACKAGES}
        (folder / "package.json").write_text(json.dumps(manifest))
        _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"], folder)
        _note_installed(folder, NPM_PACKAGES)
    # Node looks for packages beside the script.
    copied = shutil.copy(script, folder / script.name)
    return [str(folder / "node_modules" / ".bin" / "node"), str(copied)]


def fastmcp_command(script: Path) -> list[str]:
    """The command that runs ``script`` in the environment that has fastmcp.

    Raises:
        CannotInstallError: pip failed.
    """
    folder = FOLDER / "fastmcp"
    python = folder / "bin" / "python"
    if not _is_installed(folder, FASTMCP_PACKAGES):
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], ROOT)
        wanted = [f"{name}=={version}" for name, version in FASTMCP_PACKAGES.items()]
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], ROOT)
        _note_installed(folder, FASTMCP_PACKAGES)
    return [str(python), str(script)]


def sdk_example(name: str) -> Path:
    """The folder of one of the examples that the MCP SDK's source distribution holds, ``servers/simple-auth`` say:
    of the version that is installed, by the hash in the lock file.

    Raises:
        CannotInstallError: pip failed.
    """
    version = metadata.version("mcp")
    folder = FOLDER / "mcp-sdk"
    if not _is_installed(folder, {"mcp": version}):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        locked = re.search(r"^mcp==.*(?:\n    --hash=.*)+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
        assert locked is not None
        (folder / "requirements.txt").write_text(locked[0].removesuffix("\\") + "\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _run([*pip, "--no-binary", "mcp", "--require-hashes", "--requirement", "requirements.txt"], folder)
        with tarfile.open(folder / f"mcp-{version}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        _note_installed(folder, {"mcp": version})
    return folder / f"mcp-{version}" / "examples" / name


def _is_installed(folder: Path, packages: dict[str, str]) -> bool:
    note = folder / "installed.json"
    return note.exists() and json.loads(note.read_text()) == packages


def _note_installed(folder: Path, packages: dict[str, str]) -> None:
    (folder / "installed.json").write_text(json.dumps(packages))


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotInstallError(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-500:]}")
