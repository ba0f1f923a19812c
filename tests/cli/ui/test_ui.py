"""`stepflow ui` starts, stops and fails as documented, and other commands do not import its dependencies."""

from __future__ import annotations

import itertools
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from stepflow_client import StepflowRuntime

from tests.cli.command import FORKED, Stepflow, fork_environment
from tests.cli.golden import Golden
from tests.cli.ui.process import StartUi, read_link


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_it_while_a_page_is_open(
    start_ui: StartUi, newest_server: StepflowRuntime, signal_number: signal.Signals
) -> None:
    ui = start_ui(newest_server.url)
    with ui.browser() as browser, browser.stream("GET", "/live/runs") as response:
        next(response.iter_lines())
        ui.process.send_signal(signal_number)
        assert ui.process.wait(timeout=60) == 0
    assert ui.process.stderr is not None
    assert "Traceback" not in ui.process.stderr.read()


def test_port_in_use(stepflow: Stepflow, server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = stepflow("ui", "--no-open", "--port", str(port))
    assert (done.code, done.stdout) == (4, "")
    assert f"port {port} is in use" in done.stderr


def test_host_of_another_machine(stepflow: Stepflow, server: str) -> None:
    done = stepflow("ui", "--no-open", "--host", "192.0.2.1")
    assert done.code == 2
    assert "cannot listen on 192.0.2.1" in done.stderr


def test_unreachable_server(stepflow: Stepflow) -> None:
    done = stepflow("ui", "--no-open", "--url", "http://127.0.0.1:9")
    assert done.code == 4
    assert "token=" not in done.stderr


def test_without_the_extra(stepflow: Stepflow, server: str, golden: Golden) -> None:
    (stepflow.home / "sitecustomize.py").write_text(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'uvicorn' else find(name, package)\n"
    )
    golden(stepflow("ui", PYTHONPATH=str(stepflow.home)))


def test_other_commands_do_not_import_its_dependencies() -> None:
    program = (
        "import sys\nfrom stepflow_cli.main import run_command_line\nfrom stepflow_cli.errors import Session\n"
        "for words in (['version'], ['--help'], ['ui', '--help']):\n  run_command_line(words, Session())\n"
        "names = {each.partition('.')[0] for each in sys.modules}\n"
        "print(names & {'starlette', 'uvicorn', 'jinja2', 'markupsafe', 'h11', 'anyio', 'asyncio'}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "set()\n")


def test_exposed_host_accepts_addresses_only(start_ui: StartUi, newest_server: StepflowRuntime) -> None:
    ui = start_ui(newest_server.url, "--host", "0.0.0.0")
    port = httpx.URL(ui.base).port
    for host, status in (("10.9.8.7", 401), ("localhost", 401), ("rebound.example", 403)):
        headers = {"host": f"{host}:{port}"}
        assert (
            httpx.get(f"http://127.0.0.1:{port}/runs", headers=headers, trust_env=False, verify=False).status_code
            == status
        )


def test_open_option_opens_a_run(start_ui: StartUi, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    flow = {"name": "opened", "steps": [{"id": "a", "component": "/builtin/noop"}], "output": {"$step": "a"}}
    run_id = client.wait_run(client.submit(flow), timeout=60).run_id
    ui = start_ui(newest_server.url, "--open", run_id[:30])
    assert ui.link.endswith(f"&run={run_id}")
    opened = httpx.get(ui.link, trust_env=False, verify=False)
    assert f'content="0;url=/runs/{run_id}"' in opened.text
    with ui.browser(ui.next_link()) as browser:
        assert browser.get(f"/?run={run_id}").headers["location"] == f"/runs/{run_id}"
        for wrong in ("//evil.example", "/flows", "x", f"{run_id}/../../flows", "javascript:alert(1)", ""):
            assert browser.get("/", params={"run": wrong}).headers["location"] == "/runs"


def test_open_option_with_a_missing_run(stepflow: Stepflow, server: str) -> None:
    done = stepflow("ui", "--no-open", "--open", "0197aaaa-0000-7000-8000-000000000000")
    assert done.code == 1
    assert "token=" not in done.stderr


def test_missing_flows_folder(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "file.yaml").write_text("a: 1")
    for name in ("missing", "file.yaml"):
        done = stepflow("ui", "--no-open", "--flows", name)
        assert done.code == 2
        assert "--flows" in done.stderr


def test_terminal_browser_gets_the_page_before_it_exits(tmp_path: Path, newest_server: StepflowRuntime) -> None:
    program = (
        "import sys, httpx\n"
        "with httpx.Client(follow_redirects=True, trust_env=False, timeout=20) as client:\n"
        "    print(client.get(sys.argv[1]).status_code, file=sys.stderr)"
    )
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(program)} "$1"\n')
    browser.chmod(0o755)
    environment = {**fork_environment(), "HOME": str(tmp_path), "BROWSER": f"{browser} %s"}
    command = [str(FORKED), "ui", "--url", newest_server.url]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            read_link(process)
            assert "200\n" in itertools.islice(process.stderr, 2)
        finally:
            process.kill()
