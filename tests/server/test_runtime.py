"""The embedded server starts, responds, restarts and logs with the real binary, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from stepflow_client import ExecutionStatus, RequestTimeoutError, RunTimeoutError, StepflowClient, StepflowExecutor
from stepflow_client._embedded.process import find_binary
from stepflow_client.errors import EmbeddedServerError, ServerStartError, ServerStartTimeoutError
from stepflow_client.logs import LogConfig
from stepflow_client.runtime import RestartPolicy, StepflowRuntime

from tests import releases, workers

TOKEN = "STEPFLOW_RUNTIME_TOKEN"
FLOW = {
    "name": "greet",
    "steps": [{"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "name"}}}],
    "output": {"$step": "a"},
}
UNROUTED = {"steps": [{"id": "a", "component": "/nowhere/at_all", "input": {}}], "output": {"$step": "a"}}


def post(url: str, body: object) -> Any:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def run_flow(url: str, times: int = 1) -> Any:
    flow_id = post(f"{url}/api/v1/flows", {"flow": FLOW})["flowId"]
    body = {"flowId": flow_id, "input": [{"name": "Ada"}], "wait": True}
    for _ in range(times):
        answer = post(f"{url}/api/v1/runs", body)
    return answer


def catches(pid: int | None, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal."""
    (mask,) = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def processes_of(text: str) -> list[int]:
    """Return the IDs of running processes whose command line contains a text."""
    processes = psutil.process_iter(["pid", "cmdline", "status"])
    return [p.pid for p in processes if text in " ".join(p.info["cmdline"] or ()) and is_running(p.pid)]


def runtime_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("stepflow-runtime")}


def children() -> set[int]:
    """Return this process's descendants, except commands that other test processes fork from a shared process."""
    descendants: set[int] = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "forks.py" not in " ".join(child.cmdline()):
                descendants |= {each.pid for each in (child, *child.children(recursive=True)) if is_running(each.pid)}
    return descendants


def descriptors() -> set[tuple[str, str]]:
    """Return this process's open file descriptors with their targets."""
    opened = set()
    # Linux links descriptors to their targets; macOS has only their numbers.
    for name in os.listdir("/dev/fd"):
        try:
            opened.add((name, os.readlink(f"/dev/fd/{name}")))
        except FileNotFoundError:
            # This descriptor listed the folder and is closed by now.
            continue
        except OSError:
            opened.add((name, "unknown"))
    return opened


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    """Check that no test leaves a process, a thread or a file descriptor of the runtime behind."""
    # The first event loop of uvloop opens a pipe for the life of the process.
    asyncio.run(asyncio.sleep(0))
    gc.collect()
    # Other tests may share a server that is already running.
    threads, processes, files = runtime_threads(), children(), descriptors()
    yield
    gc.collect()
    assert eventually(lambda: runtime_threads() <= threads), runtime_threads() - threads
    assert eventually(lambda: children() <= processes), children() - processes
    # A thread pool closes some descriptors later.
    assert eventually(lambda: len(descriptors()) <= len(files)), descriptors() - files


@pytest.fixture
def unknown_binary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    link = tmp_path / "a-server"
    link.symlink_to(find_binary().path)
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(link))
    return link


