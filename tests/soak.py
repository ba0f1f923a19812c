"""Soak test: make all kinds of calls over failing connections: `python -m tests.soak --minutes 10`.

The exit code is 1 if a call lost its result or a run was created twice.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
from stepflow_client import (
    AmbiguousRunError,
    LogConfig,
    StepflowClient,
    StepflowClientError,
    StepflowRuntime,
    SyncStepflowClient,
)

from tests import releases
from tests.fault_proxy import FaultProxy, Script, answer

TASKS, THREADS = 24, 4
SHARE = 0.2
"""Share of the connections that fail."""
MAX_FAULT_OFFSET = 40_000
"""A failing connection fails within this many bytes."""


class Counts:
    """Counters shared by all tasks and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.lost: list[str] = []
        self.expected: Counter[str] = Counter()
        """Number of runs requested of each flow."""

    def called(self, kind: str) -> None:
        with self._lock:
            self.calls[kind] += 1

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self.refused[type(error).__name__] += 1

    def lose(self, what: str) -> None:
        with self._lock:
            self.lost.append(what)


def flow(name: str) -> dict[str, Any]:
    step = {"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "text"}}}
    return {"name": name, "steps": [step], "output": {"n": {"$input": "n"}, "made": {"$step": "a"}}}


def build_input(number: int) -> dict[str, Any]:
    return {"n": number, "text": f"{number}" * (number % 50)}


def random_fault(chance: random.Random) -> Script:
    """Return a random fault for a connection; usually none."""
    if chance.random() >= SHARE:
        return Script()
    kind = chance.randrange(6)
    after, reset = chance.randrange(MAX_FAULT_OFFSET), chance.random() < 0.5
    match kind:
        case 0:
            return Script(refuse=True)
        case 1:
            return Script(answer=answer(chance.choice((429, 503)), retry_after=0))
        case 2:
            return Script(answer=answer(502))
        case 3:
            return Script(cut_request=after, reset=reset)
        case 4:
            return Script(cut_answer=after, reset=reset, delay=0.002)
        case _:
            return Script(cut_answer=after, half_close=True)


def check(counts: Counts, what: str, actual: Any, expected: Any) -> None:
    if actual != expected:
        counts.lose(f"{what}: {actual!r} instead of {expected!r}")


async def one_call(client: StepflowClient, counts: Counts, chance: random.Random, name: str, number: int) -> None:
    """Make one call and check its result."""
    kind = chance.choice(("run", "run", "run", "batch", "events", "read", "blob", "cancelled", "list"))
    counts.called(kind)
    try:
        match kind:
            case "run":
                counts.expected[name] += 1
                result = await client.run(flow(name), build_input(number), private_copy=True)
                check(counts, kind, result.raise_for_failure().output["n"], number)
            case "batch":
                flow_name, size = f"{name}-{number}", 1 + number % 20
                counts.expected[flow_name] += 1
                run_id = await client.submit(flow(flow_name), [build_input(each) for each in range(size)])
                results = await client.get_results(run_id)
                check(counts, kind, [each.raise_for_failure().output["n"] for each in results], list(range(size)))
            case "events":
                flow_name = f"{name}-{number}"
                counts.expected[flow_name] += 1
                run_id = await client.submit(flow(flow_name), [build_input(1), build_input(2)])
                live = [str(event.cursor) async for event in client.run_events(run_id)]
                again = [str(event.cursor) async for event in client.run_events(run_id)]
                check(counts, kind, live, again)
                check(counts, kind, len(set(live)), len(live))
            case "read":
                counts.expected[name] += 1
                run_id = await client.submit(flow(name), build_input(number), private_copy=True)
                details = await client.wait_run(run_id)
                check(counts, kind, (details.run_id, details.status.value), (run_id, "completed"))
            case "blob":
                blob = await client.store_blob({"n": number})
                check(counts, kind, (await client.get_blob(blob.blob_id)).data, {"n": number})
            case "cancelled":
                # The run may or may not exist, but the client must not leak anything.
                task = asyncio.ensure_future(client.run(flow("cancelled"), build_input(number), private_copy=True))
                await asyncio.sleep(chance.random() * 0.02)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            case _:
                await client.list_runs(limit=20)
    except AmbiguousRunError as error:
        counts.failed(error)
    except StepflowClientError as error:
        counts.failed(error)
        counts.lose(f"{kind}: {type(error).__name__}: {error}")


def call_in_thread(url: str, counts: Counts, seed: int, until: float) -> None:
    """Make calls with a blocking client of this thread's own."""
    number = 0
    name = f"soak-sync-{seed}"
    with SyncStepflowClient(url) as client:
        while time.monotonic() < until:
            number += 1
            counts.called("sync run")
            counts.expected[name] += 1
            try:
                result = client.run(flow(name), build_input(number), private_copy=True)
                check(counts, "sync run", result.raise_for_failure().output["n"], number)
            except StepflowClientError as error:
                counts.failed(error)
                counts.lose(f"sync run: {type(error).__name__}: {error}")


class Retries(logging.Handler):
    """Counts retried requests, which are the only messages that clients log at level INFO."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        # The logging module holds a lock here.
        self.count += record.levelno == logging.INFO


def usage() -> tuple[int, int, float]:
    """Return the number of sockets and threads, and the memory in MiB, of this process."""
    gc.collect()
    process = psutil.Process(os.getpid())
    return len(process.net_connections("tcp")), process.num_threads(), process.memory_info().rss / 2**20


async def soak(proxy: FaultProxy, counts: Counts, seed: int, until: float) -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS) as threads:
        blocking = [
            loop.run_in_executor(threads, call_in_thread, proxy.url, counts, each, until) for each in range(THREADS)
        ]

        async def worker(number: int) -> None:
            chance = random.Random(seed * 1000 + number)
            turn = 0
            while time.monotonic() < until:
                # Clients are replaced from time to time, so that connections are opened and clients closed again.
                async with StepflowClient(proxy.url) as client:
                    for _ in range(chance.randrange(20, 60)):
                        turn += 1
                        await one_call(client, counts, chance, f"soak-{number}", turn)
                        if time.monotonic() >= until:
                            break

        await asyncio.gather(*(worker(number) for number in range(TASKS)), *blocking)


def runs_by_flow(url: str) -> Counter[str]:
    """Count the runs by flow name."""
    with SyncStepflowClient(url, timeout=120) as client:
        return Counter(run.flow_name or "" for run in client.list_runs(roots_only=True).runs)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ["STEPFLOW_SERVER_BINARY"] = str(releases.binary(releases.NEWEST))
    retries = Retries()
    log = logging.getLogger("stepflow.client")
    log.addHandler(retries)
    log.setLevel(logging.INFO)
    chance, counts = random.Random(options.seed), Counts()
    config = releases.builtin_config(releases.NEWEST)
    with StepflowRuntime.start(config=config, log_config=LogConfig(level="warn")) as runtime:
        with FaultProxy(runtime.url, keep=False) as proxy:
            asyncio.run(soak(proxy, counts, options.seed, time.monotonic() + 1))  # warm up: imports, first allocations
            before = usage()
            proxy.script = lambda number: random_fault(chance)
            asyncio.run(soak(proxy, counts, options.seed + 1, time.monotonic() + options.minutes * 60))
            for _ in range(200):
                # The proxy closes its connections shortly after the clients.
                if proxy.open == 0:
                    break
                time.sleep(0.01)
            after = usage()
            connections, faults, requests = proxy.accepted, proxy.faults, proxy.requests
        created = runs_by_flow(runtime.url)
    twice = {name: (created[name], count) for name, count in counts.expected.items() if created[name] > count}
    missing = {name: (created[name], count) for name, count in counts.expected.items() if created[name] < count}
    print(f"calls       {counts.calls.total()}  {dict(counts.calls)}")
    print(f"faults      {faults} of {connections} connections; {requests} requests")
    print(f"retries     {retries.count}")
    print(f"errors      {dict(counts.refused)}")
    print(f"losses      {len(counts.lost)}")
    for lost in counts.lost[:20]:
        print(f"            {lost}")
    print(f"duplicates  {sum(runs - count for runs, count in twice.values())}  {twice or ''}")
    print(f"not made    {sum(count - runs for runs, count in missing.values())}  {missing or ''}")
    print(f"sockets     {before[0]} -> {after[0]}")
    print(f"threads     {before[1]} -> {after[1]}")
    print(f"memory      {before[2]:.0f} -> {after[2]:.0f} MiB")
    return 1 if counts.lost or twice else 0


if __name__ == "__main__":
    sys.exit(main())
