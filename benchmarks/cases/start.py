"""Time from a cold start to the first result."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.environment import BENCH_PYTHON, OUR_PYTHON, SCRATCH
from benchmarks.processes import time_command
from benchmarks.workload import FLOW, INPUT

CASE = "start"
TIME, EMBEDDED = "from start to end of the process, ms", "embedded server, ms"
AT = "wall"
PASS = "python -c pass"
CLIENT = "import stepflow_client, make a client"
UPSTREAM_IMPORT = "from stepflow_py import StepflowClient"
VERSION = "stepflow --version"
HELP = "stepflow --help"
RUN = "stepflow run, remote"
LIST = "stepflow runs list -o json"
COMPLETION = "completion of `stepflow ru`"
FIRST_RESULT = "StepflowRuntime.start() to the first result"

Command = list[str | Path]

_PASS_UPSTREAM = "python -c pass (environment of stepflow-py)"
_EMBEDDED = f"""
import time
from stepflow_client import StepflowRuntime
started = time.perf_counter()
with StepflowRuntime.start() as runtime:
    runtime.sync_client.run({FLOW!r}, {INPUT!r}).raise_for_failure()
    print((time.perf_counter() - started) * 1000)
"""


def measure(bench: Bench) -> None:
    """Measure processes that import, create a client, print help or run a flow, then the embedded server."""
    rounds = bench.count_rounds(11, 1)
    with bench.server() as url:
        _time(bench, _commands(url), len(rounds))
    for _ in rounds:
        _, said = time_command([OUR_PYTHON, "-c", _EMBEDDED])
        bench.results.add(CASE, EMBEDDED, AT, FIRST_RESULT, float(said))


def _time(bench: Bench, commands: Mapping[str, Command], rounds: int) -> None:
    for warm_up in (True, *(False for _ in range(rounds))):
        for name, command in commands.items():
            taken, _ = time_command(command)
            # Discard the first time, which may include writing bytecode.
            if not warm_up:
                bench.results.add(CASE, TIME, AT, name, taken * 1000)


def _commands(url: str) -> dict[str, Command]:
    flow = SCRATCH / "echo.json"
    flow.write_text(json.dumps(FLOW))
    stepflow = Path(sys.executable).with_name("stepflow")
    make = 'from stepflow_client import StepflowClient; StepflowClient("http://localhost:1")'
    return {
        PASS: [OUR_PYTHON, "-c", "pass"],
        _PASS_UPSTREAM: [BENCH_PYTHON, "-c", "pass"],
        CLIENT: [OUR_PYTHON, "-c", make],
        UPSTREAM_IMPORT: [BENCH_PYTHON, "-c", UPSTREAM_IMPORT],
        **{f"import {name}": [OUR_PYTHON, "-c", f"import {name}"] for name in _IMPORTS},
        VERSION: [stepflow, "--version"],
        HELP: [stepflow, "--help"],
        COMPLETION: ["env", "_STEPFLOW_COMPLETE=bash_complete", "COMP_WORDS=stepflow ru", "COMP_CWORD=1", stepflow],
        LIST: [stepflow, "runs", "list", "-o", "json", "--url", url],
        RUN: [stepflow, "run", flow, "--url", url, "--input-json", json.dumps(INPUT)],
    }


_IMPORTS = ("stepflow_client", "stepflow_cli", "stepflow_api", "httpx", "pydantic")
