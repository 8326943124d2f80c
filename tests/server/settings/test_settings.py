"""Settings come from the environment and .env, and wrong ones are reported by name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from server.settings.settings import BadSettingsError, Settings
from server.walls.guards import allowed_hosts
from tests.support.server_process import JOBSPRINT, environment


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No .env of the developer's."""
    monkeypatch.chdir(tmp_path)


def test_nothing_is_required() -> None:
    settings = Settings.load()
    assert (settings.host, settings.port, settings.is_local) == ("127.0.0.1", 8765, True)
    assert settings.effective_database_url.endswith("jobsprint.db")


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("JOBSPRINT_PORT=1111\nJOBSPRINT_HOST=::1\nOTHER=1\n")
    monkeypatch.setenv("JOBSPRINT_PORT", "2222")
    settings = Settings.load()
    assert settings.base_url == "http://[::1]:2222"


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBSPRINT_ALLOWED_HOSTS", "a.example, b.example:*")
    assert {"a.example", "b.example:*", "localhost:*"} <= set(allowed_hosts(Settings.load()))


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBSPRINT_WEBHOOK_SECRETS", '{"github": "very secret"}')
    monkeypatch.setenv("JOBSPRINT_DATABASE_URL", "postgresql://u:very-secret@h/d")
    assert "secret@" not in repr(Settings.load())
    assert "very secret" not in repr(Settings.load())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("JOBSPRINT_PORT", "many", "JOBSPRINT_PORT"),
        ("JOBSPRINT_PORT", "70000", "JOBSPRINT_PORT"),
        ("JOBSPRINT_PROT", "1", "Did you mean 'JOBSPRINT_PORT'?"),
        ("JOBSPRINT_LOG_FORMAT", "xml", "JOBSPRINT_LOG_FORMAT"),
        ("JOBSPRINT_WEBHOOK_SECRETS", "not json", "webhook_secrets"),
        ("JOBSPRINT_PUBLIC_URL", "example.com", "JOBSPRINT_PUBLIC_URL"),
    ],
)
def test_a_wrong_setting_is_told_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettingsError) as caught:
        Settings.load()
    assert words in caught.value.message


def run(*arguments: str, settings: dict[str, str], data_dir: Path) -> subprocess.CompletedProcess[str]:
    """What the command does that is expected to fail."""
    return subprocess.run(
        [JOBSPRINT, *arguments],
        env=environment(data_dir, settings),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("command", ["serve", "stdio"])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"JOBSPRINT_PROT": "1"}, "JOBSPRINT_PORT"),
        ({"JOBSPRINT_DATA_DIR": "/proc/none"}, "/proc/none"),
        ({"JOBSPRINT_DATABASE_URL": "mysql://x/y"}, "mysql"),
        ({"JOBSPRINT_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, "database"),
    ],
)
def test_the_command_says_in_one_line_why_it_does_not_start(
    command: str, settings: dict[str, str], words: str, data_dir: Path
) -> None:
    ended = run(command, settings={"JOBSPRINT_PORT": "0", **settings}, data_dir=data_dir)
    assert ended.returncode == 1
    assert ended.stderr.startswith("jobsprint: ")
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("overrides", "is_local"),
    [
        ({}, True),
        ({"host": "localhost"}, True),
        ({"host": "127.8.9.1"}, True),
        ({"host": "::1"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "::"}, False),
        ({"host": "192.0.2.1"}, False),
        ({"host": "jobsprint.example"}, False),
        ({"public_url": "http://localhost:9000"}, True),
        ({"public_url": "http://[::1]:9000"}, True),
        ({"public_url": "https://jobsprint.example"}, False),
        ({"public_url": "https://localhost.example"}, False),
        ({"allowed_hosts": "127.0.0.1:*, localhost, [::1]:8080, ::1, dev.localhost:*"}, True),
        ({"allowed_hosts": "localhost, jobsprint.example:*"}, False),
        ({"allowed_hosts": "192.0.2.1"}, False),
    ],
)
def test_a_server_is_local_where_only_this_machine_reaches_it(overrides: dict[str, str], is_local: bool) -> None:
    assert Settings.load(**overrides).is_local is is_local