@pytest.fixture
def fake_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Return a function that replaces the server with a script, for behavior that the real server does not show."""

    def install(body: str) -> None:
        path = tmp_path / "fake-server"
        path.write_text(f"#!{sys.executable} -IS\nimport os, signal, sys, time\n" + textwrap.dedent(body))
        path.chmod(0o755)
        monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(path))

    return install


@pytest.fixture
def worker_config(tmp_path: Path) -> Path:
    """A config with a worker that never connects, ignores SIGTERM and has a child with an empty environment."""
    script = tmp_path / "worker.sh"
    script.write_text(f"trap '' TERM INT\nenv -i /bin/sh -c 'sleep 300; : {tmp_path}' &\nwhile :; do sleep 0.1; done\n")
    config = {
        "plugins": {
            "builtin": {"type": "builtin"},
            "python": {"type": "grpc", "queueName": "python", "command": "sh", "args": [str(script)]},
        },
        "routes": {"/builtin": [{"plugin": "builtin"}], "/python": [{"plugin": "python"}]},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return path


# Start and stop


def test_builtin_components_run_with_the_default_config() -> None:
    with StepflowRuntime.start() as runtime:
        assert runtime.url == f"http://127.0.0.1:{runtime.port}"
        assert runtime.is_alive
        assert runtime.pid is not None
        assert runtime.config["plugins"] == {"builtin": {"type": "builtin"}}
        assert "Ada" in json.dumps(run_flow(runtime.url))
        pid = runtime.pid
        began = time.monotonic()
    assert time.monotonic() - began < 2.3  # it is killed after 2.4 s
    assert not is_running(pid)
    assert not psutil.pid_exists(pid)
    assert repr(runtime) == "<StepflowRuntime not running>"


def test_a_program_with_many_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(open(os.devnull))
        with StepflowRuntime.start() as runtime:
            run_flow(runtime.url)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _use_async() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    async with StepflowRuntime.start() as runtime:
        assert ticks > 3
        await asyncio.to_thread(run_flow, runtime.url)
    ticking.cancel()
    assert not runtime.is_alive
    await runtime.aclose()


def test_async_use_leaves_the_loop_free() -> None:
    asyncio.run(_use_async())


AFTER_THE_MAIN_THREAD = """
import asyncio, threading
from stepflow_client import StepflowRuntime

async def use():
    async with StepflowRuntime.start() as runtime:
        while main.is_alive():
            await asyncio.sleep(0.1)
    print(runtime.is_alive)

main = threading.main_thread()
threading.Thread(target=lambda: asyncio.run(use())).start()
"""
AT_EXIT = """
import asyncio, atexit
from stepflow_client import StepflowRuntime

def close():
    asyncio.run(runtime.aclose())
    print(runtime.is_alive)

