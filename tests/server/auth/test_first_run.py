"""A real server without accounts, the command that makes them, and where it does not start."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.ports import free_port
from tests.support.server_process import JOBSPRINT, ServerProcess, environment
from tests.support.services import REDIS_URL, need

PASSWORD = "correct horse battery"
OTHER_PASSWORD = "another horse battery"
ADA = {"email": "ada@example.com", "password": PASSWORD}
DEFINITION = {"name": "made before", "nodes": {"start": {"type": "manual"}}}


def jobsprint(
    data_dir: Path, *arguments: str, password: str = "", settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command on the data folder; the password goes to its standard input."""
    return subprocess.run(
        [JOBSPRINT, *arguments],
        env=environment(data_dir, settings),
        cwd=data_dir.parent,
        input=f"{password}\n" if password else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def log_in(url: str, **body: str) -> dict[str, Any]:
    """What logging in gives."""
    answer = httpx2.post(f"{url}/auth/login", json={**ADA, **body})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    """The header of an access token."""
    return {"authorization": f"Bearer {tokens['access_token']}"}


def test_the_local_user_works_until_the_first_account_takes_over(data_dir: Path) -> None:
    with ServerProcess(data_dir) as server:
        made = httpx2.post(f"{server.url}/api/workflows", json=DEFINITION)
        assert made.status_code == 201
        location = f"{server.url}{made.headers['location']}"
        wrong = httpx2.get(location, headers={"authorization": "Bearer wrong"})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "not_authenticated")

        registered = httpx2.post(f"{server.url}/auth/register", json=ADA)
        assert (registered.status_code, registered.json()["workspace_id"]) == (201, "local")
        assert httpx2.get(location).status_code == 401
        assert httpx2.post(f"{server.url}/mcp", json={}).status_code == 401
        assert httpx2.get(location, headers=bearer(registered.json())).json()["name"] == "made before"
        assert httpx2.get(f"{server.url}/healthz").status_code == 200
        assert server.stop() == 0
        assert "let in, without a login" in "".join(server.log)

        server.log.clear()
        server.start()
        assert httpx2.get(f"{server.url}/api/workflows").status_code == 401
        tokens = log_in(server.url)
        listed = httpx2.get(f"{server.url}/api/workflows", headers=bearer(tokens)).json()["workflows"]
        assert [each["name"] for each in listed] == ["made before"]
        assert server.stop() == 0
        log = "".join(server.log)
        assert "let in, without a login" not in log
        assert PASSWORD not in log


@pytest.mark.parametrize(
    "settings",
    [
        {"JOBSPRINT_HOST": "0.0.0.0"},
        {"JOBSPRINT_PUBLIC_URL": "https://jobsprint.example"},
        {"JOBSPRINT_ALLOWED_HOSTS": "jobsprint.example"},
    ],
)
def test_a_server_that_others_reach_does_not_start_before_there_is_an_account(
    data_dir: Path, settings: dict[str, str]
) -> None:
    data_dir.mkdir()
    refused = jobsprint(data_dir, "serve", "--port", "0", settings=settings)
    assert refused.returncode == 1
    assert "jobsprint users add" in refused.stderr
    assert "JOBSPRINT_REGISTRATION" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_server_that_others_reach_starts_where_people_can_get_accounts(data_dir: Path) -> None:
    settings = {"JOBSPRINT_HOST": "0.0.0.0", "JOBSPRINT_REGISTRATION": "invitation"}
    with ServerProcess(data_dir, settings) as server:
        assert server.log[-1].endswith("/auth/login\n")
        assert httpx2.get(f"{server.url}/api/workflows").status_code == 401
        refused = httpx2.post(f"{server.url}/auth/register", json=ADA)
        assert (refused.status_code, refused.json()["code"]) == (403, "registration_closed")


def test_a_server_that_others_reach_starts_when_somebody_has_an_account(data_dir: Path) -> None:
    data_dir.mkdir()
    assert jobsprint(data_dir, "users", "add", ADA["email"], "--password-stdin", password=PASSWORD).returncode == 0
    with ServerProcess(data_dir, {"JOBSPRINT_HOST": "0.0.0.0"}) as server:
        assert httpx2.get(f"{server.url}/api/workflows").status_code == 401
        log_in(server.url)


