"""Workers of the embedded server: started by it, connecting by themselves, or failing to connect."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from stepflow_client import (
    InvalidArgumentError,
    LogConfig,
    Outcome,
    RequestTimeoutError,
    ResultCache,
    ServerConnectionError,
    ServerStartError,
    StepflowRuntime,
    SyncStepflowClient,
)
from stepflow_client.web import problem_details

from tests import releases, workers
from tests.durable import free_port
from tests.server.flows import one_step

ECHO = one_step("/python/echo", {"$input": "$"})


@pytest.fixture(autouse=True)
def _binary(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))


@pytest.fixture
def config(release: str) -> dict[str, Any]:
    return workers.config(release)


@pytest.fixture
def external(release: str, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose worker is started elsewhere."""
    if releases.number(release) < (0, 12):
        pytest.skip("before 0.12, workers do not connect by themselves")
    for name in ("command", "args"):
        del config["plugins"]["python"][name]
    return config


@pytest.fixture
def connect(release: str) -> Iterator[Callable[[int], None]]:
    """Return a function that starts a worker that connects to the server on a port."""
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int) -> None:
        address = {"STEPFLOW_TASKS_URL": f"127.0.0.1:{port}", "STEPFLOW_QUEUE_NAME": "python"}
        quiet = {"STEPFLOW_LOG_LEVEL": "ERROR", "STEPFLOW_TRACE_ENABLED": "false", "STEPFLOW_TRANSPORT": "grpc"}
        command = [str(workers.python(release)), str(workers.PROGRAM), "grpc"]
        started.append(subprocess.Popen(command, env={**os.environ, **address, **quiet}))

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_server_is_ready_before_external_workers_connect(
    external: dict[str, Any], connect: Callable[[int], None]
) -> None:
    began = time.monotonic()
    with StepflowRuntime.start(config=external) as runtime:
        assert time.monotonic() - began < 60
        assert runtime.sync_client.health_check().status == "healthy"
        connect(runtime.port)
        assert runtime.sync_client.run(ECHO, 5, timeout=60).output == 5


def test_worker_timeout_waits_for_an_external_worker(external: dict[str, Any], connect: Callable[[int], None]) -> None:
    port = free_port()
    runtime = StepflowRuntime.start(config=external, port=port, worker_timeout=60)
    connect(port)
    with runtime:
        listed = runtime.sync_client.list_components()
        assert "echo" in {component.name for component in listed}
        assert listed.failed_plugins == []


@pytest.mark.exhaustive
def test_a_client_waits_until_the_workers_are_connected(
    external: dict[str, Any], connect: Callable[[int], None]
) -> None:
    external["plugins"]["builtin"] = {"type": "builtin"}
    with StepflowRuntime.start(config=external) as runtime, SyncStepflowClient(runtime.url) as client:
        health = client.health_check(include_workers=True)
        assert health.status == "healthy"
        assert [each.plugin for each in health.failed_plugins or []] == ["python"]
        # The builtin components need no worker.
        client.wait_ready(["/builtin/create_messages"], timeout=20)
        with pytest.raises(RequestTimeoutError, match=r"was not ready within 7 s: plugin python is not available"):
            client.wait_ready(timeout=7)
        connect(runtime.port)
        assert "echo" in {each.name for each in client.wait_ready("/python/echo", timeout=60)}
        assert client.run(ECHO, 5).output == 5
        assert client.health_check(include_workers=True).failed_plugins == []
        with pytest.raises(RequestTimeoutError, match="unknown component /python/ecko"):
            client.wait_ready("/python/ecko", timeout=0.5)


class CountingTransport(httpx.BaseTransport):
    """Records the last part of each request's path."""

    def __init__(self) -> None:
        self._wire = httpx.HTTPTransport(verify=False)
        self.paths: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path.rpartition("/")[2])
        return self._wire.handle_request(request)

    def close(self) -> None:
        self._wire.close()


