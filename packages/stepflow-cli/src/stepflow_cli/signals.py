"""Handle the signals that ask a process to terminate."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATION_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""SIGTERM and, except on Windows, SIGHUP (sent when a terminal closes)."""
STOP = (signal.SIGINT, *TERMINATION_SIGNALS)
"""The signals that stop a command that runs a server. SIGINT is sent by Ctrl-C."""


@contextmanager
def using_stop_signal_handler(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle the `STOP` signals while the block runs. Signals already ignored (e.g. under nohup) stay ignored."""
    before = {number: signal.getsignal(number) for number in STOP if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
