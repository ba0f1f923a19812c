"""Worker processes, controlled by the measuring process. None outlives it or can block it forever."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.environment import ROOT

_MAX_SECONDS = 180.0
"""Timeout for a command, in seconds."""


@dataclass(frozen=True)
class Answer:
    """A command's result and how many seconds it took."""

    value: Any
    wall: float
    cpu: float


class WorkerError(Exception):
    """A worker failed or did not respond in time."""


class TimeLimit(WorkerError):
    """A worker did not respond in time. It's still busy, so don't send it further commands."""


class Worker:
    """A process that drives one peer.

    Args:
        python: The interpreter.
        module: The peer's module, or `-` for none.
    """

    def __init__(self, python: Path, module: str) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", module],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, command: str, *, limit: float = _MAX_SECONDS, **arguments: Any) -> Answer:
        """Execute a command in the worker.

        Args:
            command: The command.
            limit: Timeout in seconds.
            arguments: The command's arguments.

        Raises:
            TimeLimit: If it took longer.
            WorkerError: If it failed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, "with": arguments}).encode() + b"\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], limit)
        if not ready:
            raise TimeLimit(f"{self._module}: {command} gave no answer within {limit:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self._module}: {command} gave no answer, and the process has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self._module}: {command} failed\n{answer['error']}")
        return Answer(answer["value"], answer["wall"], answer["cpu"])


def clean_environment() -> dict[str, str]:
    """Return this process's environment without variables that affect how peers connect."""
    unwanted = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "pythonpath", "pythondontwritebytecode")
    kept = {name: value for name, value in os.environ.items() if name.lower() not in unwanted}
    return {name: value for name, value in kept.items() if not name.startswith("STEPFLOW_")}


def time_command(command: Sequence[str | Path]) -> tuple[float, str]:
    """Run a command, and return its duration in seconds and its output.

    Raises:
        subprocess.CalledProcessError: If it failed.
    """
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True, timeout=_MAX_SECONDS
    )
    return time.perf_counter() - started, done.stdout
