"""Which server of a list gets a new run, where they are spread. No I/O, but for a lock."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from .creation import this_process

__all__ = ["Spread"]

_MOST_RUNS = 50_000


class Spread:
    """Counts what each server of a list has to do for one client: runs that are created, and runs that are waited for.

    A new run goes to the server with the fewest of them, so that a slow one gets less; equals take turns.

    Args:
        count: How many servers there are.
    """

    def __init__(self, count: int) -> None:
        """Begin with the first server."""
        self._lock = threading.Lock()
        self._count = count
        self._turn = 0
        self._process = this_process()
        self._loads = [0] * count
        self._homes: dict[str, int] = {}

    @contextmanager
    def placed(self, servers: Collection[int]) -> Iterator[int]:
        """Choose one of some servers for a new run, and count the run there until the end of the context."""
        with self._lock:
            self._leave_parent()
            number = min(servers, key=self._rank)
            self._turn = number + 1
            self._loads[number] += 1
        try:
            yield number
        finally:
            self._add(number, -1)

    def note(self, run_id: str, number: int) -> None:
        """Remember which server has created a run."""
        with self._lock:
            self._homes[run_id] = number
            if len(self._homes) > _MOST_RUNS:
                del self._homes[next(iter(self._homes))]

    def home(self, run_id: str | None) -> int | None:
        """Return the server that has created a run: it alone notices the end of the run at once."""
        return None if run_id is None else self._homes.get(run_id)

    @contextmanager
    def awaiting(self, run_id: str) -> Iterator[None]:
        """Count a run on its server while it is waited for."""
        number = self.home(run_id)
        if number is None:
            yield
            return
        self._add(number, 1)
        try:
            yield
        finally:
            self._add(number, -1)

    def _rank(self, number: int) -> tuple[int, int]:
        return self._loads[number], (number - self._turn) % self._count

    def _add(self, number: int, change: int) -> None:
        with self._lock:
            self._leave_parent()
            self._loads[number] += change

    def _leave_parent(self) -> None:
        """Forget, in a fork, the runs that the parent waits for: nobody counts them down here."""
        if self._process != this_process():
            self._process, self._loads = this_process(), [0] * self._count
