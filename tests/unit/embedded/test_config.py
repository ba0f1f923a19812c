"""The configuration, arguments and environment of a server, and what is refused before it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stepflow_client._embedded.config import (
    WorkerPlugins,
    build_builtin_config,
    build_default_config,
    build_server_config,
    find_store_path,
    find_worker_plugins,
)
from stepflow_client._embedded.process import build_server_environment, collect_inherited_environment
from stepflow_client._embedded.supervisor import RestartPolicy
from stepflow_client.errors import FlowFileError, InvalidArgumentError, ServerNotInstalledError, ServerStartError
from stepflow_client.runtime import StepflowRuntime


@pytest.mark.parametrize(
    ("installed", "prefixes", "fallback"),
    [
        ((0, 9), False, None),
        ((0, 12), False, None),
        ((0, 13), True, None),
        ((1, 0), True, None),
        (None, False, build_builtin_config(use_prefix_routes=True)),
    ],
)
def test_the_default_config_depends_on_the_release(
    installed: tuple[int, int] | None, prefixes: bool, fallback: dict[str, Any] | None
) -> None:
    config = build_default_config(installed)
    assert config.load() == build_builtin_config(prefixes)
    assert config.fallback == fallback
    assert config.arguments() == ["--config-stdin"]
    assert json.loads(config.encode_for_stdin() or b"") == build_builtin_config(prefixes)


@pytest.mark.parametrize(
    ("allowed", "older", "newer"),
    [
        (
            False,
            {"/builtin/{*component}": [{"plugin": "builtin"}], "/builtin/load_file": []},
            {"/builtin": [{"plugin": "builtin", "componentDeny": ["/load_file"]}]},
        ),
        (True, {"/builtin/{*component}": [{"plugin": "builtin"}]}, {"/builtin": [{"plugin": "builtin"}]}),
    ],
)
def test_the_routes_of_the_default_config(allowed: bool, older: dict[str, Any], newer: dict[str, Any]) -> None:
    config = build_default_config(None, allowed)
    assert config.document is not None
    assert config.fallback is not None
    assert (config.document["routes"], config.fallback["routes"]) == (older, newer)


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
    config = build_server_config(name)
    assert config.arguments() == ["--config", str(tmp_path / name)]
    assert config.encode_for_stdin() is None
    assert config.load() == {"plugins": {}, "routes": {}}


CONFIG = 'plugins: {builtin: {type: builtin}}\nroutes: {"/builtin": [{plugin: builtin}]}\n'
PARSED = {"plugins": {"builtin": {"type": "builtin"}}, "routes": {"/builtin": [{"plugin": "builtin"}]}}


@contextmanager
def named_pipe(path: Path, text: str) -> Iterator[Path]:
    """Create a named pipe to which a thread writes `text` once."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(text,))
    writer.start()
    yield path
    writer.join()
    path.unlink()


def test_a_pipe_is_read_once_and_passed_on_stdin(tmp_path: Path) -> None:
    with named_pipe(tmp_path / "c.yml", CONFIG) as path:
        config = build_server_config(path)
    assert config.arguments() == ["--config-stdin"]
    assert json.loads(config.encode_for_stdin() or b"") == config.load() == PARSED
    reading, writing = os.pipe()
    os.write(writing, b'{"plugins": {}, "routes": {"/${NAME}": []}}')
    os.close(writing)
    config = build_server_config(f"/dev/fd/{reading}")
    os.close(reading)
    assert config.load() == {"plugins": {}, "routes": {"/${NAME}": []}}
    assert config.find_env_variables() == {"NAME"}


def test_a_file_descriptor_is_read_by_the_client(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(CONFIG)
    with open(tmp_path / "c.yml") as file:
        config = build_server_config(f"/dev/fd/{file.fileno()}")
    assert (config.path, config.load()) == (None, PARSED)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("plugins: {shop: {behaviors: {{sku: tea}: {eur: 3}}}}", "a key must be a string"),
        ("plugins: {}\nplugins: {}", "appears twice"),
        ("plugins: [", "is not YAML"),
    ],
)
def test_yaml_that_json_cannot_represent_needs_a_regular_file(tmp_path: Path, text: str, reason: str) -> None:
    with (
        named_pipe(tmp_path / "c.yml", text) as path,
        pytest.raises(FlowFileError, match=f"{reason}.*use a regular file") as caught,
    ):
        StepflowRuntime.start(path)
    assert caught.value.path == str(path)


