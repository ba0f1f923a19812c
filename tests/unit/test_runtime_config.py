"""What a server is started with, and what is refused before one is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stepflow_client._server_config import builtin_config, prepare_config
from stepflow_client._server_process import server_environment
from stepflow_client._supervisor import RestartPolicy
from stepflow_client.errors import FlowFileError, InvalidArgumentError, ServerNotInstalledError
from stepflow_client.runtime import StepflowRuntime


@pytest.mark.parametrize(
    ("installed", "route", "fallback"),
    [
        ((0, 9), "/builtin/{*component}", None),
        ((0, 12), "/builtin/{*component}", None),
        ((0, 13), "/builtin", None),
        ((1, 0), "/builtin", None),
        (None, "/builtin/{*component}", builtin_config("/builtin")),
    ],
)
def test_the_default_config_suits_the_release(
    installed: tuple[int, int] | None, route: str, fallback: dict[str, Any] | None
) -> None:
    config = prepare_config(None, None, installed)
    assert config.load() == builtin_config(route)
    assert config.fallback == fallback
    assert config.arguments() == ["--config-stdin"]
    assert json.loads(config.stdin() or b"") == builtin_config(route)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yml", "plugins: {}\nroutes: {}\n"),
        ("c.json", '{\n\t"plugins": {}, "routes": {}}'),
        ("c.yml", '{"plugins": {}, "routes": {}}'),
    ],
)
def test_a_file_is_passed_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    config = prepare_config(name, None, None)
    assert config.arguments() == ["--config", str(tmp_path / name)]
    assert config.stdin() is None
    assert config.load() == {"plugins": {}, "routes": {}}


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yml", tmp_path):
        with pytest.raises(FlowFileError, match=str(path)) as caught:
            StepflowRuntime.start(path)
        assert caught.value.path == str(path)


@pytest.mark.parametrize(("text", "line"), [("a: [1\nb: }", 2), ("- 1", None), ("", None)])
def test_a_config_that_is_no_mapping(tmp_path: Path, text: str, line: int | None) -> None:
    (tmp_path / "c.yml").write_text(text)
    with pytest.raises(FlowFileError) as caught:
        prepare_config(tmp_path / "c.yml", None, None).load()
    assert caught.value.line == line


def test_a_dict_is_copied() -> None:
    given = {"plugins": {"a": {"type": "builtin"}}}
    config = prepare_config(None, given, None)
    given["plugins"]["a"]["type"] = "mock"
    config.load()["plugins"].clear()
    assert config.load() == {"plugins": {"a": {"type": "builtin"}}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"config_path": "x.yml", "config": {}},
        {"config_path": 3},
        {"config": [1]},
        {"config": {"a": object()}},
        {"config": {"a": float("nan")}},
        {"port": 0},
        {"port": 65_536},
        {"port": "7840"},
        {"port": True},
        {"env": {"A": 1}},
        {"env": {1: "a"}},
        {"env": {"A=B": "a"}},
        {"env": ["A=1"]},
        {"startup_timeout": 0},
        {"startup_timeout": -1.0},
        {"startup_timeout": float("nan")},
        {"startup_timeout": "1"},
        {"max_restarts": -1},
        {"restart_policy": "always"},
        {"log_config": {}},
        {"on_crash": 1},
    ],
)
def test_wrong_arguments_are_refused_before_a_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        StepflowRuntime.start(**wrong)


def test_a_binary_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(tmp_path / "none"))
    with pytest.raises(ServerNotInstalledError, match="no such file"):
        StepflowRuntime.start()
    (tmp_path / "none").write_text("text")
    with pytest.raises(ServerNotInstalledError, match="not an executable file"):
        StepflowRuntime.start()


def test_windows_is_refused_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ServerNotInstalledError, match="Linux and macOS only"):
        StepflowRuntime.start()


@pytest.mark.parametrize("missing", ["psutil", "stepflow_orchestrator"])
def test_without_the_extra_the_error_says_what_to_install(missing: str) -> None:
    code = (
        "import importlib.util as u, sys\n"
        f"find = u.find_spec; u.find_spec = lambda name, *a: None if name == {missing!r} else find(name, *a)\n"
        "from stepflow_client.runtime import StepflowRuntime\n"
        "from stepflow_client.errors import ServerNotInstalledError\n"
        "try: StepflowRuntime.start()\n"
        "except ServerNotInstalledError as error: print(error)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "STEPFLOW_SERVER_BINARY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert 'pip install "stepflow-client[runtime]"' in done.stdout


def test_the_import_is_light() -> None:
    code = "import sys, stepflow_client.runtime; print(*{'psutil', 'httpx', 'yaml'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "psutil" not in done.stdout


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "1")
    monkeypatch.setenv("STEPFLOW_CONFIG", "/other.yml")
    inherited = server_environment({"MORE": "2"}, True, "t")
    assert (inherited["OWN"], inherited["MORE"], inherited["STEPFLOW_RUNTIME_TOKEN"]) == ("1", "2", "t")
    assert "STEPFLOW_CONFIG" not in inherited
    assert server_environment({"MORE": "2"}, False, "t") == {"MORE": "2", "STEPFLOW_RUNTIME_TOKEN": "t"}


@pytest.mark.parametrize(
    ("policy", "covered"),
    [(RestartPolicy.NEVER, ()), (RestartPolicy.ON_FAILURE, (1, -9)), (RestartPolicy.ALWAYS, (0, 1, -9))],
)
def test_what_a_policy_covers(policy: RestartPolicy, covered: tuple[int, ...]) -> None:
    assert tuple(code for code in (0, 1, -9) if policy.covers(code)) == covered
