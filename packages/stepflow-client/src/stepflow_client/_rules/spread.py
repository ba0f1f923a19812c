"""Chooses the server of a new run if runs are spread over a list of servers. No I/O, except for a lock."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from .._base.newest import NewestEntries
from .lost_creation import get_process_token

_MAX_RUNS = 50_000


class ServerLoads:
    """Counts the load of each server of a list for one client: runs being created and runs being waited for.

    A new run goes to the server with the lowest count, so that a slow server gets fewer runs. Servers with equal counts
    take turns.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._count = count
        self._turn = 0
        self._process = get_process_token()
        self._loads = [0] * count
        self._homes: NewestEntries[str, int] = NewestEntries(_MAX_RUNS)

    @contextmanager
    def place_run(self, servers: Collection[int]) -> Iterator[int]:
        """Choose one of the given servers for a new run, and count the run there until the end of the context."""
        with self._lock:
            self._leave_parent()
            number = min(servers, key=lambda server: (self._loads[server], (server - self._turn) % self._count))
            self._turn = number + 1
            self._loads[number] += 1
        try:
            yield number
        finally:
            self._add(number, -1)

    def remember_server(self, run_id: str, number: int) -> None:
        """Remember which server created a run."""
        with self._lock:
            self._homes.put(run_id, number)

    def find_server(self, run_id: str | None) -> int | None:
        """Return the server that created a run; None if it is unknown.

        Only this server notices the end of the run immediately.
        """
        return None if run_id is None else self._homes.get(run_id)

    @contextmanager
    def count_waiting(self, run_id: str) -> Iterator[None]:
        """Count a run on its server while the client waits for it."""
        number = self.find_server(run_id)
        if number is None:
            yield
            return
        self._add(number, 1)
        try:
            yield
        finally:
            self._add(number, -1)

    def _add(self, number: int, change: int) -> None:
        with self._lock:
            self._leave_parent()
            self._loads[number] += change

    def _leave_parent(self) -> None:
        """In a fork, forget the runs that the parent process waits for, because this process never counts them down."""
        if self._process != get_process_token():
            self._process, self._loads = get_process_token(), [0] * self._count
