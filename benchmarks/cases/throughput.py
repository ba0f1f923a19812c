"""Concurrent calls."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.peers import CALLERS

CASE = "throughput"
RATE, CPU = "calls per second", "CPU of a call, ms"
CONCURRENCY = (1, 8, 32, 256)
CONCURRENCY_QUICK = (32, 256)


def measure(bench: Bench) -> None:
    """Measure `run()` calls per second. The sync client uses one thread per concurrent call, the rest an event loop."""
    seconds = 0.2 if bench.quick else 1.0
    for concurrency in CONCURRENCY_QUICK if bench.quick else CONCURRENCY:
        with bench.server() as url, bench.workers(CALLERS, url) as workers:
            for worker in workers.values():
                # Open the connections.
                worker.ask("throughput", seconds=seconds / 4, concurrency=concurrency)
            for _ in bench.count_rounds(5, 1):
                for peer, worker in workers.items():
                    answer = worker.ask("throughput", seconds=seconds, concurrency=concurrency)
                    calls, taken = answer.value
                    at = f"{concurrency} at once"
                    bench.results.add(CASE, RATE, at, peer, calls / taken)
                    bench.results.add(CASE, CPU, at, peer, answer.cpu / calls * 1000)
