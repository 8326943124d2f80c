"""schemathesis against a real server: ``make fuzz``.

It makes requests of its own from ``/openapi.json``, right and wrong ones, without a token and with one. No answer may
be a fault of the server, have a status or a type that is not described, or differ from its schema.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2

from tests.support.server_process import ServerProcess

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
SECONDS = 70
"""For each of the two runs."""
ACCOUNT = {"email": "fuzzer@example.com", "password": "correct horse battery staple"}
SETTINGS = {
    "JOBSPRINT_REGISTRATION": "open",
    "JOBSPRINT_LOG_LEVEL": "warning",
    "JOBSPRINT_RATE_LIMIT_PER_MINUTE": "",
    "JOBSPRINT_EXPRESSION_CPU_SECONDS": "0.5",
}


def fuzz(url: str, token: str | None) -> int:
    """The exit status of a run."""
    command = [
        SCHEMATHESIS,
        "--config-file",
        str(Path(__file__).with_name("schemathesis.toml")),
        "run",
        f"{url}/openapi.json",
        "--checks",
        ",".join(CHECKS),
        "--max-time",
        str(SECONDS),
        "--max-examples",
        "40",
        "--generation-deterministic",
        "--no-shrink",
        "--suppress-health-check",
        "all",
        "--warnings",
        "off",
        "--request-timeout",
        "60",
        # What ends the session that the rest of the run needs.
        "--exclude-path",
        "/auth/logout",
        "--exclude-path",
        "/auth/password",
    ]
    if token is not None:
        command += ["--header", f"Authorization: Bearer {token}"]
    return subprocess.run(command, check=False, timeout=SECONDS + 120).returncode


def main() -> int:
    """Run it twice; 0 where nothing was found."""
    with tempfile.TemporaryDirectory() as folder, ServerProcess(Path(folder) / "data", SETTINGS) as server:
        made = httpx2.post(f"{server.url}/auth/register", json=ACCOUNT)
        if made.status_code != 201:
            raise SystemExit(f"no account could be made: {made.text}")
        token = made.json()["access_token"]
        statuses = [fuzz(server.url, None), fuzz(server.url, token)]
        assert httpx2.get(f"{server.url}/healthz").status_code == 200
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