runtime = StepflowRuntime.start()
runtime.wait_ready()
atexit.register(close)
"""


@pytest.mark.parametrize("program", [AFTER_THE_MAIN_THREAD, AT_EXIT])
def test_the_runtime_can_be_closed_while_the_interpreter_shuts_down(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_a_cancelled_start_stops_the_server(fake_server: Callable[[str], None]) -> None:
    fake_server("time.sleep(60)")
    reports: list[str] = []

    async def enter() -> None:
        async with StepflowRuntime.start():
            pytest.fail("a silent server is not ready")

    async def cancel() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report["message"]))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(enter(), 0.3)
        # The event loop must not report the abandoned start as an error.
        await asyncio.sleep(0.1)
        gc.collect()

    asyncio.run(cancel())
    assert reports == []


def test_an_unknown_release_gets_its_default_config(unknown_binary: Path) -> None:
    with StepflowRuntime.start() as runtime:
        assert "Ada" in json.dumps(run_flow(runtime.url))
        assert list(runtime.config["routes"]) == ["/builtin"]
        assert runtime.restarts == 0


@pytest.mark.parametrize("as_file", [True, False])
def test_a_custom_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_file: bool) -> None:
    config = {"plugins": {"b": {"type": "builtin"}}, "routes": {"/builtin": [{"plugin": "b"}]}}
    (tmp_path / "c.yml").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPFLOW_CONFIG", "/nowhere.yml")
    chosen: dict[str, Any] = {"config": "c.yml" if as_file else config}
    with StepflowRuntime.start(**chosen) as runtime:
        run_flow(runtime.url)
        assert runtime.config == config


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_clients_can_be_used_before_the_server_is_ready(fake_server: Callable[[str], None]) -> None:
    server = str(find_binary().path)
    # Longer than a client retries while nothing listens on the port.
    fake_server(f"time.sleep(5); os.execv({server!r}, [{server!r}, *sys.argv[1:]])")
    runtime, other = (StepflowRuntime.start(port=free_port()) for _ in range(2))

    async def check_health() -> str:
        try:
            return (await other.client.health_check()).status
        finally:
            await other.aclose()

    with ThreadPoolExecutor(1) as pool:
        status = pool.submit(asyncio.run, check_health())
        try:
            assert runtime.sync_client.health_check().status == "healthy"
        finally:
            runtime.stop()
        assert status.result() == "healthy"


def test_a_client_of_a_server_that_does_not_start_raises_the_reason() -> None:
    runtime = StepflowRuntime.start(config={"plugins": {"x": {"type": "nonsense"}}, "routes": {}}, port=free_port())
    with pytest.raises(ServerStartError, match="nonsense"):
        _ = runtime.sync_client
    assert not runtime.is_crashed


def test_a_runtime_is_always_an_executor(fake_server: Callable[[str], None]) -> None:
    fake_server("time.sleep(60)")
    runtime = StepflowRuntime.start()
    # The server has no port yet, and the check does not need one.
    assert isinstance(runtime, StepflowExecutor)
    runtime.stop()
    assert isinstance(runtime, StepflowExecutor)
    assert isinstance(StepflowClient(), StepflowExecutor)
    assert not isinstance(LogConfig(), StepflowExecutor)


@pytest.mark.anyio
async def test_methods_accept_the_arguments_of_client_methods() -> None:
    nap = {"steps": [{"id": "a", "component": "/builtin/sleep", "input": {"$input": "$"}}], "output": {"$step": "a"}}
    tone = {"steps": [], "output": {"$variable": "tone"}, "schemas": {"properties": {"variables": {}}}}
    async with StepflowRuntime.start() as runtime:
        with pytest.raises(RunTimeoutError):
            await runtime.run(nap, {"duration_ms": 60_000}, timeout=0.5, private_copy=True)
        run_id = await runtime.submit(tone, variables={"tone": "mild"}, private_copy=True, timeout=10)
        assert (await runtime.get_result(run_id)).output == "mild"
        task = asyncio.create_task(runtime.run(nap, {"duration_ms": 60_001}, on_cancel="cancel"))
        # The server may hold the request for a second before the client gets the run's ID.
        await asyncio.sleep(2.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [run.status for run in (await runtime.client.list_runs()).runs].count(ExecutionStatus.CANCELLED) == 1


@pytest.mark.anyio
async def test_a_call_waits_no_longer_for_the_server_than_its_timeout(fake_server: Callable[[str], None]) -> None:
    fake_server("time.sleep(60)")
    runtime = StepflowRuntime.start()
    run_id = "01900000-0000-7000-8000-000000000001"
    for call in (
        partial(runtime.run, FLOW, {"name": "Ada"}),
        partial(runtime.submit, FLOW, {"name": "Ada"}),
        partial(runtime.find_run, FLOW, idempotency_key="key"),
        partial(runtime.get_result, run_id),
        partial(runtime.get_results, run_id),
        partial(runtime.wait_run, run_id),
        partial(runtime.validate, FLOW),
        runtime.list_components,
    ):
        with pytest.raises(RequestTimeoutError, match="not ready in time"):
            await call(timeout=0.2)
    runtime.stop()


def test_stop_works_at_any_time_and_from_any_thread() -> None:
    StepflowRuntime.start().stop()
    runtime = StepflowRuntime.start()
    threads = [threading.Thread(target=runtime.stop) for _ in range(8)]
    for thread in threads:
        thread.start()
    with pytest.raises(EmbeddedServerError, match="stopped"):
        runtime.wait_ready()
    for thread in threads:
        thread.join()
    runtime.stop()
    with pytest.raises(EmbeddedServerError, match="stopped"):
        _ = runtime.url
    with pytest.raises(EmbeddedServerError, match="stopped"), runtime:
        pass


def test_stop_at_the_moment_the_server_is_ready_leaves_nothing() -> None:
    runtime = StepflowRuntime.start()
    supervisor = runtime._supervisor
    stopper = threading.Thread(target=runtime.stop)

    def stop_first(_: object) -> None:
        stopper.start()
        assert eventually(lambda: supervisor.is_stopped)

    # The supervisor calls this when the server is ready, before it starts watching it.
    supervisor.ready_future.add_done_callback(stop_first)
    assert eventually(lambda: supervisor.is_stopped)
    with pytest.raises(EmbeddedServerError, match="stopped"):
        runtime.wait_ready()
    stopper.join()


def test_several_runtimes_are_independent() -> None:
    with StepflowRuntime.start() as one:
        with StepflowRuntime.start() as two:
            assert one.port != two.port
        run_flow(one.url)


def test_stop_does_not_wait_for_an_open_event_stream() -> None:
    with StepflowRuntime.start() as runtime:
        steps = [{"id": "a", "component": "/builtin/sleep", "input": {"$input": "$"}}]
        flow = {"steps": steps, "output": {"$step": "a"}}
        flow_id = post(f"{runtime.url}/api/v1/flows", {"flow": flow})["flowId"]
        body = {"flowId": flow_id, "input": [{"duration_ms": 60_000}]}
        run_id = post(f"{runtime.url}/api/v1/runs", body)["summary"]["runId"]
        stream = urllib.request.urlopen(f"{runtime.url}/api/v1/runs/{run_id}/events?runId={run_id}", timeout=10)
        assert stream.readline().startswith(b"data:")
        began = time.monotonic()
        runtime.stop()
        assert time.monotonic() - began < 20
        stream.close()


# Failed starts


def test_a_bad_config_raises_the_servers_reason() -> None:
    runtime = StepflowRuntime.start(config={"plugins": {"x": {"type": "nonsense"}}, "routes": {}})
    with pytest.raises(ServerStartError, match="nonsense") as caught, runtime:
        pass
    assert caught.value.exit_code == 1
    assert any("nonsense" in line for line in caught.value.log_tail)
    assert "\n" not in str(caught.value)
    with pytest.raises(ServerStartError, match="nonsense"):
        _ = runtime.url
    assert not runtime.is_alive


def test_a_busy_port() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(ServerStartError, match=f"{port}.*[Aa]ddress already in use") as caught:
            StepflowRuntime.start(port=port).wait_ready()
    assert caught.value.exit_code == 1


def test_a_chosen_port() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with StepflowRuntime.start(port=port) as runtime:
        assert runtime.port == port
        run_flow(runtime.url)


def test_a_binary_that_cannot_be_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(path))
    with pytest.raises(ServerStartError, match="cannot be executed"):
        StepflowRuntime.start()


def test_a_worker_that_never_connects_fails_the_start(worker_config: Path) -> None:
    began = time.monotonic()
    runtime = StepflowRuntime.start(worker_config, startup_timeout=1.0)
    with pytest.raises(ServerStartTimeoutError, match=r"not ready within 1 s") as caught, runtime:
        pass
    assert time.monotonic() - began < 30
    assert caught.value.exit_code is None
    assert caught.value.log_tail
    assert processes_of(str(worker_config.parent)) == []


def test_workers_that_ignore_signals_are_stopped_with_the_server(worker_config: Path) -> None:
    runtime = StepflowRuntime.start(worker_config)
    assert eventually(lambda: len(processes_of(str(worker_config.parent))) >= 3)
    began = time.monotonic()
    runtime.stop()
    assert time.monotonic() - began < 20
    assert processes_of(str(worker_config.parent)) == []


def test_workers_do_not_outlive_a_server_that_crashes(worker_config: Path) -> None:
    runtime = StepflowRuntime.start(worker_config)
    assert eventually(lambda: len(processes_of(str(worker_config.parent))) >= 3)
    crash(runtime)
    with pytest.raises(ServerStartError, match="exit code -9"):
        runtime.wait_ready()
    assert processes_of(str(worker_config.parent)) == []


# Logs


def test_log_lines_reach_the_buffer_and_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stepflow.server")
    with StepflowRuntime.start() as runtime:
        run_flow(runtime.url)
        pid = runtime.pid
    entries = runtime.get_recent_logs()
    assert any("starting on http" in entry.message for entry in entries)
    assert len(runtime.get_recent_logs(limit=2)) == 2
    assert runtime.get_recent_logs(limit=0) == []
    record = next(record for record in caplog.records if "starting on http" in record.getMessage())
    assert (record.name, record.levelno) == ("stepflow.server", logging.INFO)
    assert record.__dict__["target"].startswith("stepflow_server")
    assert record.__dict__["server_pid"] == pid
    assert (record.__dict__["run_id"], record.__dict__["trace_id"]) == (None, None)


def test_a_log_record_has_the_ids_of_its_run_and_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stepflow.server")
    with StepflowRuntime.start() as runtime:
        run_id = runtime.sync_client.run({"steps": [], "output": 1}).run_id
        run_records = lambda: [each for each in caplog.records if each.__dict__.get("run_id") == run_id]  # noqa: E731
        assert eventually(lambda: len(run_records()) >= 2)
    assert any(run_id in record.getMessage() for record in run_records())
    # Not the run's ID, because the server starts its own trace.
    (trace_id,) = {record.__dict__["trace_id"] for record in run_records()}
    assert re.fullmatch("[0-9a-f]{32}", trace_id)


def log_level(runtime: StepflowRuntime) -> str:
    command = psutil.Process(runtime.pid).cmdline()
    return command[command.index("--log-level") + 1]


def test_the_server_logs_only_what_the_logger_handles(caplog: pytest.LogCaptureFixture) -> None:
    with StepflowRuntime.start() as runtime:
        assert log_level(runtime) == "warn"
        run_flow(runtime.url, times=10)
        assert runtime.get_recent_logs() == []
        runtime.sync_client.run(UNROUTED)
        assert eventually(lambda: len(caplog.records) == 1)
        (entry,) = runtime.get_recent_logs()
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("stepflow.server", logging.ERROR, entry.message)
    assert entry.message.startswith("Internal error executing step 'a'")


def test_workers_and_settings_determine_the_log_level() -> None:
    config = workers.config(releases.NEWEST)
    with StepflowRuntime.start(config=config) as runtime:
        assert log_level(runtime) == "info"
    with StepflowRuntime.start(config=config, log_config=LogConfig(level="error")) as runtime:
        assert log_level(runtime) == "error"


def test_a_restarted_server_uses_the_current_log_level(caplog: pytest.LogCaptureFixture) -> None:
    with StepflowRuntime.start(restart_policy=RestartPolicy.ON_FAILURE) as runtime:
        assert log_level(runtime) == "warn"
        caplog.set_level(logging.INFO, "stepflow.server")
        crash(runtime)
        assert eventually(lambda: runtime.restarts == 1 and runtime.is_alive)
        runtime.wait_ready()
        assert log_level(runtime) == "info"
        assert any("starting on http" in entry.message for entry in runtime.get_recent_logs())


@pytest.mark.parametrize("python_logger", ["app.server", logging.getLogger("app.server")])
def test_log_lines_reach_a_custom_logger(python_logger: str | logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app.server")
    with StepflowRuntime.start(log_config=LogConfig(python_logger=python_logger)):
        pass
    assert {record.name for record in caplog.records if hasattr(record, "server_pid")} == {"app.server"}


def test_capture_and_forwarding_can_be_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stepflow.server")
    with StepflowRuntime.start(log_config=LogConfig(capture=False, forward=False)) as runtime:
        run_flow(runtime.url)
    assert runtime.get_recent_logs() == []
    assert caplog.records == []


@pytest.fixture
def bad_handler() -> Iterator[logging.Handler]:
    class Bad(logging.Handler):
        calls = 0

        def emit(self, record: logging.LogRecord) -> None:
            self.calls += 1
            if self.calls == 3:
                time.sleep(0.5)
            raise RuntimeError("a handler that fails")

    handler, logger = Bad(), logging.getLogger("stepflow.server")
    level, logger.propagate = logger.level, False
    logger.addHandler(handler)
    logger.setLevel(1)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = True


@pytest.fixture
def failing_log(bad_handler: logging.Handler) -> Iterator[logging.Handler]:
    """The runtime's own logger, with a handler that fails."""
    logger = logging.getLogger("stepflow.runtime")
    level = logger.level
    logger.addHandler(bad_handler)
    logger.setLevel(1)
    yield bad_handler
    logger.removeHandler(bad_handler)
    logger.setLevel(level)


