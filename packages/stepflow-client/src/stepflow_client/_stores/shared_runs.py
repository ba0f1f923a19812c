"""Callers in this process that wait for the same run, in any thread or event loop.

One of the callers, the leader, runs the flow; the others get its result. If the leader gives up, for example because it
is cancelled, another caller becomes the leader and takes over the existing run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple


class _Outcome(NamedTuple):
    result: Any
    error: BaseException | None


class SharedRun:
    """A run that several callers wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callers = 0
        self._is_led = False
        self._owner: object = None
        self._run_id: str | None = None
        self._outcome: _Outcome | None = None

    def turn(self, owner: object) -> Literal["lead", "wait", "done"]:
        """Return what a caller must do now: lead, check again later, or take the leader's result."""
        with self._lock:
            if self._outcome is not None:
                return "done"
            if self._is_led:
                return "wait"
            if self._owner is not owner:
                # The run belongs to another client, and this one may not be allowed to read it.
                self._owner, self._run_id = owner, None
            self._is_led = True
            return "lead"

    @property
    def run_id(self) -> str | None:
        """The id of the run, once it is known."""
        return self._run_id

    def created(self, run_id: str) -> None:
        """Record the run that the leader has created."""
        self._run_id = run_id

    def finish(self, result: Any = None, error: BaseException | None = None) -> None:
        """Pass the leader's result, or its error, to all callers."""
        with self._lock:
            self._outcome = _Outcome(result, error)

    def resign(self) -> None:
        """Let another caller lead."""
        with self._lock:
            self._is_led = False

    def outcome(self, owner: object) -> tuple[Any, BaseException | None]:
        """Return the leader's result and error; None and None for an error of another client."""
        assert self._outcome is not None
        is_own = self._outcome.error is None or self._owner is owner
        return (self._outcome.result, self._outcome.error) if is_own else (None, None)

    def abandoned(self, owner: object) -> str | None:
        """Return the run if this client owns it and only this caller still waits for it; None otherwise.

        After that, no other caller can take over the run.
        """
        with self._lock:
            if self._callers > 1 or self._outcome is not None or self._is_led or self._owner is not owner:
                return None
            run_id, self._run_id = self._run_id, None
            return run_id


_registry_lock = threading.Lock()
_runs: dict[tuple[str, str], SharedRun] = {}


@contextmanager
def joined(path: Path, key: str) -> Iterator[SharedRun]:
    """Join the callers of a key, and yield the run that they share, until the last of them leaves.

    Args:
        path: The cache file.
        key: The key.
    """
    file = _real_path(path)
    with _registry_lock:
        run = _runs.get((file, key))
        if run is None or run._outcome is not None:
            run = _runs[file, key] = SharedRun()
        run._callers += 1
    try:
        yield run
    finally:
        with _registry_lock:
            run._callers -= 1
            is_over = not run._callers or run._outcome is not None
            if is_over and _runs.get((file, key)) is run:
                del _runs[file, key]


def _real_path(path: Path) -> str:
    try:
        return os.path.realpath(path)
    except OSError:
        # The working folder was deleted: callers that give the same relative path still share a run.
        return str(path)


def _forked() -> None:
    """In a fork, forget the calls of the parent process."""
    global _registry_lock
    _registry_lock = threading.Lock()
    _runs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
