"""A process that drives one peer, reading JSON objects line by line from standard input and responding to each.

Usage: python -m benchmarks.worker MODULE, where MODULE is a module in `benchmarks.peers`, or `-` for none. Responses
contain the command's result as `value`, plus its wall and CPU time in seconds (user and system, all threads).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from benchmarks.drivers import driver


def peak_memory() -> int:
    """Return this process's peak memory in bytes. (`getrusage` would include the parent's memory at startup.)"""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def offline(function: str, **arguments: Any) -> Any:
    """Call a function in `benchmarks.offline`, which is only imported by processes that need it."""
    return getattr(importlib.import_module("benchmarks.offline"), function)(**arguments)


def commands(module: str) -> dict[str, Callable[..., Any]]:
    """Return the available commands."""
    known: dict[str, Callable[..., Any]] = {"peak_memory": peak_memory, "offline": offline}
    if module != "-":
        drives = driver(importlib.import_module(f"benchmarks.peers.{module}").Peer())
        for name in ("open", "latency", "throughput", "prepare", "batch", "stream", "events", "streams", "close"):
            known[name] = getattr(drives, name)
    return known


def answer(known: dict[str, Callable[..., Any]], request: dict[str, Any]) -> dict[str, Any]:
    """Execute a command."""
    gc.collect()
    try:
        cpu, wall = time.process_time(), time.perf_counter()
        value = known[request["do"]](**request["with"])
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "value": value}
    except Exception:
        return {"error": traceback.format_exc()}


def main() -> None:
    # Keep library output from mixing with the responses.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    known = commands(sys.argv[1])
    for line in sys.stdin:
        answers.write(json.dumps(answer(known, json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