def test_a_failing_log_handler_does_not_break_a_start_or_restart(failing_log: logging.Handler) -> None:
    with StepflowRuntime.start(restart_policy=RestartPolicy.ALWAYS) as runtime:
        crash(runtime)
        assert eventually(lambda: runtime.restarts == 1)
        runtime.wait_ready()
        assert "Ada" in json.dumps(run_flow(runtime.url))
    assert failing_log.calls >= 3  # type: ignore[attr-defined]


def test_a_failing_log_handler_does_not_hide_why_the_server_did_not_start(
    failing_log: logging.Handler, fake_server: Callable[[str], None]
) -> None:
    fake_server("sys.exit(7)")
    with pytest.raises(ServerStartError, match="exit code 7"):
        StepflowRuntime.start().wait_ready()


def test_a_failing_log_handler_does_not_leave_a_second_server_on_a_store(
    failing_log: logging.Handler, tmp_path: Path
) -> None:
    config = {
        "plugins": {"builtin": {"type": "builtin"}},
        "routes": {"/builtin": [{"plugin": "builtin"}]},
        "storageConfig": {"type": "sqlite", "databaseUrl": f"sqlite:{tmp_path}/store.db?mode=rwc"},
    }
    with StepflowRuntime.start(config=config), StepflowRuntime.start(config=config) as second:
        assert second.is_alive