def test_a_run_waits_for_a_worker_that_connects_late(
    external: dict[str, Any], connect: Callable[[int], None], tmp_path: Path
) -> None:
    external["plugins"]["builtin"] = {"type": "builtin"}
    transport = CountingTransport()
    mapped = {"workflow": {"$literal": ECHO}, "items": {"$literal": [5]}}
    unneeded = {"steps": [*ECHO["steps"]], "output": {"$input": "$"}}
    cache = ResultCache(tmp_path / "results.db")
    with (
        StepflowRuntime.start(config=external) as runtime,
        SyncStepflowClient(runtime.url, transport=transport) as client,
        ThreadPoolExecutor() as pool,
    ):
        # The client waits neither for an unneeded step nor for a builtin component.
        assert client.run(unneeded, 5, wait_for_components=True).output == 5
        assert "components" not in transport.paths
        with pytest.raises(RequestTimeoutError, match=r"was not ready within 1 s: .*/python/echo"):
            client.submit(ECHO, 5, wait_for_components=1)
        with pytest.raises(RequestTimeoutError, match="/python/echo"):
            client.run(ECHO, 5, wait_for_components=True, timeout=1)
        assert client.list_runs().runs[1:] == []
        waiting: list[Any] = [
            pool.submit(client.run, ECHO, 5, wait_for_components=60),
            pool.submit(client.run, ECHO, 5, wait_for_components=True, idempotency_key="k", idempotency_scope="s"),
            pool.submit(client.run, ECHO, 5, wait_for_components=True, cache=cache),
            pool.submit(client.run, client.store_flow(ECHO).flow_id, 5, wait_for_components=True),
            pool.submit(client.run, one_step("/builtin/map", mapped), wait_for_components=True),
            pool.submit(client.run, unneeded | {"output": {"$step": "only"}}, 5, wait_for_components=True),
        ]
        time.sleep(1)
        connect(runtime.port)
        results = [each.result(90) for each in waiting]
        assert [result.error for result in results] == [None] * len(results)
        transport.paths.clear()
        assert client.run(ECHO, 5, wait_for_components=True).output == 5
        assert client.with_options(wait_for_components=True).run(ECHO, 5).output == 5
        assert "components" not in transport.paths
        changed = {ECHO["steps"][0]["id"]: {"component": "/python/ecko"}}
        with pytest.raises(RequestTimeoutError, match="unknown component /python/ecko"):
            client.run(ECHO, 5, changed, wait_for_components=0.5)


# The server itself waits 30 s for a worker.
@pytest.mark.exhaustive
def test_a_batch_that_begins_before_its_worker_is_connected(
    release: str, external: dict[str, Any], connect: Callable[[int], None]
) -> None:
    connected: list[Any] = []

    def connect_worker(outcome: Outcome[Any]) -> bool:
        if not connected:
            connected.append(connect(runtime.port))
        return outcome.error is not None and bool(outcome.error.is_retryable)

    with StepflowRuntime.start(config=external) as runtime, SyncStepflowClient(runtime.url) as client:
        fails = releases.number(release) >= (0, 13)
        if not fails:
            # The server holds the run until its worker connects.
            threading.Timer(1.0, connect, [runtime.port]).start()
        outcomes = list(client.map(ECHO, [5, 6], max_attempts=7, retry_on=connect_worker, ordered=True, timeout=90))
    assert [outcome.output for outcome in outcomes] == [5, 6], outcomes
    assert {outcome.attempts > 1 for outcome in outcomes} == {fails}


@pytest.mark.parametrize("wrong", ["echo", ["/a/b", ""], [None], 3, None])
def test_wait_ready_accepts_component_paths_only(wrong: Any) -> None:
    with (
        SyncStepflowClient("http://127.0.0.1:9") as client,
        pytest.raises(InvalidArgumentError, match="components must be a path such as"),
    ):
        client.wait_ready(wrong)


def test_a_client_waits_for_a_server_that_starts_late(config: dict[str, Any]) -> None:
    port = free_port()
    with SyncStepflowClient(f"http://127.0.0.1:{port}", retry=0) as client:
        with pytest.raises(ServerConnectionError, match="was not ready within") as refused:
            client.wait_ready(timeout=0.5)
        assert problem_details(refused.value).status == 503
        runtime = StepflowRuntime.start(config=config, port=port)
        client.wait_ready("/python/echo", timeout=60)
        with runtime:
            assert client.run(ECHO, 5).output == 5


def test_the_error_names_a_worker_that_does_not_connect(external: dict[str, Any]) -> None:
    runtime = StepflowRuntime.start(config=external, worker_timeout=0.5)
    with pytest.raises(ServerStartError, match=r"No worker of python connected within 0\.5 s"), runtime:
        pytest.fail("there is no worker")