def test_a_pipe_without_a_writer_fails_after_the_startup_timeout(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.yml")
    started = time.monotonic()
    with pytest.raises(FlowFileError, match=r"that received no data for 0(\.[0-3]\d*)? s"):
        StepflowRuntime.start(tmp_path / "c.yml", startup_timeout=0.3)
    assert time.monotonic() - started < 20


def test_an_endless_device_is_refused() -> None:
    with pytest.raises(FlowFileError, match="/dev/zero is larger than 256 MiB"):
        StepflowRuntime.start("/dev/zero")
    with pytest.raises(FlowFileError, match="is not a mapping"):
        StepflowRuntime.start(os.devnull)


@pytest.mark.parametrize("path", ["a\0b", "\ud800", b"c.yml", 5])
def test_an_invalid_config_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="config must be"):
        StepflowRuntime.start(path)


def test_a_config_in_an_unknown_home_folder_is_refused() -> None:
    with pytest.raises(FlowFileError, match="cannot be found"):
        StepflowRuntime.start("~nobody-has-this-name/c.yml")


def test_a_deleted_working_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(FlowFileError, match=r"c\.yml cannot be found: the working folder was deleted"):
        StepflowRuntime.start("c.yml")
    for arguments in ({}, {"config": PARSED}):
        with pytest.raises(ServerStartError, match="cannot start: the working folder was deleted"):
            StepflowRuntime.start(**arguments)


def test_the_error_names_a_config_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yml", tmp_path):
        with pytest.raises(FlowFileError, match=str(path)) as caught:
            StepflowRuntime.start(path)
        assert caught.value.path == str(path)


@pytest.mark.parametrize(("text", "line"), [("a: [1\nb: }", 2), ("- 1", None), ("", None)])
def test_a_config_that_is_no_mapping_is_refused(tmp_path: Path, text: str, line: int | None) -> None:
    (tmp_path / "c.yml").write_text(text)
    with pytest.raises(FlowFileError) as caught:
        build_server_config(tmp_path / "c.yml").load()
    assert caught.value.line == line


MOCK = """
plugins:
  shop:
    type: mock
    components:
      /price:
        behaviors:
          {sku: tea}: {outcome: success, result: {eur: 3}}
          {sku: [1]}: !odd {outcome: success}
          2: {outcome: success, result: !odd text}
  python: {type: grpc, queueName: python, command: sh, args: [worker.sh], env: {KEY: "${STEPFLOW_KEY:-none}"}}
  remote: {type: grpc, queueName: remote}
  bus: {type: nats, url: "nats://localhost"}
since: 2026-13-45
routes: {/shop: [{plugin: shop}]}
"""


def test_a_config_that_only_servers_can_read_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(MOCK)
    config = build_server_config(tmp_path / "c.yml")
    loaded = config.load_or_empty()
    behaviors = loaded["plugins"]["shop"]["components"]["/price"]["behaviors"]
    assert list(behaviors) == ['{"sku": "tea"}', '{"sku": [1]}', "2"]
    assert behaviors["2"]["result"] == "text"
    assert loaded["since"] == "2026-13-45"
    assert find_worker_plugins(loaded) == WorkerPlugins(
        frozenset({"python"}), frozenset({"remote", "bus"}), {"python": "python"}
    )
    assert config.find_env_variables() == {"STEPFLOW_KEY"}


@pytest.mark.parametrize("content", [b"a: [1\nb: }", b"- 1", b"", b"\xff\xfe", b"[" * 1_100, b"a: 1\n---\nb: 2"])
def test_an_unreadable_config_is_left_to_the_server(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.yml").write_bytes(content)
    config = build_server_config(tmp_path / "c.yml")
    assert config.load_or_empty() == {}
    assert find_worker_plugins(config.load_or_empty()) == WorkerPlugins(frozenset(), frozenset())


@pytest.mark.parametrize("config", [{"plugins": [1]}, {"plugins": {"a": 1}}, {"plugins": None}, {}])
def test_malformed_plugins_have_no_workers(config: dict[str, Any]) -> None:
    assert find_worker_plugins(config) == WorkerPlugins(frozenset(), frozenset())


@pytest.mark.parametrize(
    ("store", "path"),
    [
        ({"type": "sqlite", "databaseUrl": "sqlite:/var/a%20b.db?mode=rwc"}, "/var/a b.db"),
        ({"type": "sqlite", "databaseUrl": "sqlite:///var/a.db"}, "/var/a.db"),
        ({"type": "sqlite", "databaseUrl": "sqlite:a.db"}, "HERE/a.db"),
        ({"type": "sqlite", "databaseUrl": "sqlite://a.db?mode=rwc"}, "HERE/a.db"),
        ({"metadata": {"type": "sqlite", "databaseUrl": "sqlite:/a.db"}, "blobs": {"type": "inMemory"}}, "/a.db"),
        ({"type": "sqlite", "databaseUrl": "sqlite::memory:"}, None),
        ({"type": "sqlite", "databaseUrl": "sqlite:x?mode=memory"}, None),
        ({"type": "postgres", "databaseUrl": "postgres://db/x"}, None),
        ({"type": "sqlite", "databaseUrl": "sqlite:${HOME}/a.db"}, None),
        ({"type": "inMemory"}, None),
        ("sqlite", None),
        (None, None),
    ],
)
def test_find_store_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Any, path: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    expected = None if path is None else Path(path.replace("HERE", str(tmp_path)))
    assert find_store_path({"storageConfig": store}) == expected


def test_a_dict_is_copied() -> None:
    document = {"plugins": {"a": {"type": "builtin"}}}
    config = build_server_config(document)
    document["plugins"]["a"]["type"] = "mock"
    config.load()["plugins"].clear()
    assert config.load() == {"plugins": {"a": {"type": "builtin"}}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"config": 3},
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
        {"restart_policy": "sometimes"},
        {"log_config": {}},
        {"on_crash": 1},
        {"on_crash": lambda: None},
        {"on_crash": lambda a, b, c: None},
        {"worker_timeout": 0},
        {"worker_timeout": "1"},
        {"allow_load_file": 1},
        {"all_interfaces": "no"},
        {"allow_load_file": True, "config": {}},
        {"allow_load_file": True, "config": "x.yml"},
    ],
)
def test_invalid_arguments_are_refused_before_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        StepflowRuntime.start(**wrong)


