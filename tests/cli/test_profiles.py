"""Profiles are read and validated, and options, environment and profiles have the documented precedence."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from stepflow_cli.errors import ExitCode, Problem
from stepflow_cli.server import connect
from stepflow_cli.settings import profiles
from stepflow_cli.settings.profiles import Profile, Profiles
from stepflow_cli.settings.server_choice import DEFAULT_URL, ServerOptions, choose_server
from stepflow_client import StepflowClient

TABLES: dict[str, Any] = {"prod": {"url": "https://prod", "timeout": 60}, "dev": {"url": "http://dev"}}


def write_config(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_read_a_file(tmp_path: Path) -> None:
    path = write_config(
        tmp_path,
        'current = "prod"\n[profiles.prod]\nurl = "https://prod"\n'
        'token_command = "echo secret"\ntimeout = 60\nca_file = "ca.pem"\n',
    )
    loaded = profiles.load_profiles(path)
    assert loaded.current == "prod"
    profile = loaded.get_profile("prod")
    assert profile.read_token() == "secret"
    assert profile.get_connection_settings() == {"timeout": 60, "verify": str(tmp_path / "ca.pem")}


def test_missing_file_has_no_profiles(tmp_path: Path) -> None:
    assert profiles.load_profiles(tmp_path / "none.toml") == Profiles(tmp_path / "none.toml")


def test_path_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEPFLOW_CONFIG_FILE", str(tmp_path / "mine.toml"))
    assert profiles.get_config_path() == tmp_path / "mine.toml"
    monkeypatch.delenv("STEPFLOW_CONFIG_FILE")
    assert profiles.get_config_path().name == "config.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("current = [", "is not TOML"),
        ("curent = 'a'", "unknown key curent"),
        ("current = 1", "current must be the name of a profile"),
        ("profiles = 1", "each profile must be a table"),
        ("[profiles.a]\nurl = 'u'\ntimout = 1", "profile a: unknown key timout"),
        ("[profiles.a]\nurl = 'u'\ntoken = 'x'", "profile a: unknown key token"),
        ("[profiles.a]\ntimeout = 1", "profile a: url is missing"),
        ("[profiles.a]\nurl = ''", "profile a: url must be the URL of a server"),
        ("[profiles.a]\nurl = 'http://u:p@host'", "profile a: url must be a URL without a password"),
        ("[profiles.a]\nurl = 'u'\ntimeout = '1'", "profile a: timeout must be a positive number"),
        ("[profiles.a]\nurl = 'u'\nverify = 1", "profile a: verify must be true or false"),
        ("[profiles.a]\nurl = 'u'\ntoken_command = [1]", "profile a: token_command must be a command"),
        ("[profiles.a]\nurl = 'u'\ntoken_command = '\"'", "profile a: token_command must be a command"),
        ("[profiles.a]\nurl = 'u'\ntoken_env = 'A'\ntoken_file = 'b'", "mutually exclusive"),
        ("[profiles.a]\nurl = 'u'\nkey_file = 'b'", "key_file needs cert_file"),
        ("[profiles.b]\nurl = 'u'", "unknown profile a"),
    ],
)
def test_invalid_files(text: str, message: str, tmp_path: Path) -> None:
    path = write_config(tmp_path, text)
    with pytest.raises(Problem) as raised:
        profiles.load_profiles(path).get_profile("a")
    assert message in raised.value.message
    assert str(path) in raised.value.message
    assert raised.value.exit_code is ExitCode.USAGE


def test_token_file_must_be_private(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    profile = Profile("a", tmp_path, "u", token_file="token")
    file.chmod(0o640)
    with pytest.raises(Problem, match="others can read") as raised:
        profile.read_token()
    assert raised.value.hint == f"chmod 600 {file}"
    file.chmod(0o600)
    assert profile.read_token() == "secret"
    file.write_text("\n")
    with pytest.raises(Problem, match="is empty"):
        profile.read_token()
    file.unlink()
    with pytest.raises(Problem, match="cannot be read"):
        profile.read_token()


def test_token_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    profile = Profile("a", tmp_path, "u", token_env="MY_TOKEN")
    monkeypatch.delenv("MY_TOKEN", raising=False)
    with pytest.raises(Problem, match="MY_TOKEN contains no token"):
        profile.read_token()
    monkeypatch.setenv("MY_TOKEN", "secret")
    assert profile.read_token() == "secret"


@pytest.mark.parametrize("command", [("false",), ("true",), ("/no/such/command",)])
def test_token_command_without_a_token(command: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(Problem, match=f"token command {command[0]}"):
        Profile("a", tmp_path, "u", token_command=command).read_token()


def test_token_command_that_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow_cli.settings.profiles._TOKEN_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(Problem, match=r"token command sleep did not end within 0\.2 s"):
        Profile("a", tmp_path, "u", token_command=("sleep", "60")).read_token()


def test_too_deeply_nested_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"x = {'[' * 100_000}")
    with pytest.raises(Problem, match="nested too deeply"):
        profiles.load_profiles(path)


@pytest.mark.parametrize(
    ("options", "environ", "current", "url", "origin"),
    [
        ({}, {}, None, None, "default"),
        ({"default": "server"}, {}, None, "http://localhost:7837", "default"),
        ({}, {}, "prod", "https://prod", "profile prod in "),
        ({}, {"STEPFLOW_PROFILE": "dev"}, "prod", "http://dev", "profile dev in "),
        ({"profile": "prod"}, {"STEPFLOW_PROFILE": "dev"}, None, "https://prod", "profile prod in "),
        ({}, {"STEPFLOW_URL": "http://e", "STEPFLOW_PROFILE": "dev"}, "prod", "http://e", "environment variable"),
        ({"url": "http://f"}, {"STEPFLOW_URL": "http://e"}, "prod", "http://f", "flag --url"),
        ({"url": "local"}, {}, "prod", "http://localhost:7837", "flag --url"),
        ({}, {"STEPFLOW_URL": "Local"}, "prod", "http://localhost:7837", "environment variable"),
        ({"local": True}, {"STEPFLOW_URL": "http://e"}, "prod", None, "flag --local"),
        ({"config": "x.yml"}, {"STEPFLOW_URL": "http://e"}, "prod", None, "flag --config"),
    ],
)
def test_precedence_of_options_environment_and_profiles(
    options: dict[str, Any], environ: dict[str, str], current: str | None, url: str | None, origin: str
) -> None:
    profile_file = Profiles(Path("/config.toml"), current, TABLES)
    with patch.dict(os.environ, environ, clear=True):
        settings = choose_server(ServerOptions(**options), profiles=profile_file)
    assert settings.url.value == url
    assert settings.url.origin.startswith(origin)
    assert settings.is_embedded == (url is None)


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        ({"local": True, "url": "u"}, {}),
        ({"config": "c", "profile": "prod"}, {}),
        ({"url": "u", "profile": "prod"}, {}),
        ({"profile": "prod"}, {"STEPFLOW_URL": "u"}),
    ],
)
def test_conflicting_options_are_refused(options: dict[str, Any], environ: dict[str, str]) -> None:
    with pytest.raises(Problem) as raised, patch.dict(os.environ, environ, clear=True):
        choose_server(ServerOptions(**options), profiles=Profiles(Path("/config.toml"), None, TABLES))
    assert raised.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("options", "environ", "toml", "explanation"),
    [
        ({"default": "server"}, {}, "", "server http://localhost:7837 (default)"),
        ({"url": "http://me:hidden@f"}, {}, "", "server http://f (from --url)"),
        ({}, {"STEPFLOW_URL": "http://e"}, "", "server http://e (from STEPFLOW_URL)"),
        ({}, {"STEPFLOW_PROFILE": "dev"}, "", "server http://dev (from profile dev)"),
        ({}, {}, "", "embedded server (default) with the builtin components"),
        (
            {"local": True},
            {"STEPFLOW_URL": "http://e"},
            "",
            "embedded server (from --local) with the builtin components",
        ),
        ({"config": "c.yml"}, {}, "", "embedded server (from --config) with c.yml (from --config)"),
        ({}, {}, 'config = "c.yml"', "embedded server (default) with the builtin components"),
        ({"reads_project": True}, {}, 'config = "c.yml"', "embedded server (default) with c.yml (from stepflow.toml)"),
        ({}, {}, "folder", "embedded server (default) with flows/stepflow-config.yml (from the flow's folder)"),
    ],
)
def test_choice_is_explained_in_one_line(
    options: dict[str, Any],
    environ: dict[str, str],
    toml: str,
    explanation: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows").mkdir()
    (tmp_path / "c.yml").touch()
    if toml == "folder":
        (tmp_path / "flows" / "stepflow-config.yml").touch()
    else:
        (tmp_path / "stepflow.toml").write_text(toml)
    profile_file = Profiles(Path("/config.toml"), None, TABLES)
    with patch.dict(os.environ, environ, clear=True):
        choice = choose_server(ServerOptions(**options), "flows/f.yaml", profiles=profile_file)
    assert choice.explanation == explanation


@pytest.mark.parametrize("name", ["STEPFLOW_URL", "STEPFLOW_PROFILE", "STEPFLOW_CONFIG_FILE"])
def test_invalid_variable_is_named(name: str) -> None:
    value = "/none.toml" if name == "STEPFLOW_CONFIG_FILE" else " "
    with pytest.raises(Problem, match=name) as raised, patch.dict(os.environ, {name: value}, clear=True):
        choose_server(ServerOptions())
    assert raised.value.exit_code is ExitCode.USAGE


def test_origins_do_not_contain_tokens() -> None:
    tables = {"prod": {"url": "https://prod", "token_env": "MY_TOKEN", "timeout": 5}}
    environ = {"STEPFLOW_TOKEN": "secret", "MY_TOKEN": "secret", "STEPFLOW_TIMEOUT": "7"}
    with patch.dict(os.environ, environ, clear=True):
        settings = choose_server(ServerOptions(), profiles=Profiles(Path("/c.toml"), "prod", tables))
    origins = {each.name: (each.value, each.origin) for each in settings.settings}
    assert origins["token"] == ("env: MY_TOKEN", "profile prod in /c.toml")
    assert origins["timeout"] == ("7", "environment variable STEPFLOW_TIMEOUT")
    assert origins["profile"] == ("prod", "current in /c.toml")
    assert origins["verify"] == (True, "default")
    assert "secret" not in str(origins)


def test_note_about_a_running_local_server(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(connect, "note", notes.append)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with socket.create_server(("localhost", 0)) as other:
        monkeypatch.setattr(connect, "DEFAULT_PORT", other.getsockname()[1])
        with connect.connect(ServerOptions()):
            pass
        with connect.connect(ServerOptions(local=True)):
            pass
    assert len(notes) == 1
    assert "--url local" in notes[0]


def test_command_and_client_have_the_same_default_url() -> None:
    assert StepflowClient().url == StepflowClient.from_env().url == DEFAULT_URL
