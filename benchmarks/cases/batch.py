"""Total cost of a run with many items, and the client's own share."""

from __future__ import annotations

from benchmarks.bench import Bench, Workers
from benchmarks.peers import BARE, OURS, OURS_OVER_HTTPX, PEERS
from benchmarks.processes import Answer

CASE = "batch"
WALL, CPU = "one run, s", "CPU of one run, s"
OWN_WALL, OWN_CPU = "time of an item beyond the bare socket's, µs", "CPU of an item, µs"
_SIZE = 20_000


def measure(bench: Bench) -> None:
    """Measure a large batch with every peer, then growing ones with ours against the bare socket."""
    _large(bench)
    _growing(bench, 1_000, rounds=5)
    _growing(bench, 10_000, rounds=5)
    if not bench.quick:
        # Just one round: the server's time is quadratic in the number of items.
        _growing(bench, 100_000, rounds=1)


def _large(bench: Bench) -> None:
    peers = [peer for peer in PEERS if peer != OURS_OVER_HTTPX]
    size = bench.amount(_SIZE, 2_000)
    with bench.server() as url, bench.workers(peers, url) as workers:
        _prepare(workers, size)
        for _ in bench.count_rounds(3, 1):
            for peer, worker in workers.items():
                answer = worker.ask("batch")
                bench.results.add(CASE, WALL, f"{size:,} items", peer, answer.wall)
                bench.results.add(CASE, CPU, f"{size:,} items", peer, answer.cpu)


def _growing(bench: Bench, size: int, rounds: int) -> None:
    at = f"{size:,} items"
    with bench.server() as url, bench.workers((OURS, BARE), url) as workers:
        _prepare(workers, size)
        for _ in bench.count_rounds(rounds, 1) if rounds > 1 else range(1):
            taken: dict[str, Answer] = {peer: worker.ask("batch") for peer, worker in workers.items()}
            beyond = taken[OURS].wall - taken[BARE].wall
            bench.results.add(CASE, OWN_WALL, at, OURS, beyond / size * 1e6)
            for peer, answer in taken.items():
                bench.results.add(CASE, OWN_CPU, at, peer, answer.cpu / size * 1e6)


def _prepare(workers: Workers, size: int) -> None:
    for worker in workers.values():
        # Warm up, to exclude imports and the first call from the measurement.
        worker.ask("latency", calls=3)
        worker.ask("prepare", count=10)
        worker.ask("batch")
        worker.ask("prepare", count=size)
