"""A server started by the client, compared with the same binary started by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from stepflow_client._embedded.config import build_builtin_config
from stepflow_client._embedded.process import find_binary

from benchmarks.bench import Bench
from benchmarks.environment import OUR_PYTHON, SCRATCH
from benchmarks.peers import BARE
from benchmarks.processes import Worker, clean_environment

CASE = "server"
RATE, SERVER_CPU, PARENT_CPU = (
    "calls per second",
    "CPU of the server for a call, µs",
    "CPU of its parent for a call, µs",
)
CONCURRENCY = 32
AT = f"{CONCURRENCY} at once, {BARE}"
BY_HAND, SERVE, RUNTIME = "by hand, --log-level warn", "stepflow serve", "StepflowRuntime.start()"

_RUNTIME = """
import json, signal, sys
from stepflow_client import StepflowRuntime
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
with StepflowRuntime.start() as runtime:
    print(json.dumps({"url": runtime.url, "pid": runtime.pid}), flush=True)
    signal.pause()
"""


@dataclass(frozen=True)
class _Server:
    url: str
    process: psutil.Process
    parent: psutil.Process | None

    def cpu(self) -> tuple[float, float]:
        """Return the CPU seconds used so far by the server and its parent."""
        return _cpu(self.process), 0.0 if self.parent is None else _cpu(self.parent)


def measure(bench: Bench) -> None:
    """Measure the server's overhead from logging and supervision, calling it over bare sockets."""
    seconds = 0.2 if bench.quick else 1.0
    commands = {SERVE: [Path(sys.executable).with_name("stepflow"), "serve", "--port", "0", "-o", "json"]}
    commands[RUNTIME] = [OUR_PYTHON, "-c", _RUNTIME]
    with ExitStack() as stack:
        servers = {BY_HAND: stack.enter_context(_by_hand())}
        servers |= {name: stack.enter_context(_started(command)) for name, command in commands.items()}
        workers = {name: stack.enter_context(bench.workers([BARE], server.url)) for name, server in servers.items()}
        for started in workers.values():
            _calls(started[BARE], seconds / 4)
        for _ in bench.count_rounds(5):
            for name, server in servers.items():
                before = server.cpu()
                calls, taken = _calls(workers[name][BARE], seconds)
                bench.results.add(CASE, RATE, AT, name, calls / taken)
                for measured, after, earlier in zip((SERVER_CPU, PARENT_CPU), server.cpu(), before, strict=True):
                    bench.results.add(CASE, measured, AT, name, (after - earlier) / calls * 1e6)


def _calls(worker: Worker, seconds: float) -> tuple[int, float]:
    calls, taken = worker.ask("throughput", seconds=seconds, concurrency=CONCURRENCY).value
    return calls, taken


@contextmanager
def _by_hand() -> Iterator[_Server]:
    config = SCRATCH / "builtins.json"
    config.write_text(json.dumps(build_builtin_config(use_prefix_routes=True)))
    command = [find_binary().path, "--port", "0", "--config", config.absolute(), "--log-level", "warn"]
    with _first_line(command) as (process, line):
        yield _Server(f"http://127.0.0.1:{line['port']}", psutil.Process(process.pid), None)


@contextmanager
def _started(command: list[str | Path]) -> Iterator[_Server]:
    with _first_line(command) as (process, line):
        yield _Server(line["url"], psutil.Process(line["pid"]), psutil.Process(process.pid))


@contextmanager
def _first_line(command: list[str | Path]) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str | int]]]:
    """Start a process, yield it with the JSON from its first line, and terminate it afterwards."""
    # Keep its history and logs separate from the user's.
    environment = {**clean_environment(), "XDG_STATE_HOME": str(SCRATCH / "state")}
    process = subprocess.Popen(
        command,
        cwd=SCRATCH,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Like the runtime. When busy, Linux shares the CPU between sessions, not processes.
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
