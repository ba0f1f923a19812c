"""A server with a durable store that is killed while runs go on, and started again: every run ends, once."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from stepflow_client import StepflowClient, SyncStepflowClient

from tests import releases

pytestmark = [pytest.mark.faults, pytest.mark.anyio]

RUNS = 30
SECONDS = 3.2
KNOWN = 1.8
"""Seconds after which every call knows the id of its run."""
DOWN = 0.7


class Server:
    """A server of the newest release on a fixed port, with its store in a file."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        config = {
            **releases.builtin_config(releases.NEWEST),
            "storageConfig": {"type": "sqlite", "databaseUrl": f"sqlite:{folder / 'store.db'}?mode=rwc"},
        }
        (folder / "config.yml").write_text(yaml.safe_dump(config))

    def start(self) -> None:
        # With the same id it takes up its own runs at once.
        options = ["--port", str(self.port), "--config", str(self._folder / "config.yml")]
        options += ["--orchestrator-id", "restarted", "--log-level", "warn"]
        with (self._folder / "server.log").open("ab") as log:
            command = [str(releases.binary(releases.NEWEST)), *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"{self.url}/api/v1/health", trust_env=False).raise_for_status()
                return
            except httpx.HTTPError:
                assert time.monotonic() < deadline, (self._folder / "server.log").read_text()
                time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    started.start()
    try:
        started.wait_ready()
        yield started
    finally:
        started.kill()


def slow(name: str) -> dict[str, Any]:
    """A flow that sleeps as long as its input says and gives its input back."""
    # Integers survive only in inputs.
    sleep = {"duration_ms": {"$input": "ms"}, "passthrough": {"$input": "n"}}
    steps = [{"id": "nap", "component": "/builtin/sleep", "input": sleep}]
    return {"name": name, "steps": steps, "output": {"n": {"$input": "n"}, "slept": {"$step": "nap"}}}


def given(number: int) -> dict[str, int]:
    return {"n": number, "ms": int(SECONDS * 1000) + 20 * number}


def crash(server: Server) -> None:
    time.sleep(KNOWN)
    server.kill()
    time.sleep(DOWN)
    server.start()


def check(server: Server, found: list[Any]) -> None:
    """Every call has its own result, and there is one run for each."""
    assert [result.is_success for result in found] == [True] * len(found)
    assert [result.output["n"] for result in found] == list(range(len(found)))
    with SyncStepflowClient(server.url) as client:
        runs = client.list_runs().runs
    names = Counter(run.flow_name for run in runs)
    assert sum(names.values()) == len(found), names
    assert {run.status.value for run in runs} == {"completed"}


@pytest.mark.parametrize("shared", [True, False], ids=["one flow", "flows of their own"])
async def test_async_runs_survive_a_crash(shared: bool, server: Server) -> None:
    crasher = threading.Thread(target=crash, args=(server,))
    async with StepflowClient(server.url) as client:
        for number in range(1 if shared else RUNS):
            await client.store_flow(slow(f"slow-{number}"))
        calls = [client.run(slow(f"slow-{0 if shared else number}"), given(number)) for number in range(RUNS)]
        crasher.start()
        found = await asyncio.gather(*calls)
    crasher.join(30)
    check(server, found)


def test_sync_runs_survive_a_crash(server: Server) -> None:
    crasher = threading.Thread(target=crash, args=(server,))
    with SyncStepflowClient(server.url) as client, ThreadPoolExecutor(RUNS) as pool:
        client.store_flow(slow("slow"))
        calls = [pool.submit(client.run, slow("slow"), given(number)) for number in range(RUNS)]
        crasher.start()
        found = [call.result(60) for call in calls]
    crasher.join(30)
    check(server, found)


async def test_events_go_on_behind_a_crash(server: Server) -> None:
    async with StepflowClient(server.url) as client:
        run_id = await client.submit(slow("followed"), [given(0), given(1)])
        crasher = threading.Thread(target=crash, args=(server,))
        crasher.start()
        live = [event async for event in client.run_events(run_id)]
        crasher.join(30)
        assert live == [event async for event in client.run_events(run_id)]
        assert live[-1].type == "run_completed"
        assert [result.output["n"] for result in await client.get_results(run_id)] == [0, 1]
