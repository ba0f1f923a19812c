"""The signals that ask a process to terminate."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATION = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""SIGTERM, and SIGHUP, which is sent when a terminal is closed. Windows has only SIGTERM."""
STOP = (signal.SIGINT, *TERMINATION)
"""The signals that end a command which serves; SIGINT is Ctrl-C."""


@contextmanager
def handling_stop_signals(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle the signals of `STOP` while the block runs. One that is ignored, as under nohup, stays ignored."""
    before = {number: signal.getsignal(number) for number in STOP if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
