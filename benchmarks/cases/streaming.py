"""`map` on many small inputs, compared with the same chunks over bare sockets and a single upstream request."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.peers import BARE, BARE_JSON, OURS, UPSTREAM
from benchmarks.processes import TimeLimit, Worker

CASE = "map"
WALL, CPU, RATE = "all outcomes, s", "CPU of an item, µs", "items per second"
AT, AT_LARGE = "20,000 items", "100,000 items"
_SIZE, _LARGE = 20_000, 100_000
_LIMIT = 120.0
"""Seconds before giving up on upstream's single run, since a server's time is quadratic in the number of items."""


def measure(bench: Bench) -> None:
    """Measure a streaming batch. Upstream's client sends the same inputs as one run."""
    _in_turns(bench, bench.amount(_SIZE, 2_000))
    if not bench.quick:
        for peer in (OURS, UPSTREAM):
            _large(bench, peer)


def _in_turns(bench: Bench, size: int) -> None:
    with bench.server() as url, bench.workers([OURS, BARE, BARE_JSON, UPSTREAM], url) as workers:
        for peer, worker in workers.items():
            _prepare(worker, size)
            worker.ask(_command(peer))
        for _ in bench.count_rounds(7, 2):
            for peer, worker in workers.items():
                answer = worker.ask(_command(peer))
                _note(bench, peer, size, answer.wall)
                bench.results.add(CASE, CPU, f"{size:,} items", peer, answer.cpu / size * 1e6)


def _large(bench: Bench, peer: str) -> None:
    """Measure a batch that is too large for one run, on its own server."""
    with bench.server() as url, bench.workers([peer], url) as workers:
        # Servers reject gRPC messages larger than 4 MiB.
        _prepare(workers[peer], _LARGE, is_tiny=True)
        try:
            wall = workers[peer].ask(_command(peer), limit=_LIMIT).wall
        except TimeLimit:
            wall = _LIMIT
            said = f"{peer} had not finished in {_LIMIT:g} s; its figures are those of the limit, ratios lower bounds"
            bench.results.remarks.append(f"{CASE}, {AT_LARGE}: {said}.")
        _note(bench, peer, _LARGE, wall)


def _prepare(worker: Worker, size: int, *, is_tiny: bool = False) -> None:
    worker.ask("latency", calls=3)
    worker.ask("prepare", count=size, is_tiny=is_tiny)


def _command(peer: str) -> str:
    return "batch" if peer == UPSTREAM else "stream"


def _note(bench: Bench, peer: str, size: int, wall: float) -> None:
    bench.results.add(CASE, WALL, f"{size:,} items", peer, wall)
    bench.results.add(CASE, RATE, f"{size:,} items", peer, size / wall)