@pytest.mark.exhaustive
def test_the_runtime_waits_for_its_own_workers_but_not_for_external_workers(
    release: str, external: dict[str, Any]
) -> None:
    external["plugins"]["remote"] = {"type": "grpc", "queueName": "remote"}
    external["plugins"]["python"] = workers.config(release)["plugins"]["python"]
    external["routes"]["/remote" if releases.number(release) >= (0, 13) else "/remote/{*component}"] = [
        {"plugin": "remote"}
    ]
    with StepflowRuntime.start(config=external) as runtime:
        listed = runtime.sync_client.list_components()
        assert "echo" in {component.name for component in listed}
        assert [each.plugin for each in listed.failed_plugins] == ["remote"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys, time; time.sleep(0.4); print('no such model: owl', file=sys.stderr); sys.exit(3)", "owl"),
        ("raise ModuleNotFoundError('No module named owl')", "ModuleNotFoundError: No module named owl"),
    ],
)
def test_a_worker_that_dies_fails_the_start_immediately(config: dict[str, Any], program: str, reason: str) -> None:
    config["plugins"]["python"] |= {"command": sys.executable, "args": ["-c", program]}
    began = time.monotonic()
    runtime = StepflowRuntime.start(config=config)
    with pytest.raises(ServerStartError) as caught, runtime:
        pytest.fail("there is no worker")
    assert time.monotonic() - began < 50
    assert any("owl" in line for line in caught.value.log_tail)
    assert reason in str(caught.value)


def test_the_error_names_which_of_two_workers_died(release: str, config: dict[str, Any]) -> None:
    program = "import sys, time; time.sleep(1); print('no such model: owl', file=sys.stderr); sys.exit(3)"
    second = {**config["plugins"]["python"], "command": sys.executable, "args": ["-c", program], "queueName": "owls"}
    config["plugins"]["models"] = second
    (route,) = [each for each in config["routes"] if each.startswith("/python")]
    config["routes"][route.replace("/python", "/models")] = [{"plugin": "models"}]
    with pytest.raises(ServerStartError) as caught, StepflowRuntime.start(config=config):
        pytest.fail("a worker is missing")
    assert "no such model: owl" in "\n".join(caught.value.log_tail)
    if releases.number(release) >= (0, 12):
        message = "The worker of models ended with exit code 3 before it was ready: no such model: owl"
        assert caught.value.message == message
        # The log omits the other worker's errors about the stopped server.
        assert "gRPC connection lost" not in "\n".join(caught.value.log_tail)
    else:
        assert caught.value.hint == "the last line of its worker: no such model: owl"


@pytest.mark.parametrize("kind", ["grpc", "mcp"])
def test_the_error_names_a_worker_that_died_without_a_reason(release: str, config: dict[str, Any], kind: str) -> None:
    if releases.number(release) < (0, 12):
        pytest.skip("before 0.12, servers exit with their worker and print its last line")
    program = "import sys, time; time.sleep(1); print('on standard output'); sys.exit(1)"
    queue = {"queueName": "owls"} if kind == "grpc" else {}
    config["plugins"]["models"] = {"type": kind, "command": sys.executable, "args": ["-c", program], **queue}
    config["routes"]["/models"] = [{"plugin": "models"}]
    # At this level, servers log the process ID of each worker.
    log_config = LogConfig(level="info")
    with pytest.raises(ServerStartError) as caught, StepflowRuntime.start(config=config, log_config=log_config):
        pytest.fail("a worker is missing")
    ended = "The worker of models ended with exit code 1 before it was ready"
    assert caught.value.message == f"{ended}, without a reason on standard error"


def test_a_warning_names_a_worker_that_dies_later(
    release: str, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    if releases.number(release) < (0, 12):
        pytest.skip("the runtime does not watch workers of servers before 0.12")
    # The server restarts a dead worker once a task has waited this long for it.
    config["plugins"]["python"]["queueTimeoutSecs"] = 3
    with StepflowRuntime.start(config=config) as runtime:
        assert runtime.sync_client.run(ECHO, 5).output == 5
        (worker,) = psutil.Process(runtime.pid).children()
        worker.kill()
        deadline = time.monotonic() + 20
        while not worker_warnings(caplog) and time.monotonic() < deadline:
            time.sleep(0.05)
        # The server still reports that it is healthy, and restarts the worker for a task that has waited.
        assert runtime.sync_client.health_check().status == "healthy"
        assert runtime.sync_client.run(ECHO, 6, timeout=60).output == 6
    assert [text.partition(";")[0] for text in worker_warnings(caplog)] == [
        "The worker of python ended with exit code -9"
    ]


def worker_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "stepflow.runtime.workers"]


def test_the_runtime_waits_for_a_worker_that_moves_to_the_background(
    release: str, config: dict[str, Any], tmp_path: Path
) -> None:
    if releases.number(release) < (0, 12):
        pytest.skip("before 0.12, a server talks to the process that it has started, and exits with it")
    script = tmp_path / "worker.sh"
    script.write_text('(sleep 1; exec "$@") &\nexit 0\n')
    plugin = config["plugins"]["python"]
    plugin |= {"command": "sh", "args": [str(script), plugin["command"], *plugin["args"]]}
    with StepflowRuntime.start(config=config) as runtime:
        assert runtime.sync_client.run(ECHO, 5, timeout=60).output == 5
