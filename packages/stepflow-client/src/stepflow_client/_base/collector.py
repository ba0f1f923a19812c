"""Pauses the garbage collector while many objects are created, none of which can be garbage yet."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_pauses = 0
_was_enabled = False


def _forget_other_threads() -> None:
    """In a fork, reset the lock and the pauses: the threads of the parent process that held them do not exist here."""
    global _lock, _pauses
    _lock = threading.Lock()
    if _pauses and _was_enabled:
        gc.enable()
    _pauses = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Return a context manager that pauses Python's cyclic garbage collector.

    While 100,000 items are created, the collector would repeatedly traverse those created so far, which takes nearly
    half of the time.
    """
    global _pauses, _was_enabled
    with _lock:
        if not _pauses:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if not _pauses and _was_enabled:
                gc.enable()
