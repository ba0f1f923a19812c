"""Following runs."""

from __future__ import annotations

from stepflow_client import SyncStepflowClient

from benchmarks.bench import Bench
from benchmarks.peers import BARE, OURS, OURS_SYNC, PLAIN_HTTPX, UPSTREAM
from benchmarks.workload import FLOW, SLEEP, batch_input

CASE = "events"
RATE, CPU = "events per second, one stream", "CPU of an event, µs"
BEGUN = "many streams: until all have begun, s"
MANY_CPU = "many streams: CPU, s"
MANY_MEMORY = "many streams: peak memory, MiB"


def measure(bench: Bench) -> None:
    """Measure one stream with many events, then many streams at once."""
    _one(bench)
    _many(bench)


def _one(bench: Bench) -> None:
    size = bench.amount(2_000, 300)
    peers = (OURS, OURS_SYNC, PLAIN_HTTPX, UPSTREAM, BARE)
    with bench.server() as url, SyncStepflowClient(url) as client, bench.workers(peers, url) as workers:
        run_id = client.submit(FLOW, batch_input(size))
        client.wait_run(run_id)
        at = f"run of {size:,} items"
        for warm_up in (True, *(False for _ in bench.count_rounds(5))):
            for peer, worker in workers.items():
                answer = worker.ask("events", run_id=run_id)
                if not warm_up:
                    bench.results.add(CASE, RATE, at, peer, answer.value / answer.wall)
                    bench.results.add(CASE, CPU, at, peer, answer.cpu / answer.value * 1e6)


def _many(bench: Bench) -> None:
    """Start the streams during the run, so that all are open at the same time."""
    count, milliseconds = bench.amount(1_000, 100), bench.amount(6_000, 600)
    peers = (OURS, PLAIN_HTTPX, UPSTREAM, BARE)
    at = f"{count:,} streams"
    for _ in bench.count_rounds(2, 1):
        with bench.server() as url, SyncStepflowClient(url) as client, bench.workers(peers, url) as workers:
            for peer, worker in workers.items():
                run_id = client.submit(SLEEP, {"ms": milliseconds})
                answer = worker.ask("streams", run_id=run_id, count=count)
                bench.results.add(CASE, BEGUN, at, peer, answer.value[0])
                bench.results.add(CASE, MANY_CPU, at, peer, answer.cpu)
                bench.results.add(CASE, MANY_MEMORY, at, peer, worker.ask("peak_memory").value / 1024 / 1024)
