"""Peak memory of a client's process."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.peers import CALLERS

CASE = "memory"
PEAK = "peak resident memory, MiB"
_MIB = 1024 * 1024


def measure(bench: Bench) -> None:
    """Record the peak after connecting, after many concurrent calls, and after a batch."""
    size, seconds = bench.amount(20_000, 2_000), 0.2 if bench.quick else 0.5
    for _ in bench.count_rounds(2, 1):
        with bench.server() as url, bench.workers(CALLERS, url) as workers:
            for peer, worker in workers.items():

                def note(at: str, peer: str = peer, peak: int = 0) -> None:
                    bench.results.add(CASE, PEAK, at, peer, peak / _MIB)

                note("connected", peak=worker.ask("peak_memory").value)
                worker.ask("throughput", seconds=seconds, concurrency=256)
                note("256 at once", peak=worker.ask("peak_memory").value)
                worker.ask("prepare", count=size)
                worker.ask("batch")
                note(f"then {size:,} items", peak=worker.ask("peak_memory").value)
