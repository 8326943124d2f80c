"""The official conformance suite against a real server: ``make conformance``.

Installs the suite and the Node.js that it needs by npm into a folder that git ignores, starts ``jobsprint serve
--conformance-fixtures``, runs what two revisions of the protocol require and every scenario of the tasks extension,
and prints what became of each check. There is no list of expected failures: one failed check, and it fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.support.server_process import ROOT, ServerProcess

PACKAGES = ("@modelcontextprotocol/conformance@0.2.0-alpha.12", "node@24")
FOLDER = ROOT / "build" / "conformance"
SUITE = FOLDER / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
NODE = FOLDER / "node_modules" / "node" / "bin" / "node"
REVISIONS = ("2026-07-28", "2025-11-25")
STATUSES = ("SUCCESS", "FAILURE", "WARNING", "SKIPPED", "INFO")
TIMEOUT_SECONDS = 600


def install() -> None:
    """Have npm bring what is not there yet."""
    installed = FOLDER / "installed.json"
    if installed.exists() and json.loads(installed.read_text()) == list(PACKAGES):
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    npm = ["npm", "install", "--prefix", str(FOLDER), "--no-save", "--no-audit", "--no-fund", *PACKAGES]
    subprocess.run(npm, check=True, timeout=TIMEOUT_SECONDS)
    installed.write_text(json.dumps(PACKAGES))


def suite(*arguments: str) -> str:
    """What the suite prints; it ends with an error where a check fails, which its results say better."""
    command = [str(NODE), str(SUITE), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_SECONDS).stdout


def run(url: str, *what: str) -> list[dict[str, str]]:
    """Every check of a run, with the scenario that it belongs to."""
    with tempfile.TemporaryDirectory() as results:
        printed = suite("server", "--url", url, "--output-dir", results, *what)
        files = sorted(Path(results).glob("*/checks.json"))
        assert files, f"the suite has run nothing:\n{printed}"
        return [
            {"scenario": re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*$", "", file.parent.name), **check}
            for file in files
            for check in json.loads(file.read_text())
        ]


def task_scenarios() -> list[str]:
    """Scenarios of the tasks extension."""
    found = re.findall(r"^ *- (tasks-\S+)", suite("list", "--server"), re.MULTILINE)
    assert found, "the suite has no scenarios for tasks"
    return found


def main() -> int:
    """Run everything and tell of it; 1 where a check has failed."""
    install()
    runs: dict[str, list[dict[str, str]]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(Path(folder), {"JOBSPRINT_LOG_LEVEL": "error"}, arguments=["--conformance-fixtures"]) as server,
    ):
        url = f"{server.url}/mcp"
        for revision in REVISIONS:
            runs[f"requirements {revision}"] = run(url, "--requirements", revision)
        for scenario in task_scenarios():
            runs[scenario] = run(url, "--scenario", scenario)
    failed = 0
    for name, checks in runs.items():
        counts = Counter(check["status"] for check in checks)
        print(f"{name:35}", ", ".join(f"{counts[status]} {status.lower()}" for status in STATUSES if counts[status]))
        for check in checks:
            if check["status"] in ("FAILURE", "WARNING", "SKIPPED"):
                why = check.get("errorMessage", check["description"])
                print(f"  {check['status'].lower()}: {check['scenario']}: {check['id']}: {why}")
        failed += counts["FAILURE"]
    print(f"{failed} checks failed" if failed else "no check failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