def test_megabytes_of_logs_do_not_stop_the_server(bad_handler: logging.Handler) -> None:
    log_config = LogConfig(level="trace", buffer_lines=10)
    with StepflowRuntime.start(log_config=log_config) as runtime:
        assert runtime.pid is not None
        server = psutil.Process(runtime.pid)
        written = 0
        while written < 2_000_000:
            run_flow(runtime.url, times=25)
            written = server.io_counters().write_chars
        assert "Ada" in json.dumps(run_flow(runtime.url))
        assert len(runtime.get_recent_logs()) == 10
    assert bad_handler.calls > 3  # type: ignore[attr-defined]


def test_a_very_long_log_line_is_truncated(fake_server: Callable[[str], None]) -> None:
    fake_server("os.write(2, b'x' * 5_000_000 + b'\\nerror: enough\\n'); sys.exit(7)")
    runtime = StepflowRuntime.start(log_config=LogConfig(max_line_length=1000))
    with pytest.raises(ServerStartError, match="enough") as caught:
        runtime.wait_ready()
    assert caught.value.exit_code == 7
    assert [len(entry.message) for entry in runtime.get_recent_logs()] == [1000, len("error: enough")]


# Crashes and restarts


def crash(runtime: StepflowRuntime) -> int:
    assert runtime.pid is not None
    pid = runtime.pid
    os.kill(pid, signal.SIGKILL)
    return pid


