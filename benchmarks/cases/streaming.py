"""`map` on many small inputs, against the same chunks posted by a bare socket and against one request of upstream's."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.peers import BARE, OURS, UPSTREAM

CASE = "map"
WALL, CPU, RATE = "all outcomes, s", "CPU of an item, µs", "items per second"
AT = "20,000 items"
_SIZE = 20_000


def measure(bench: Bench) -> None:
    """Measure a batch that streams; with upstream's client the same inputs are one run."""
    size = bench.amount(_SIZE, 2_000)
    at = f"{size:,} items"
    with bench.server() as url, bench.workers([OURS, BARE, UPSTREAM], url) as workers:
        for peer, worker in workers.items():
            worker.ask("latency", calls=3)
            worker.ask("prepare", count=size)
            worker.ask("batch" if peer == UPSTREAM else "stream")
        for _ in bench.count_rounds(7, 2):
            for peer, worker in workers.items():
                answer = worker.ask("batch" if peer == UPSTREAM else "stream")
                bench.results.add(CASE, WALL, at, peer, answer.wall)
                bench.results.add(CASE, RATE, at, peer, size / answer.wall)
                bench.results.add(CASE, CPU, at, peer, answer.cpu / size * 1e6)
