"""`runs watch` and `runs events` end at the same time, however a run ends."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import SyncStepflowClient

from tests.cli.command import FORKED, fork_environment
from tests.durable import DurableServer

MAX_GAP = 5.0
"""Maximum seconds between the exits of the two processes, on a busy machine."""
COMMANDS = {
    "tree and lines": (("watch",), ("events",)),
    "events": (("watch", "-o", "jsonl"), ("events", "--include-sub-runs")),
}
FLOW: dict[str, Any] = {
    "name": "naps",
    "steps": [
        {"id": "nap", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}},
        {"id": "greet", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "name"}}},
    ],
    "output": [{"$step": "nap"}, {"$step": "greet"}],
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DurableServer]:
    started = DurableServer(tmp_path)
    started.start()
    try:
        started.wait_ready()
        yield started
    finally:
        started.kill()


class Followers:
    """Commands that follow a run.

    Args:
        server: The server.
        run_id: The run.
        folder: The folder for their output.
        commands: Their arguments after `stepflow runs`.
    """

    def __init__(self, server: DurableServer, run_id: str, folder: Path, commands: Any) -> None:
        environment = {**os.environ, **fork_environment(), "HOME": str(folder), "STEPFLOW_URL": server.url}
        self.outputs = [folder / f"output-{number}" for number in range(len(commands))]
        self._processes = []
        for words, path in zip(commands, self.outputs, strict=True):
            with path.open("wb") as output:
                command = [str(FORKED), "runs", words[0], run_id, *words[1:]]
                self._processes.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))

    def wait_until_started(self) -> None:
        """Wait until each command has printed something."""
        deadline = time.monotonic() + 60
        while not all(path.stat().st_size for path in self.outputs):
            assert time.monotonic() < deadline, [path.read_text() for path in self.outputs]
            time.sleep(0.05)

    def wait(self, seconds: float) -> tuple[list[int], list[float]]:
        """Wait until all commands have exited; return their exit codes and exit times."""
        times: dict[int, float] = {}
        deadline = time.monotonic() + seconds
        while len(times) < len(self._processes):
            assert time.monotonic() < deadline, [path.read_text() for path in self.outputs]
            for number, process in enumerate(self._processes):
                if number not in times and process.poll() is not None:
                    times[number] = time.monotonic()
            time.sleep(0.02)
        return [process.returncode for process in self._processes], list(times.values())

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def follow(server: DurableServer, tmp_path: Path) -> Iterator[Callable[..., Followers]]:
    """Return a function that starts the commands of an entry in `COMMANDS`."""
    started: list[Followers] = []

    def start(run_id: str, how: str) -> Followers:
        started.append(Followers(server, run_id, tmp_path, COMMANDS[how]))
        started[-1].wait_until_started()
        return started[-1]

    yield start
    for each in started:
        each.stop()


def submit(server: DurableServer, **flow_input: Any) -> str:
    with SyncStepflowClient(server.url) as client:
        return client.submit(FLOW, flow_input)


@pytest.mark.parametrize("how", COMMANDS)
def test_after_a_cancellation(how: str, server: DurableServer, follow: Callable[..., Followers]) -> None:
    run_id = submit(server, ms=40_000, name="Ada")
    followers = follow(run_id, how)
    cancelled_at = time.monotonic()
    with SyncStepflowClient(server.url) as client:
        client.cancel_run(run_id)
    codes, times = followers.wait(60)
    assert codes == [6, 0]
    assert max(times) - min(times) < MAX_GAP
    assert max(times) - cancelled_at < 20


@pytest.mark.parametrize("how", COMMANDS)
def test_after_a_failure(how: str, server: DurableServer, follow: Callable[..., Followers]) -> None:
    followers = follow(submit(server, ms=5_000), how)
    codes, times = followers.wait(60)
    assert codes == [1, 0]
    assert max(times) - min(times) < MAX_GAP
    last = json.loads(followers.outputs[1].read_text().splitlines()[-1])
    assert (last["type"], last["status"], last["inferred"]) == ("run_completed", "failed", False)


@pytest.mark.faults
def test_after_a_kill_of_the_server(server: DurableServer, follow: Callable[..., Followers]) -> None:
    followers = follow(submit(server, ms=200_000, name="Ada"), "tree and lines")
    time.sleep(3)
    server.kill()
    codes, times = followers.wait(100)
    assert codes == [4, 4]
    assert max(times) - min(times) < MAX_GAP


@pytest.mark.faults
def test_after_a_kill_and_a_restart(server: DurableServer, follow: Callable[..., Followers]) -> None:
    followers = follow(submit(server, ms=4_000, name="Ada"), "events")
    time.sleep(1)
    server.kill()
    server.start()
    codes, times = followers.wait(60)
    assert codes == [0, 0]
    assert max(times) - min(times) < MAX_GAP