def test_by_default_a_crash_is_reported_and_not_restarted() -> None:
    crashes: list[tuple[int, list[str]]] = []

    def on_crash(exit_code: int, log_tail: list[str]) -> None:
        crashes.append((exit_code, log_tail))
        raise RuntimeError("a callback that fails")

    runtime = StepflowRuntime.start(on_crash=on_crash)
    runtime.sync_client.run(UNROUTED)
    crash(runtime)
    assert eventually(lambda: len(crashes) == 1 and not runtime.is_alive)
    assert crashes[0][0] == -signal.SIGKILL
    assert any("Internal error executing step 'a'" in line for line in crashes[0][1])
    with pytest.raises(ServerStartError, match="ended by itself") as caught:
        runtime.wait_ready()
    assert caught.value.exit_code == -signal.SIGKILL
    with pytest.raises(ServerStartError):
        _ = runtime.url
    runtime.stop()


@pytest.mark.parametrize("arity", [1, 2, -1])
def test_a_crash_callback_may_accept_only_the_exit_code(arity: int) -> None:
    calls: list[tuple[object, ...]] = []
    callbacks: dict[int, Callable[..., object]] = {
        1: lambda exit_code: calls.append((exit_code,)),
        2: lambda exit_code, log_tail: calls.append((exit_code, log_tail)),
        -1: lambda *arguments: calls.append(arguments),
    }
    with StepflowRuntime.start(on_crash=callbacks[arity]) as runtime:
        assert not runtime.is_crashed
        crash(runtime)
        assert eventually(lambda: bool(calls))
        assert runtime.is_crashed
    assert [len(each) for each in calls] == [abs(arity) if arity > 0 else 2]
    assert calls[0][0] == -signal.SIGKILL


