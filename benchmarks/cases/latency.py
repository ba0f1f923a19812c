"""Sequential calls."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.peers import CALLERS
from benchmarks.series import percentile

CASE = "latency"
TIME, CPU = "time of a call, ms", "CPU of a call, ms"
_PERCENTILES = (50, 95, 99)


def measure(bench: Bench) -> None:
    """Measure how long a `run()` takes."""
    calls = bench.amount(500, 40)
    with bench.server() as url, bench.workers(CALLERS, url) as workers:
        for worker in workers.values():
            worker.ask("latency", calls=30)
        for _ in bench.count_rounds(5):
            for peer, worker in workers.items():
                answer = worker.ask("latency", calls=calls)
                for percent in _PERCENTILES:
                    bench.results.add(CASE, TIME, f"p{percent}", peer, percentile(answer.value, percent) * 1000)
                bench.results.add(CASE, CPU, "mean", peer, answer.cpu / calls * 1000)
