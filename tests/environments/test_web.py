"""A FastAPI application in two uvicorn workers with uvloop runs flows and streams events."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.environments.conftest import PROGRAMS, clean_environ, environment

pytestmark = [pytest.mark.environments, pytest.mark.timeout(240)]

TIMEOUT = 30.0
"""Seconds for the application to respond, and to exit."""


@contextmanager
def application(log: Path, *arguments: str, **variables: str) -> Iterator[str]:
    """Start the application and yield its URL; stop it with SIGTERM, as a supervisor would."""
    python = environment("web", "fastapi~=0.115", "uvicorn[standard]~=0.34")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "uvicorn", "web:app", "--port", str(port), "--app-dir", str(PROGRAMS), *arguments]
    environ = clean_environ() | variables
    with log.open("ab") as output:
        server = subprocess.Popen(command, cwd=log.parent, env=environ, stdout=output, stderr=output)
        try:
            yield f"http://127.0.0.1:{port}"
            server.send_signal(signal.SIGTERM)
            assert server.wait(TIMEOUT) in (0, -signal.SIGTERM)
        finally:
            if server.poll() is None:
                for process in psutil.Process(server.pid).children(recursive=True):
                    process.kill()
                server.kill()
                server.wait()


def workers(url: str) -> list[dict[str, Any]]:
    """Return the responses of `/worker` once both workers have responded."""
    responses: dict[int, dict[str, Any]] = {}
    end = time.monotonic() + TIMEOUT
    while len(responses) < 2:
        assert time.monotonic() < end, f"only {len(responses)} workers have responded"
        try:
            # Use a new connection each time, so that either worker may accept it.
            answer = httpx.get(f"{url}/worker", timeout=TIMEOUT).json()
            responses[answer["pid"]] = answer
        except httpx.ConnectError:
            time.sleep(0.1)
    return list(responses.values())


def test_a_fastapi_application_runs_flows_in_two_workers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with application(log, "--workers", "2") as url:
        both = workers(url)
        assert [each["loop"] for each in both] == ["uvloop", "uvloop"]
        servers = [psutil.Process(each["server"]) for each in both]

        def call(number: int) -> tuple[int, int]:
            endpoint = ("run", "embedded", "blocking")[number % 3]
            answer = httpx.get(f"{url}/{endpoint}/{number}", timeout=TIMEOUT).raise_for_status().json()
            return answer["pid"], answer["output"]

        served: set[int] = set()
        end = time.monotonic() + TIMEOUT
        with ThreadPoolExecutor(8) as threads:
            # The system decides which worker gets a connection.
            while len(served) < 2 and time.monotonic() < end:
                answers = list(threads.map(call, range(60)))
                assert [output for _, output in answers] == list(range(60))
                served |= {pid for pid, _ in answers}
        assert served == {each["pid"] for each in both}
    _, alive = psutil.wait_procs(servers, timeout=TIMEOUT)
    assert alive == []
    output = log.read_text()
    assert "Traceback" not in output
    assert "Warning" not in output


def test_event_streams_continue_in_the_next_process(tmp_path: Path, server_url: str) -> None:
    log = tmp_path / "log"
    limit = ("--timeout-graceful-shutdown", "1")
    with application(log, *limit, SERVER_URL=server_url) as url:
        wait_until_started(url)
        run_id = httpx.post(f"{url}/sleeps/4000", timeout=TIMEOUT).raise_for_status().json()["run_id"]
        with httpx.stream("GET", f"{url}/runs/{run_id}/events", timeout=TIMEOUT) as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            first = ""
            for text in stream.iter_text():
                first += text
                if "step_started" in first and first.endswith(":\n\n"):
                    break
            # Stop the application while the stream is open.
            stopped = time.monotonic()
    assert time.monotonic() - stopped < TIMEOUT
    last = re.findall("^id: (.*)$", first, re.MULTILINE)[-1]
    with application(log, *limit, SERVER_URL=server_url) as url:
        wait_until_started(url)
        rest = httpx.get(f"{url}/runs/{run_id}/events", headers={"last-event-id": last}, timeout=TIMEOUT).text
        types = re.findall('"type":"([a-z_]+)"', first + rest)
        assert types == list(dict.fromkeys(types)), "each event once"
        assert types[-1] == "run_completed"
        assert "event: end" in rest
        (*_, end) = re.findall("^id: (.*)$", rest, re.MULTILINE)
        for path in ("runs", "blocking/runs"):
            again = httpx.get(f"{url}/{path}/{run_id}/events", headers={"last-event-id": end}, timeout=TIMEOUT)
            assert (again.status_code, again.content) == (204, b"")
            wrong = httpx.get(f"{url}/{path}/{run_id}/events", headers={"last-event-id": "x"}, timeout=TIMEOUT)
            assert (wrong.status_code, wrong.headers["content-type"]) == (400, "application/problem+json")
        missing = httpx.get(f"{url}/runs/{uuid.uuid4()}/events", timeout=TIMEOUT)
        assert (missing.status_code, missing.json()["error"]) == (404, "not_found")
        assert server_url not in missing.text
    output = log.read_text()
    assert "Traceback" not in output
    assert "Warning" not in output


def wait_until_started(url: str) -> None:
    """Wait until the application accepts connections."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        try:
            httpx.get(f"{url}/docs", timeout=TIMEOUT)
            return
        except httpx.ConnectError:
            time.sleep(0.1)
