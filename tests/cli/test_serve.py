"""`stepflow serve` starts and stops a server, and reports and restarts one that crashed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests import releases, workers
from tests.cli.command import FORKED, STEPFLOW, Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

Serve = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def serve(stepflow: Stepflow) -> Iterator[Serve]:
    """Start `stepflow serve` without a terminal; processes that still run after the test are killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str, program: Path = FORKED) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(program), "serve", *args],
            env=stepflow.environment,
            cwd=stepflow.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def is_reachable(url: str) -> bool:
    """Return whether a server responds."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_it(signal_number: signal.Signals, serve: Serve, stepflow: Stepflow) -> None:
    process = serve("--port", "0", "-o", "json")
    assert process.stdout is not None
    record = json.loads(process.stdout.readline())
    assert record.keys() == {"url", "pid"}
    assert stepflow("run", "echo.yaml", "--input-json", "1", STEPFLOW_URL=record["url"]).stdout == "1\n"
    process.send_signal(signal_number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert stdout == ""
    assert stderr.splitlines() == [
        f"The server listens on {record['url']}, for this machine only, without authentication; Ctrl-C stops it.",
        f"export STEPFLOW_URL={record['url']}",
    ]
    assert not is_reachable(record["url"])


def test_all_interfaces_option(serve: Serve) -> None:
    process = serve("--port", "0", "-o", "jsonl", "--all-interfaces")
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    process.terminate()
    message = f"The server listens on {url} and on all other interfaces, without authentication; Ctrl-C stops it."
    assert message in process.communicate(timeout=60)[1]


def test_on_a_terminal(terminal: Callable[..., Terminal], serve: Serve) -> None:
    shown = terminal("serve", "--port", "0")
    shown.wait_for("export STEPFLOW_URL=")
    match = re.search(r"export STEPFLOW_URL=(\S+)", shown.screen)
    assert match is not None
    assert is_reachable(match[1])
    shown.interrupt()
    assert shown.end() == 0
    assert "Traceback" not in shown.screen
    assert not is_reachable(match[1])


@pytest.mark.parametrize("form", ["name", "yaml", "table", "jsonl"])
def test_formats(form: str, serve: Serve) -> None:
    process = serve("--port", "0", "-o", form)
    assert process.stdout is not None
    assert process.stderr is not None
    printed = process.stdout.readline()
    process.terminate()
    printed += process.stdout.read()
    (url,) = re.findall(r"export STEPFLOW_URL=(\S+)", process.stderr.read())
    (pid,) = re.findall(r"\b\d+\b", printed.replace(url, "")) or ["-"]
    expected = {
        "name": f"{url}\n",
        "yaml": f"url: {url}\npid: {pid}\n",
        "table": f"URL  {url}\nPID  {pid}\n",
        "jsonl": f'{{"url": "{url}", "pid": {pid}}}\n',
    }
    assert printed == expected[form]


def test_log_level_option(serve: Serve) -> None:
    process = serve("--port", "0", "--log-level", "info", "-o", "name")
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert "INFO stepflow.server: Stepflow server starting on" in stderr


def test_port_in_use(stepflow: Stepflow, serve: Serve, server: str) -> None:
    port = urlsplit(server).port
    message = f"stepflow: port {port} is in use\nhint: choose a different one with --port, or 0 for any free port\n"
    done = stepflow("serve", "--port", str(port))
    assert (done.code, done.stdout, done.stderr) == (4, "", message)
    done = stepflow("serve", "--port", str(port), "-o", "json")
    assert (done.code, done.stdout) == (4, "")
    problem = json.loads(done.stderr)
    assert (problem["kind"], problem["exit_code"]) == ("port_in_use", 4)


UNROUTED = {"steps": [{"id": "a", "component": "/nowhere/at_all", "input": {}}], "output": {"$step": "a"}}


@pytest.mark.parametrize("form", [[], ["-o", "json"]])
def test_crash_shows_the_end_of_the_log(form: list[str], serve: Serve, stepflow: Stepflow) -> None:
    process = serve("--port", "0", *(form or ["-o", "jsonl"]))
    assert process.stdout is not None
    record = json.loads(process.stdout.readline())
    (stepflow.folder / "unrouted.json").write_text(json.dumps(UNROUTED))
    assert stepflow("run", "unrouted.json", "--url", record["url"]).code == 1
    os.kill(record["pid"], signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    problem = json.loads(stderr.splitlines()[-1])
    assert problem["message"].startswith("the server exited unexpectedly (exit code -9)")
    assert "ERROR stepflow_execution::flow_executor: Internal error executing step 'a'" in problem["hint"]


def test_crash_as_text(serve: Serve, stepflow: Stepflow) -> None:
    process = serve("--port", "0", "-o", "yaml")
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    (stepflow.folder / "unrouted.json").write_text(json.dumps(UNROUTED))
    assert stepflow("run", "unrouted.json", "--url", url).code == 1
    os.kill(int(process.stdout.readline().removeprefix("pid: ")), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "Internal error executing step 'a'" in stderr
    assert stderr.splitlines()[-1] == "stepflow: the server exited unexpectedly (exit code -9)"


def test_restart_option_restarts_a_crashed_server(serve: Serve, stepflow: Stepflow) -> None:
    process = serve("--port", "0", "-o", "yaml", "--restart", "on-failure", program=STEPFLOW)
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    for _ in range(2):
        (pid,) = [each.pid for each in psutil.Process(process.pid).children() if each.name() == "stepflow-server"]
        os.kill(pid, signal.SIGKILL)
        done = stepflow("run", "echo.yaml", "--input-json", "1", "--url", url, "--timeout", "60")
        assert done.stdout == "1\n", done.stderr
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    again = "stepflow: the server exited unexpectedly (exit code -9); restarting it"
    assert stderr.splitlines()[2:] == [again, again]


def test_server_that_exits_normally_is_not_restarted(serve: Serve) -> None:
    process = serve("--port", "0", "-o", "jsonl", "--restart", "on-failure")
    assert process.stdout is not None
    pid = json.loads(process.stdout.readline())["pid"]
    # Until the server handles SIGTERM, the signal kills it, and then it's restarted.
    while not int(Path(f"/proc/{pid}/status").read_text().split("SigCgt:")[1].split()[0], 16) >> signal.SIGTERM - 1 & 1:
        time.sleep(0.01)
    os.kill(pid, signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    assert json.loads(stderr.splitlines()[-1])["message"] == "the server exited unexpectedly (exit code 0)"


def test_exited_worker_is_reported(serve: Serve, stepflow: Stepflow) -> None:
    (stepflow.folder / "stepflow-config.yml").write_text(json.dumps(workers.config(releases.NEWEST)))
    process = serve("--port", "0", "-o", "name", program=STEPFLOW)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    (server,) = [each for each in psutil.Process(process.pid).children() if each.name() == "stepflow-server"]
    (worker,) = server.children()
    worker.kill()
    lines = [process.stderr.readline() for _ in range(3)]
    assert lines[2].startswith("stepflow: The worker of python ended with exit code -9; the server restarts it when")


def test_otlp_endpoint_is_passed_to_the_server(serve: Serve) -> None:
    process = serve("--port", "0", "-o", "jsonl", "--otlp-endpoint", "http://127.0.0.1:9")
    assert process.stdout is not None
    environment = psutil.Process(json.loads(process.stdout.readline())["pid"]).environ()
    assert (environment["STEPFLOW_OTLP_ENDPOINT"], environment["STEPFLOW_TRACE_ENABLED"]) == (
        "http://127.0.0.1:9",
        "true",
    )


@pytest.mark.parametrize(("options", "level"), [((), "warn"), (("-v",), "info"), (("--log-level", "error"), "error")])
def test_log_level_is_passed_to_the_server(options: tuple[str, ...], level: str, serve: Serve) -> None:
    process = serve("--port", "0", "-o", "json", *options)
    assert process.stdout is not None
    command = psutil.Process(json.loads(process.stdout.readline())["pid"]).cmdline()
    assert command[command.index("--log-level") + 1] == level


def test_configuration_in_the_working_folder_is_used(serve: Serve, stepflow: Stepflow) -> None:
    config = releases.builtin_config(releases.NEWEST) | {"routes": {"/inside": [{"plugin": "builtin"}]}}
    (stepflow.folder / "stepflow-config.yml").write_text(json.dumps(config))
    process = serve("--port", "0", "-o", "name")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    flow = {"steps": [{"id": "a", "component": "/inside/noop", "input": 1}], "output": {"$step": "a"}}
    (stepflow.folder / "inside.json").write_text(json.dumps(flow))
    assert stepflow("run", "inside.json", "--url", url).stdout == "1\n"


@pytest.mark.parametrize("is_allowed", [False, True])
def test_load_file_needs_an_option(is_allowed: bool, serve: Serve, stepflow: Stepflow) -> None:
    process = serve("--port", "0", "-o", "name", *(["--allow-load-file"] if is_allowed else []))
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    (stepflow.folder / "secret.json").write_text('"what others must not read"')
    path = {"path": str(stepflow.folder / "secret.json")}
    flow = {"steps": [{"id": "a", "component": "/builtin/load_file", "input": path}], "output": {"$step": "a"}}
    (stepflow.folder / "reads.json").write_text(json.dumps(flow))
    done = stepflow("run", "reads.json", "--url", url)
    assert (done.code == 0) is is_allowed
    assert ("what others must not read" in done.stdout) is is_allowed


def test_token_is_not_passed_to_the_server(serve: Serve, stepflow: Stepflow) -> None:
    stepflow.environment["STEPFLOW_TOKEN"] = "a-token"
    process = serve("--port", "0", "-o", "jsonl")
    assert process.stdout is not None
    pid = json.loads(process.stdout.readline())["pid"]
    assert "a-token" not in str(psutil.Process(pid).environ())


def test_restarted_server_resumes_its_runs(serve: Serve, stepflow: Stepflow) -> None:
    store = {"type": "sqlite", "databaseUrl": f"sqlite:{stepflow.folder / 'store.db'}?mode=rwc"}
    config = {**releases.builtin_config(releases.NEWEST), "storageConfig": store}
    (stepflow.folder / "stepflow-config.yml").write_text(json.dumps(config))
    flow = {"steps": [{"id": "a", "component": "/builtin/sleep", "input": {"$input": "$"}}], "output": {"$step": "a"}}
    (stepflow.folder / "nap.json").write_text(json.dumps(flow))
    first = serve("--port", "0", "-o", "jsonl")
    assert first.stdout is not None
    url = json.loads(first.stdout.readline())["url"]
    nap = '{"duration_ms": 2000}'
    run_id = stepflow("submit", "nap.json", "--input-json", nap, "--detach", "--url", url).stdout.strip()
    first.kill()
    first.wait(10)
    second = serve("--port", "0", "-o", "jsonl")
    assert second.stdout is not None
    url = json.loads(second.stdout.readline())["url"]
    # The previous server's claim expires after some seconds (30 s if the new server had another name).
    done = stepflow("runs", "watch", "-q", run_id, "--timeout", "20", "--url", url)
    assert (done.code, done.stderr) == (0, "")


@pytest.mark.exhaustive
def test_workers_started_separately(serve: Serve, stepflow: Stepflow) -> None:
    plugins = {"builtin": {"type": "builtin"}, "python": {"type": "grpc", "queueName": "python"}}
    config = {"plugins": plugins, "routes": {"/builtin": [{"plugin": "builtin"}], "/python": [{"plugin": "python"}]}}
    (stepflow.folder / "stepflow-config.yml").write_text(json.dumps(config))
    process = serve("--port", "0", "-o", "name")
    assert process.stdout is not None
    assert is_reachable(process.stdout.readline().strip())
    done = stepflow("serve", "--port", "0", "--worker-timeout", "0.5")
    assert (done.code, done.stdout) == (4, "")
    assert "stepflow: No worker of python connected within 0.5 s\n" in done.stderr


def test_failures(stepflow: Stepflow, serve: Serve, golden: Golden) -> None:
    (stepflow.folder / "wrong.yml").write_text("plugins: {x: {type: nonsense}}\n")
    (stepflow.folder / "stepflow-config.yml").write_text("{}")
    (stepflow.folder / "stepflow_config.yml").write_text("{}")
    golden(
        stepflow("serve", "--port", "0", "--config", "wrong.yml"),
        stepflow("serve", "--port", "0", "--config", "wrong.yml", "-o", "json"),
        stepflow("serve", "--port", "0", "--config", "missing.yml"),
        stepflow("serve", "--port", "0"),
        stepflow("serve", "--port", "65536"),
        stepflow("serve", "--port", "http"),
        stepflow("serve", "7837"),
        stepflow("serve", "--config", "wrong.yml", "--allow-load-file"),
        stepflow("serve", "--worker-timeout", "0"),
        stepflow("serve", "--restart", "sometimes"),
        stepflow("serve", "--config", "wrong.yml", "--otlp-endpoint", "localhost:4317"),
    )


CRASH = "after a crash, the server resumes only 100 unfinished runs when it starts, and 10 at each later check; "


@pytest.mark.parametrize(
    ("recovery", "notes"),
    [
        ({"checkIntervalSecs": 1}, ["recovery.checkIntervalSecs is 1, with a store in a file: below 30 s, ", CRASH]),
        ({"checkIntervalSecs": 30}, [CRASH]),
        ({"maxStartupRecovery": 1, "maxClaimsPerCheck": 1}, []),
    ],
)
def test_notes_about_recovery_settings(
    recovery: dict[str, int], notes: list[str], serve: Serve, stepflow: Stepflow
) -> None:
    config = {
        **releases.builtin_config(releases.NEWEST),
        "storageConfig": {"type": "sqlite", "databaseUrl": f"sqlite:{stepflow.folder / 'store.db'}?mode=rwc"},
        "recovery": recovery,
    }
    (stepflow.folder / "c.yml").write_text(json.dumps(config))
    process = serve("--port", "0", "--config", "c.yml")
    assert process.stderr is not None
    for each in notes:
        assert process.stderr.readline().startswith(f"stepflow: c.yml: {each}")
    assert process.stderr.readline().startswith("The server listens on ")
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