def test_is_crashed_is_false_after_a_restart() -> None:
    states: list[bool] = []
    holder: list[StepflowRuntime] = []
    with StepflowRuntime.start(
        restart_policy=RestartPolicy.ALWAYS, on_crash=lambda code: states.append(holder[0].is_crashed)
    ) as runtime:
        holder.append(runtime)
        crash(runtime)
        assert eventually(lambda: runtime.restarts == 1)
        runtime.wait_ready()
        assert not runtime.is_crashed
    assert states == [True]
    assert not runtime.is_crashed


def test_a_crash_callback_that_requests_a_client_does_not_block() -> None:
    raised: list[BaseException] = []
    holder: list[StepflowRuntime] = []

    def on_crash(exit_code: int) -> None:
        try:
            _ = holder[0].sync_client
        except EmbeddedServerError as error:
            raised.append(error)

    with StepflowRuntime.start(on_crash=on_crash) as runtime:
        holder.append(runtime)
        crash(runtime)
        assert eventually(lambda: bool(raised))


def test_restarts_keep_the_port_up_to_the_limit() -> None:
    crashes: list[int] = []
    runtime = StepflowRuntime.start(
        restart_policy=RestartPolicy.ON_FAILURE, max_restarts=2, on_crash=lambda code, tail: crashes.append(code)
    )
    with runtime:
        url = runtime.url
        for count in (1, 2):
            old = crash(runtime)
            assert eventually(lambda count=count: runtime.restarts == count)  # type: ignore[misc]
            runtime.wait_ready()
            assert runtime.pid != old
            assert runtime.url == url
            run_flow(url)
        crash(runtime)
        assert eventually(lambda: len(crashes) == 3)
        with pytest.raises(ServerStartError, match="ended by itself"):
            runtime.wait_ready()
    assert runtime.restarts == 2
    assert crashes == [-signal.SIGKILL] * 3


@pytest.mark.parametrize(("policy", "restarts"), [(RestartPolicy.ON_FAILURE, 0), (RestartPolicy.ALWAYS, 1)])
def test_an_exit_of_0_is_restarted_only_by_always(policy: RestartPolicy, restarts: int) -> None:
    codes: list[int] = []
    with StepflowRuntime.start(restart_policy=policy, on_crash=lambda code, tail: codes.append(code)) as runtime:
        run_flow(runtime.url)
        assert runtime.pid is not None
        # The server takes a moment after its start to install the signal handler.
        assert eventually(lambda: catches(runtime.pid, signal.SIGTERM))
        os.kill(runtime.pid, signal.SIGTERM)
        assert eventually(lambda: codes == [0])
        assert eventually(lambda: runtime.restarts == restarts)
        assert eventually(lambda: runtime.is_alive == bool(restarts))


def test_stop_in_the_crash_callback_prevents_a_restart() -> None:
    holder: list[StepflowRuntime] = []
    threads = runtime_threads()
    done = threading.Event()

    def on_crash(exit_code: int, log_tail: list[str]) -> None:
        holder[0].stop()
        done.set()

    holder.append(StepflowRuntime.start(on_crash=on_crash, restart_policy=RestartPolicy.ALWAYS))
    holder[0].wait_ready()
    crash(holder[0])
    assert done.wait(10)
    assert eventually(lambda: runtime_threads() == threads)
    assert holder[0].restarts == 0


# No process survives, however Python exits


def test_a_forgotten_runtime_is_stopped() -> None:
    runtime = StepflowRuntime.start()
    runtime.wait_ready()
    pid = runtime.pid
    assert pid is not None
    del runtime
    gc.collect()
    assert eventually(lambda: not is_running(pid))


HOLDER = """
import os, sys, time
from stepflow_client.runtime import StepflowRuntime
runtime = StepflowRuntime.start({config!r}{more})
if {ready}: runtime.wait_ready()
else: time.sleep(0.7)
print(runtime.pid, flush=True)
sys.stdin.readline()
"""


def hold(then: str, config: str | None = None, more: str = "", ready: bool = True) -> tuple[subprocess.Popen[str], int]:
    """Start a Python process that runs a server; return it and the server's process ID."""
    code = HOLDER.format(config=config, more=more, ready=ready) + textwrap.dedent(then)
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())
    assert is_running(pid)
    # Let the holder continue only now, because it may exit immediately.
    holder.stdin.close()
    return holder, pid


