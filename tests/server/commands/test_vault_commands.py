"""The vault's keys from the command line, and what a server does without one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.http_target import HttpTarget
from tests.support.server_process import JOBSPRINT, ServerProcess, environment

# Every command starts a process of its own, and a loaded machine takes its time.
pytestmark = pytest.mark.timeout(180)

SECRET = "pl4nted-s3cret-1"


def run(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What a command says."""
    return subprocess.run(
        [JOBSPRINT, "vault", *arguments],
        env=environment(data_dir, settings),
        cwd=data_dir,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def prepared(http: httpx2.AsyncClient, target: HttpTarget) -> str:
    """A credential, and a workflow that uses it."""
    crm = {"name": "crm", "kind": "bearer", "token": SECRET, "allowed_hosts": ["127.0.0.1"]}
    assert (await http.post("/api/credentials", json=crm)).status_code == 201
    call = {"type": "http_request", "parameters": {"url": f"{target.url}/echo", "credential": "crm"}}
    definition = {"name": "calls", "nodes": {"start": {"type": "manual"}, "call": call}}
    answer = await http.post("/api/workflows", json={**definition, "connections": [["start", "call"]]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["workflow_id"])


async def ran(http: httpx2.AsyncClient, workflow_id: str) -> dict[str, Any]:
    """The execution's end."""
    answer = await http.post(f"/api/workflows/{workflow_id}/execute", json={"wait_seconds": 30})
    content: dict[str, Any] = answer.json()
    return content


async def test_keys_change_while_a_server_runs_and_it_goes_on(data_dir: Path, target: HttpTarget) -> None:
    with ServerProcess(data_dir) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
            workflow_id = await prepared(http, target)
            assert (await ran(http, workflow_id))["status"] == "succeeded"
            for _ in range(2):
                rotated = run(data_dir, "rotate", "--new-key")
                assert rotated.returncode == 0, rotated.stderr
                assert "Credentials encrypted anew: 1. With the first key now: 1." in rotated.stdout
                assert "is not needed any more" in rotated.stdout
                assert (await ran(http, workflow_id))["status"] == "succeeded"
    keys = (data_dir / "vault.keys").read_text().split()
    assert len(keys) == 3
    # The old keys are not needed by anything.
    (data_dir / "vault.keys").write_text(f"{keys[0]}\n")
    with ServerProcess(data_dir) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
            assert (await ran(http, workflow_id))["status"] == "succeeded"
    assert [each["headers"]["authorization"] for each in target.received] == [f"Bearer {SECRET}"] * 4


async def test_a_server_without_the_key_says_which_credential_it_cannot_use(data_dir: Path, target: HttpTarget) -> None:
    with ServerProcess(data_dir) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
            workflow_id = await prepared(http, target)
    (data_dir / "vault.keys").unlink()
    other = run(data_dir, "new-key").stdout.strip()
    with ServerProcess(data_dir, {"JOBSPRINT_VAULT_KEYS": other}) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
            failed = await ran(http, workflow_id)
            assert (failed["status"], failed["error"]["code"]) == ("failed", "credential_not_usable")
            assert "JOBSPRINT_VAULT_KEYS" in failed["error"]["fix"]
            assert [each["name"] for each in (await http.get("/api/credentials")).json()["credentials"]] == ["crm"]
            checked = (await http.post("/api/credentials/crm/check")).json()
            assert checked["error"]["code"] == "credential_not_usable"
        rotated = run(data_dir, "rotate", JOBSPRINT_VAULT_KEYS=other)
        assert (rotated.returncode, "'crm' of workspace 'local'" in rotated.stdout) == (1, True)
    assert target.received == []


def test_a_new_key_cannot_go_into_the_environment_and_a_bad_one_is_named(tmp_path: Path) -> None:
    key = run(tmp_path, "new-key").stdout.strip()
    refused = run(tmp_path, "rotate", "--new-key", JOBSPRINT_VAULT_KEYS=key)
    assert (refused.returncode, "cannot be changed from here" in refused.stderr) == (1, True)
    bad = run(tmp_path, "rotate", JOBSPRINT_VAULT_KEYS="short")
    assert (bad.returncode, "JOBSPRINT_VAULT_KEYS" in bad.stderr) == (1, True)
    with_file = tmp_path / "keys"
    with_file.write_text(key)
    with_file.chmod(0o600)
    rotated = run(tmp_path, "rotate", "--new-key", JOBSPRINT_VAULT_KEY_FILE=str(with_file))
    assert rotated.returncode == 0, rotated.stderr
    assert with_file.read_text().split()[1:] == [key]
