"""Run a flow in several processes while requests that create runs are cut, and check that each gets its own results.

    python -m tests.lost_answers --calls 2000 --processes 2

Each process has its own client behind its own proxy. A fifth of the requests that create a run are cut: half of them
before they reach the server, half before the response arrives. The exit code is 1 if a result is wrong or a
call was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

from stepflow_client import LogConfig, StepflowRuntime, SyncStepflowClient

from tests import releases
from tests.fault_proxy import FaultProxy, Script

CREATE = b"POST /api/v1/runs "
SHARE = 0.2
"""Share of the requests to create a run that are cut."""

PROGRAM = """
import json, sys
from stepflow_client import StepflowClientError, SyncStepflowClient

url, name, who, calls = sys.argv[1:3] + [int(each) for each in sys.argv[3:]]
flow = {"name": name, "steps": [], "output": {"$input": "$"}}
wrong, errors = [], []
with SyncStepflowClient(url) as client:
    for number in range(calls):
        sent = {"who": who, "number": number}
        try:
            output = client.run(flow, sent).output
        except StepflowClientError as error:
            errors.append(repr(error))
        else:
            if output != sent:
                wrong.append([sent, output])
print(json.dumps({"wrong": wrong, "errors": errors}))
"""


@dataclass
class Report:
    """The outcome of the calls of all processes."""

    calls: int
    wrong: list[Any] = field(default_factory=list)
    """The inputs and outputs of calls that got the results of other calls."""
    errors: list[str] = field(default_factory=list)
    cuts: int = 0
    """Number of requests to create a run that were cut."""
    requests: int = 0
    """Number of requests that the processes sent, including cut requests."""
    creations: int = 0
    """Number of requests to create a run."""
    runs: int = 0
    """Number of runs on the server at the end."""
    seconds: float = 0.0

    @property
    def for_cuts(self) -> int:
        """Number of requests caused by cuts: all except one for each call and those that store the flow."""
        return self.requests - self.calls

    def __str__(self) -> str:
        return (
            f"{self.calls} calls, {self.cuts} creations cut ({self.cuts / max(1, self.creations):.0%}): "
            f"{len(self.wrong)} wrong results, {len(self.errors)} errors, {self.runs} runs; "
            f"{self.requests} requests ({self.requests / self.calls:.2f} per call, "
            f"{self.for_cuts / max(1, self.cuts):.2f} more per cut), of these {self.creations} to create a run "
            f"({self.creations / self.calls:.2f} per call); {self.seconds:.0f} s"
        )


def random_cuts(seed: int) -> Callable[[int], Script]:
    """Return a script that cuts each request to create a run, or its response, with the same probability."""
    chance = Random(seed)

    def script(number: int) -> Script:
        spared = 0
        while chance.random() >= SHARE:
            spared += 1
        cut = {chance.choice(("cut_request", "cut_answer")): chance.randrange(1, 100)}
        return Script(within=CREATE, after=spared, reset=chance.random() < 0.5, **cut)  # type: ignore[arg-type]

    return script


def measure(url: str, name: str, *, processes: int, calls: int) -> Report:
    """Run a flow with this name repeatedly in each process.

    Args:
        url: The server.
        name: The flow's name; no other run may have it.
        processes: Number of processes.
        calls: Number of calls of each process.
    """
    report = Report(processes * calls)
    began = time.monotonic()
    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultProxy(url, random_cuts(number))) for number in range(processes)]
        started = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, proxy.url, name, str(number), str(calls)], stdout=subprocess.PIPE
            )
            for number, proxy in enumerate(proxies)
        ]
        for process in started:
            printed, _ = process.communicate()
            outcome = json.loads(printed)
            report.wrong += outcome["wrong"]
            report.errors += outcome["errors"]
        report.seconds = time.monotonic() - began
        report.cuts = sum(proxy.faults for proxy in proxies)
        report.requests = sum(proxy.requests for proxy in proxies)
        report.creations = sum(bytes(each.request).count(CREATE) for proxy in proxies for each in proxy.connections)
    with SyncStepflowClient(url) as client:
        report.runs = len(client.list_runs(flow_name=name).runs)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000, help="of each process")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--server", default=releases.NEWEST, help="the release of the server")
    options = parser.parse_args()
    os.environ["STEPFLOW_SERVER_BINARY"] = str(releases.binary(options.server))
    config = releases.builtin_config(options.server)
    with StepflowRuntime.start(config=config, log_config=LogConfig(level="warn")) as server:
        report = measure(server.url, "lost-answers", processes=options.processes, calls=options.calls)
    print(report)
    for each in [*report.wrong, *report.errors][:20]:
        print(f"  {each}")
    return 1 if report.wrong or report.errors or report.runs != report.calls else 0


if __name__ == "__main__":
    sys.exit(main())