def wait_for_exit(holder: subprocess.Popen[str]) -> int:
    assert holder.stdout is not None
    holder.stdout.close()
    return holder.wait(10)


def watchdogs_of(pid: int) -> list[int]:
    watchdogs = []
    for each in processes_of("watchdog.py"):
        # It may exit in the meantime.
        with contextlib.suppress(psutil.NoSuchProcess):
            if f" {pid} " in " ".join(psutil.Process(each).cmdline()):
                watchdogs.append(each)
    return watchdogs


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_server_and_workers_stop_when_python_is_killed(worker_config: Path, number: signal.Signals) -> None:
    holder, pid = hold("time.sleep(60)", config=str(worker_config), ready=False)
    folder = str(worker_config.parent)
    assert len(processes_of(folder)) >= 3
    holder.send_signal(number)
    assert wait_for_exit(holder) == -number
    assert eventually(lambda: not is_running(pid) and not processes_of(f"{folder}/worker"))
    assert eventually(lambda: not processes_of(folder) and not watchdogs_of(holder.pid))


def test_the_server_stops_when_python_is_killed_but_its_fork_is_not() -> None:
    then = """
        child = os.fork()
        if not child:
            os.close(1)
            time.sleep(90)
            os._exit(0)
        print(child, flush=True)
        time.sleep(60)
    """
    holder, pid = hold(then)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    holder.kill()
    wait_for_exit(holder)
    assert eventually(lambda: not is_running(pid))
    assert is_running(child)
    os.kill(child, signal.SIGKILL)


def test_a_watchdog_that_was_killed_is_replaced() -> None:
    holder, pid = hold("time.sleep(60)")
    for _ in range(2):
        assert eventually(lambda: len(watchdogs_of(holder.pid)) == 1)
        (old,) = watchdogs_of(holder.pid)
        os.kill(old, signal.SIGKILL)
        assert eventually(lambda old=old: watchdogs_of(holder.pid) not in ([], [old]))  # type: ignore[misc]
    assert is_running(pid)
    holder.kill()
    wait_for_exit(holder)
    assert eventually(lambda: not is_running(pid))
    assert eventually(lambda: not watchdogs_of(holder.pid))


def test_the_runtime_logs_that_it_replaces_its_watchdog(caplog: pytest.LogCaptureFixture) -> None:
    others = set(watchdogs_of(os.getpid()))
    with StepflowRuntime.start() as runtime:
        (watchdog,) = set(watchdogs_of(os.getpid())) - others
        os.kill(watchdog, signal.SIGKILL)
        assert eventually(lambda: bool(set(watchdogs_of(os.getpid())) - others - {watchdog}))
        run_flow(runtime.url)
    assert set(watchdogs_of(os.getpid())) == others
    assert [record.getMessage() for record in caplog.records if record.name == "stepflow.runtime"] == [
        "The Stepflow server's watchdog ended; starting a new one"
    ]


@pytest.mark.parametrize("then", ["", "sys.exit(0)"])
def test_the_server_stops_when_python_exits_normally(then: str) -> None:
    holder, pid = hold(then)
    assert wait_for_exit(holder) == 0
    assert eventually(lambda: not is_running(pid))
    assert eventually(lambda: not watchdogs_of(holder.pid))


def test_the_exit_of_a_fork_does_not_stop_the_server() -> None:
    then = """
        import gc, urllib.request
        child = os.fork()
        if not child:
            assert runtime.is_alive
            runtime.stop()
            del runtime
            gc.collect()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert runtime.is_alive
        urllib.request.urlopen(runtime.url + "/api/v1/health").close()
    """
    holder, pid = hold(then)
    assert wait_for_exit(holder) == 0
    assert not is_running(pid)


def test_the_watchdog_inherits_no_files_folder_or_secrets() -> None:
    others = watchdogs_of(os.getpid())
    with StepflowRuntime.start() as runtime:
        (watchdog,) = set(watchdogs_of(os.getpid())) - set(others)
        assert eventually(lambda: psutil.Process(watchdog).num_fds() <= 3)
        assert psutil.Process(watchdog).cwd() == "/"
        assert TOKEN not in psutil.Process(watchdog).environ()
        assert runtime.is_alive