def test_a_missing_or_invalid_binary_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(tmp_path / "none"))
    with pytest.raises(ServerNotInstalledError, match="does not exist"):
        StepflowRuntime.start()
    (tmp_path / "none").write_text("text")
    with pytest.raises(ServerNotInstalledError, match="not an executable file"):
        StepflowRuntime.start()


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
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
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert "packages/stepflow-client[runtime]'" in completed.stdout


def test_importing_the_runtime_does_not_import_psutil() -> None:
    code = "import sys, stepflow_client.runtime; print(*{'psutil', 'httpx', 'yaml'} & sys.modules.keys())"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "psutil" not in completed.stdout


def test_the_environment_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "1")
    monkeypatch.setenv("STEPFLOW_CONFIG", "/other.yml")
    inherited = build_server_environment({**collect_inherited_environment(), "MORE": "2"}, "t")
    assert (inherited["OWN"], inherited["MORE"], inherited["STEPFLOW_RUNTIME_TOKEN"]) == ("1", "2", "t")
    assert "STEPFLOW_CONFIG" not in inherited
    assert build_server_environment({"MORE": "2"}, "t") == {
        "MORE": "2",
        "STEPFLOW_COMPONENT_STDERR": "verbose",
        "STEPFLOW_RUNTIME_TOKEN": "t",
    }


def test_client_variables_are_not_passed_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "URL", "VAR_KEY", "SECRET", "NAMED", "LOG_LEVEL", "OTLP_ENDPOINT"):
        monkeypatch.setenv(f"STEPFLOW_{name}", name)
    environment = build_server_environment(
        {**collect_inherited_environment({"STEPFLOW_NAMED"}), "STEPFLOW_GIVEN": "1"}, "t"
    )
    assert {name: value for name, value in environment.items() if name.startswith("STEPFLOW_")} == {
        "STEPFLOW_GIVEN": "1",
        "STEPFLOW_NAMED": "NAMED",
        "STEPFLOW_LOG_LEVEL": "LOG_LEVEL",
        "STEPFLOW_OTLP_ENDPOINT": "OTLP_ENDPOINT",
        "STEPFLOW_COMPONENT_STDERR": "verbose",
        "STEPFLOW_RUNTIME_TOKEN": "t",
    }


def test_an_orchestrator_id_in_env_takes_precedence() -> None:
    assert build_server_environment({}, "t", orchestrator_id="a")["STEPFLOW_ORCHESTRATOR_ID"] == "a"
    env = {"STEPFLOW_ORCHESTRATOR_ID": "b"}
    assert build_server_environment(env, "t", orchestrator_id="a")["STEPFLOW_ORCHESTRATOR_ID"] == "b"


@pytest.mark.parametrize(
    ("policy", "covered"),
    [(RestartPolicy.NEVER, ()), (RestartPolicy.ON_FAILURE, (1, -9)), (RestartPolicy.ALWAYS, (0, 1, -9))],
)
def test_exit_codes_that_a_restart_policy_covers(policy: RestartPolicy, covered: tuple[int, ...]) -> None:
    assert tuple(code for code in (0, 1, -9) if policy.covers(code)) == covered
