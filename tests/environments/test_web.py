"""A FastAPI application in two uvicorn workers, whose event loop is uvloop's."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
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

PATIENCE = 30.0
"""Seconds until the application answers, and until it has ended."""


@contextmanager
def application(log: Path) -> Iterator[str]:
    """Start the application and return its URL; end it as a supervisor does."""
    python = environment("web", "fastapi~=0.115", "uvicorn[standard]~=0.34")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "uvicorn", "web:app", "--workers", "2", "--port", str(port), "--app-dir", PROGRAMS]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=log.parent, env=clean_environ(), stdout=output, stderr=output)
        try:
            yield f"http://127.0.0.1:{port}"
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) in (0, -signal.SIGTERM)
        finally:
            if server.poll() is None:
                for process in psutil.Process(server.pid).children(recursive=True):
                    process.kill()
                server.kill()
                server.wait()


def workers(url: str) -> list[dict[str, Any]]:
    """Return what the two workers say of themselves, when both have answered."""
    found: dict[int, dict[str, Any]] = {}
    end = time.monotonic() + PATIENCE
    while len(found) < 2:
        assert time.monotonic() < end, f"only {len(found)} workers have answered"
        try:
            # Each on a connection of its own, so that either worker may take it.
            answer = httpx.get(f"{url}/worker", timeout=PATIENCE).json()
            found[answer["pid"]] = answer
        except httpx.ConnectError:
            time.sleep(0.1)
    return list(found.values())


def test_a_fastapi_application_runs_flows_in_two_workers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with application(log) as url:
        both = workers(url)
        assert [each["loop"] for each in both] == ["uvloop", "uvloop"]
        servers = [psutil.Process(each["server"]) for each in both]

        def ask(number: int) -> tuple[int, int]:
            way = ("run", "embedded", "blocking")[number % 3]
            answer = httpx.get(f"{url}/{way}/{number}", timeout=PATIENCE).raise_for_status().json()
            return answer["pid"], answer["output"]

        served: set[int] = set()
        end = time.monotonic() + PATIENCE
        with ThreadPoolExecutor(8) as threads:
            # The system deals connections to the workers as it likes.
            while len(served) < 2 and time.monotonic() < end:
                answers = list(threads.map(ask, range(60)))
                assert [output for _, output in answers] == list(range(60))
                served |= {pid for pid, _ in answers}
        assert served == {each["pid"] for each in both}
        relayed = httpx.get(f"{url}/events/1", timeout=PATIENCE).raise_for_status().text.split()
        assert relayed[0] == "run_created"
        assert relayed[-1] == "run_completed"
    _, alive = psutil.wait_procs(servers, timeout=PATIENCE)
    assert alive == []
    written = log.read_text()
    assert "Traceback" not in written
    assert "Warning" not in written