def test_accounts_are_made_and_listed_on_the_command_line(data_dir: Path) -> None:
    data_dir.mkdir()
    ada = ("add", "Ada@Example.com", "--name", "Ada", "--password-stdin")
    added = jobsprint(data_dir, "users", *ada, password=PASSWORD)
    assert added.stdout == "ada@example.com has an account now, and owns the workspace 'local'.\n"
    second = jobsprint(data_dir, "users", "add", "ben@example.com", "--password-stdin", password=PASSWORD)
    assert second.stdout == "ben@example.com has an account now.\n"
    listed = jobsprint(data_dir, "users", "list").stdout.splitlines()
    assert [line.split("\t")[:3] for line in listed] == [
        ["ada@example.com", "Ada", "active"],
        ["ben@example.com", "ben", "active"],
    ]


def test_while_a_server_has_the_folder_the_command_says_what_to_do(server: ServerProcess) -> None:
    held_off = jobsprint(server.data_dir, "users", "list")
    assert held_off.returncode == 1
    assert "Stop it, run this again" in held_off.stderr


def test_a_password_that_is_changed_on_the_command_line_ends_the_sessions(data_dir: Path) -> None:
    with ServerProcess(data_dir, arguments=["--port", str(free_port())]) as server:
        tokens = httpx2.post(f"{server.url}/auth/register", json=ADA).json()
        assert server.stop() == 0
        changed = jobsprint(data_dir, "users", "password", ADA["email"], "--password-stdin", password=OTHER_PASSWORD)
        assert changed.stdout == "ada@example.com has another password now; their sessions have ended.\n"
        server.start()
        assert httpx2.get(f"{server.url}/auth/me", headers=bearer(tokens)).status_code == 401
        assert httpx2.post(f"{server.url}/auth/login", json=ADA).status_code == 401
        log_in(server.url, password=OTHER_PASSWORD)


def test_a_user_who_is_disabled_on_the_command_line_is_out_until_that_is_undone(data_dir: Path) -> None:
    with ServerProcess(data_dir, arguments=["--port", str(free_port())]) as server:
        tokens = httpx2.post(f"{server.url}/auth/register", json=ADA).json()
        assert server.stop() == 0
        disabled = jobsprint(data_dir, "users", "disable", ADA["email"])
        assert disabled.stdout == "ada@example.com is disabled; their sessions have ended.\n"
        server.start()
        assert httpx2.get(f"{server.url}/auth/me", headers=bearer(tokens)).status_code == 401
        refused = httpx2.post(f"{server.url}/auth/login", json=ADA)
        assert (refused.status_code, refused.json()["code"]) == (403, "account_disabled")
        assert server.stop() == 0
        back = jobsprint(data_dir, "users", "disable", "--undo", ADA["email"])
        assert back.stdout == "ada@example.com can log in again.\n"
        server.start()
        log_in(server.url)


@pytest.mark.parametrize(
    ("arguments", "password", "message"),
    [
        (["add", "ada", "--password-stdin"], PASSWORD, "no e-mail address"),
        (["add", "ada@example.com", "--password-stdin"], "short", "from 10 to 1,000 characters"),
        (["add", "ada@example.com"], "", "--password-stdin"),
        (["disable", "ada@example.com"], "", "There is no user 'ada@example.com'."),
        (["password", "ada@example.com", "--password-stdin"], PASSWORD, "There is no user 'ada@example.com'."),
    ],
)
def test_a_wrong_command_says_what_is_wrong(data_dir: Path, arguments: list[str], password: str, message: str) -> None:
    data_dir.mkdir()
    failed = jobsprint(data_dir, "users", *arguments, password=password)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_sessions_in_redis_outlive_a_restart(data_dir: Path) -> None:
    need("Redis")
    with ServerProcess(data_dir, {"JOBSPRINT_REDIS_URL": REDIS_URL}, ["--port", str(free_port())]) as server:
        tokens = httpx2.post(f"{server.url}/auth/register", json=ADA).json()
        assert server.stop() == 0
        server.start()
        assert httpx2.get(f"{server.url}/auth/me", headers=bearer(tokens)).status_code == 200
        fresh = httpx2.post(f"{server.url}/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
        assert httpx2.get(f"{server.url}/auth/me", headers=bearer(fresh)).status_code == 200
        left = httpx2.post(f"{server.url}/auth/logout", headers=bearer(fresh))
        assert left.status_code == 204
        assert httpx2.get(f"{server.url}/auth/me", headers=bearer(fresh)).status_code == 401
