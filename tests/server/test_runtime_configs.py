"""The configuration, environment, exposure and recovery of embedded servers of every release."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from stepflow_client import ExecutionStatus, StepflowRuntime, SyncStepflowClient
from stepflow_client._embedded.config import find_recovery_warnings
from stepflow_client.runtime import RestartPolicy

from tests import releases, workers
from tests.durable import free_port
from tests.server.flows import one_step

SECRET = "the-secret-of-this-file"


@pytest.fixture(autouse=True)
def _binary(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))


def route(release: str, name: str) -> str:
    return f"/{name}" if releases.number(release) >= (0, 13) else f"/{name}/{{*component}}"


# Configurations

MOCK = """
plugins:
  shop:
    type: mock
    components:
      /price:
        input_schema: {}
        output_schema: {}
        behaviors:
          {sku: tea}: {outcome: success, result: {eur: 3}}
          {sku: gold}: {outcome: success, result: {eur: 900}}
"""


def test_a_config_file_with_a_mock_plugin(release: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text(f'{MOCK}routes: {{"{route(release, "shop")}": [{{plugin: shop}}]}}\n')
    with StepflowRuntime.start(path) as runtime:
        flow = one_step("/shop/price", {"$input": "$"})
        assert runtime.sync_client.run(flow, {"sku": "tea"}).output == {"eur": 3}
        assert runtime.config["routes"] == {route(release, "shop"): [{"plugin": "shop"}]}


def test_the_default_config_does_not_let_flows_read_files(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text(json.dumps({"a": SECRET}))
    with StepflowRuntime.start() as runtime:
        for path in ("load_file", "/load_file", "load_file/", "./load_file", "x/../load_file"):
            flow = one_step(f"/builtin/{path}", {"$input": "$"})
            result = runtime.sync_client.run(flow, {"path": str(tmp_path / "secret.json")})
            assert result.is_failed, path
            assert SECRET not in json.dumps(result.to_dict()), path
        allowed = one_step("/builtin/create_messages", {"$input": "$"})
        assert runtime.sync_client.run(allowed, {"user_prompt": "Hello"}).is_success


def test_allow_load_file_lets_flows_read_files(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text(json.dumps({"a": SECRET}))
    with StepflowRuntime.start(allow_load_file=True) as runtime:
        flow = one_step("/builtin/load_file", {"$input": "$"})
        result = runtime.sync_client.run(flow, {"path": str(tmp_path / "secret.json")})
        assert result.output["data"] == {"a": SECRET}


def test_a_condition_on_a_step_does_not_stall(release: str) -> None:
    message = {"user_prompt": "Hello"}
    steps: list[dict[str, Any]] = [
        {"id": name, "component": "/builtin/create_messages", "input": message} for name in ("first", "yes", "no")
    ]
    chosen = {"$if": {"$step": "first"}, "then": {"$step": "yes"}, "else": {"$step": "no"}}
    steps.append({"id": "last", "component": "/builtin/put_blob", "input": {"data": chosen, "blob_type": "data"}})
    flow = {"name": "stall", "steps": steps, "output": {"$step": "last"}}
    with StepflowRuntime.start() as runtime:
        # By default, a server continues 10 stalled runs every 30 s. A single run may not stall at all.
        check_runs_end_in_time(runtime.url, [runtime.sync_client.submit(flow) for _ in range(300)])


# Exposure to others


def test_the_server_does_not_inherit_client_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_TOKEN", SECRET)
    monkeypatch.setenv("STEPFLOW_VAR_KEY", SECRET)
    monkeypatch.setenv("STEPFLOW_URL", f"http://user:{SECRET}@example.com")
    monkeypatch.setenv("OWN", "1")
    with StepflowRuntime.start() as runtime:
        assert runtime.pid is not None
        environment = psutil.Process(runtime.pid).environ()
        assert environment["OWN"] == "1"
        assert SECRET not in str(environment)


def test_a_variable_that_the_config_refers_to_reaches_the_worker(
    release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPFLOW_KEY", "value")
    config = workers.config(release)
    received = tmp_path / "received"
    command = [config["plugins"]["python"]["command"], *config["plugins"]["python"]["args"]]
    script = tmp_path / "worker.sh"
    # Up to 0.11, the server substitutes the variable and workers inherit nothing; 0.12 reversed that.
    name = "KEY" if releases.number(release) < (0, 12) else "STEPFLOW_KEY"
    script.write_text(f'printf "%s" "${name}" > "{received}"\nexec "$@"\n')
    config["plugins"]["python"] |= {
        "command": "sh",
        "args": [str(script), *command],
        "env": {"KEY": "${STEPFLOW_KEY}", "STEPFLOW_TRACE_ENABLED": "false"},
    }
    (tmp_path / "c.json").write_text(json.dumps(config))
    with StepflowRuntime.start(tmp_path / "c.json") as runtime:
        assert runtime.sync_client.run(one_step("/python/echo", {"$input": "$"}), 5).output == 5
    assert received.read_text() == "value"


def own_address() -> str:
    """Return an address by which others could reach this machine; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def is_reachable(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("exposed", [False, True])
def test_all_interfaces_exposes_the_port_to_other_machines(exposed: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stepflow.runtime")
    with StepflowRuntime.start(all_interfaces=exposed, restart_policy=RestartPolicy.ALWAYS) as runtime:
        for restarts in (0, 1):
            assert is_reachable("127.0.0.1", runtime.port)
            assert is_reachable(own_address(), runtime.port) is exposed
            assert runtime.is_exposed is exposed
            if restarts == 0:
                kill(runtime)
                while runtime.restarts == 0:
                    time.sleep(0.01)
                runtime.wait_ready()
        lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
        where = "all interfaces" if exposed else "the loopback interface"
        message = (
            f"The Stepflow server listens on port {runtime.port} of {where}, without authentication: "
            "anyone who can reach it can run flows and read runs and blobs"
        )
        assert [line for line in lines if "listens on port" in line] == [message, message]


def test_the_port_is_closed_to_others_before_the_workers_are_ready(release: str, tmp_path: Path) -> None:
    config = workers.config(release)
    plugin = config["plugins"]["python"]
    script = tmp_path / "worker.sh"
    script.write_text("sleep 60\n")
    plugin |= {"command": "sh", "args": [str(script)]}
    if releases.number(release) < (0, 12):
        pytest.skip("before 0.12, a server only listens once its workers are ready")
    port = free_port()
    runtime = StepflowRuntime.start(config=config, port=port)
    while not is_reachable("127.0.0.1", port):
        time.sleep(0.01)
    end = time.monotonic() + 10
    while is_reachable(own_address(), port):
        assert time.monotonic() < end
        time.sleep(0.05)
    runtime.stop()


def test_the_runtime_reports_that_it_cannot_close_the_port_to_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stepflow.runtime")
    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    with StepflowRuntime.start() as runtime:
        assert runtime.is_exposed
        assert is_reachable(own_address(), runtime.port)
    assert "of all interfaces" in caplog.text


def refuse(pid: int) -> int:
    """Fail like `pidfd_open` in a sandbox."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


# Restarts


@pytest.fixture
def durable(release: str, tmp_path: Path) -> dict[str, Any]:
    store = {"type": "sqlite", "databaseUrl": f"sqlite:{tmp_path / 'store.db'}?mode=rwc"}
    return {**workers.config(release), "storageConfig": store}


def kill(runtime: StepflowRuntime) -> None:
    assert runtime.pid is not None
    os.kill(runtime.pid, signal.SIGKILL)


@pytest.mark.parametrize("again", ["restart", "another runtime"])
def test_runs_resume_soon_after_a_crash(release: str, durable: dict[str, Any], again: str) -> None:
    policy = RestartPolicy.ALWAYS if again == "restart" else RestartPolicy.NEVER
    flow = one_step("/python/sleep", {"$input": "$"})
    with StepflowRuntime.start(config=durable, restart_policy=policy) as runtime:
        run_ids = [runtime.sync_client.submit(flow, {"seconds": 1}) for _ in range(6)]
        time.sleep(0.3)
        kill(runtime)
        if again == "restart":
            check_runs_end_in_time(runtime.url, run_ids)
    if again != "restart":
        with StepflowRuntime.start(config=durable) as runtime:
            check_runs_end_in_time(runtime.url, run_ids)


def check_runs_end_in_time(url: str, run_ids: list[str]) -> None:
    with SyncStepflowClient(url) as client:
        client.wait_ready(timeout=60)
        # Without a stable server name, the leases would expire only after 30 s.
        end = time.monotonic() + 25
        for run_id in run_ids:
            done = client.wait_run(run_id, timeout=max(end - time.monotonic(), 0.1))
            if done.status != ExecutionStatus.COMPLETED:
                # On a busy machine, the server resumes runs before its worker has connected, which fails them.
                assert "error routing component" in str(client.get_result(run_id).error)


def test_two_servers_on_one_store_have_different_names(
    release: str, durable: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:

    def warned() -> bool:
        return any("Another server uses the same store" in record.getMessage() for record in caplog.records)

    with StepflowRuntime.start(config=durable) as one:
        assert not warned()
        with StepflowRuntime.start(config=durable) as two:
            assert one.pid is not None
            assert two.pid is not None
            names = [psutil.Process(pid).environ()["STEPFLOW_ORCHESTRATOR_ID"] for pid in (one.pid, two.pid)]
            assert names[0] != names[1]
    assert warned()


@pytest.mark.parametrize(
    ("recovery", "is_lasting", "warnings"),
    [
        ({"checkIntervalSecs": 1}, True, ["recovery.checkIntervalSecs is 1", "after a crash"]),
        ({"checkIntervalSecs": 29, "maxStartupRecovery": 9}, True, ["recovery.checkIntervalSecs is 29", "after a cr"]),
        ({"checkIntervalSecs": 30, "maxStartupRecovery": 9, "maxClaimsPerCheck": 9}, True, []),
        ({"checkIntervalSecs": 1}, False, []),
    ],
)
def test_warnings_about_recovery_settings(
    recovery: dict[str, int],
    is_lasting: bool,
    warnings: list[str],
    release: str,
    durable: dict[str, Any],
) -> None:
    config = {**(durable if is_lasting else releases.builtin_config(release)), "recovery": recovery}
    messages = [message for message, _ in find_recovery_warnings(config)]
    assert len(messages) == len(warnings)
    assert all(warning in message for message, warning in zip(messages, warnings, strict=True))


def test_the_runtime_warns_once_about_recovery_settings(
    durable: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    config = {**durable, "recovery": {"checkIntervalSecs": 29, "maxStartupRecovery": 9, "maxClaimsPerCheck": 9}}
    with StepflowRuntime.start(config=config):
        (message,) = [record.getMessage() for record in caplog.records if "recovery" in record.getMessage()]
    assert message.startswith("recovery.checkIntervalSecs is 29")


def test_the_default_config_has_no_store_in_a_file() -> None:
    with StepflowRuntime.start() as runtime:
        assert "storageConfig" not in runtime.config
