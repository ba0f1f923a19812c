"""A case's environment, i.e. its server, workers, amount of work and results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from stepflow_client import StepflowRuntime

from benchmarks.environment import BENCH_PYTHON, OUR_PYTHON
from benchmarks.peers import PEERS
from benchmarks.processes import Worker
from benchmarks.series import Results

Workers = dict[str, Worker]


@dataclass(frozen=True)
class Bench:
    """A benchmark run."""

    results: Results
    quick: bool
    rounds: int | None

    def amount(self, full: int, quick: int) -> int:
        """Return the amount of work."""
        return quick if self.quick else full

    def count_rounds(self, full: int, quick: int = 2) -> range:
        """Return the rounds."""
        return range(self.rounds or self.amount(full, quick))

    @contextmanager
    def server(self) -> Iterator[str]:
        """Start a new server the way users do, and yield its URL. Each case needs its own, as memory only grows."""
        with StepflowRuntime.start() as runtime:
            yield runtime.url

    @contextmanager
    def workers(self, peers: Iterable[str], url: str) -> Iterator[Workers]:
        """Start a process for each peer and connect it to the server."""
        with ExitStack() as stack:
            started = {peer: stack.enter_context(_worker(peer)) for peer in peers}
            for worker in started.values():
                worker.ask("open", url=url)
            yield started

    @contextmanager
    def offline_workers(self, names: Iterable[str]) -> Iterator[Workers]:
        """Start a process for each name, without a server."""
        with ExitStack() as stack:
            yield {name: stack.enter_context(Worker(OUR_PYTHON, "-")) for name in names}


def _worker(peer: str) -> Worker:
    found = PEERS[peer]
    return Worker(BENCH_PYTHON if found.upstream else OUR_PYTHON, found.module)
