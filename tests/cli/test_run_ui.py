"""`stepflow run --ui` serves the page of a run until Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.command import FORKED, Stepflow, fork_environment
from tests.cli.ui.process import read_link

FLOW = """name: shown
steps:
- id: a
  component: /builtin/sleep
  input: {duration_ms: {$input: ms}, passthrough: {$input: value}}
output: {$step: a}
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `stepflow run --ui` with an embedded server."""
    (tmp_path / "flow.yaml").write_text(FLOW)
    started = []

    def run(value: Any, *args: str) -> subprocess.Popen[str]:
        environment = {**fork_environment(), "HOME": str(tmp_path), "BROWSER": "true"}
        command = [str(FORKED), "run", "flow.yaml", "--ui", "--input-json", json.dumps(value), *args]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def wait_for_page(link: str) -> str:
    """Open the link, and return the run's page once the run has ended."""
    with httpx.Client(trust_env=False, verify=False, timeout=30, follow_redirects=True) as browser:
        browser.get(link)
        base, _, run_id = link.partition("/?")[0], *link.rpartition("run=")[1:]
        for _ in range(600):
            text = browser.get(f"{base}/runs/{run_id}").text
            if "data-live" not in text:
                return text
            time.sleep(0.05)
    raise AssertionError(text)


def test_result_is_printed_and_page_served_until_ctrl_c(start: Start, tmp_path: Path) -> None:
    process = start({"ms": 10, "value": "to be seen"}, "-o", "jsonl")
    link = read_link(process)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["output"]["passthrough"] == "to be seen"
    assert "to be seen" in wait_for_page(link)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, ""), err
    assert "Traceback" not in err
    # The step outputs are kept, because the server has stopped.
    command = [str(FORKED), "run", "flow.yaml", "--reuse", "@last"]
    environment = {**fork_environment(), "HOME": str(tmp_path)}
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "keeps a; executes no step" in again.stderr


def test_failed_run(start: Start) -> None:
    process = start({"value": 1})
    assert "failed" in wait_for_page(read_link(process))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err


def test_ctrl_c_stops_the_run_with_the_embedded_server(start: Start) -> None:
    process = start({"ms": 60_000, "value": 1})
    read_link(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "stops with the embedded server" in err


@pytest.mark.parametrize("option", ["--detach", "--dry-run", "--cache", "--timeout=5"])
def test_conflicting_options_are_refused(stepflow: Stepflow, option: str) -> None:
    (stepflow.folder / "flow.yaml").write_text(FLOW)
    done = stepflow("run", "flow.yaml", "--ui", option)
    assert done.code == 2
    assert f"--ui and {option.partition('=')[0]} cannot be used together" in done.stderr
