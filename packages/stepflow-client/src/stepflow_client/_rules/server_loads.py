"""Chooses a server for each new run when runs are spread across several. No I/O, apart from a lock."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from .._base.bounded_dict import BoundedDict
from .lost_creation import get_process_token

_MAX_REMEMBERED_RUNS = 50_000


class ServerLoads:
    """Tracks one client's load on each of several servers: the runs it is creating plus the runs it is waiting for.

    New runs go to the least loaded server, so slow servers get fewer of them. Ties are broken round-robin.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._count = count
        self._next_server = 0
        self._process = get_process_token()
        self._loads = [0] * count
        self._homes: BoundedDict[str, int] = BoundedDict(_MAX_REMEMBERED_RUNS)

    @contextmanager
    def placing_run(self, servers: Collection[int]) -> Iterator[int]:
        """Choose a server for a new run, and count the run towards its load until the context exits."""
        with self._lock:
            self._reset_after_fork()
            number = min(servers, key=lambda server: (self._loads[server], (server - self._next_server) % self._count))
            self._next_server = number + 1
            self._loads[number] += 1
        try:
            yield number
        finally:
            self._add_load(number, -1)

    def remember_server(self, run_id: str, number: int) -> None:
        """Remember which server created a run."""
        with self._lock:
            self._homes.put_newest(run_id, number)

    def find_run_server(self, run_id: str | None) -> int | None:
        """Return the server that created a run, or None if unknown.

        Other servers don't notice right away when the run ends.
        """
        return None if run_id is None else self._homes.get(run_id)

    @contextmanager
    def count_waited_run(self, run_id: str) -> Iterator[None]:
        """Count a run towards its server's load while the client waits for it."""
        number = self.find_run_server(run_id)
        if number is None:
            yield
            return
        self._add_load(number, 1)
        try:
            yield
        finally:
            self._add_load(number, -1)

    def _add_load(self, number: int, change: int) -> None:
        with self._lock:
            self._reset_after_fork()
            self._loads[number] += change

    def _reset_after_fork(self) -> None:
        """After a fork, drop the parent's load counts, since this process would never decrement them."""
        if self._process != get_process_token():
            self._process, self._loads = get_process_token(), [0] * self._count
