"""The terminal's cursor, which is hidden during live displays."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from ..signals import TERMINATION

__all__ = ["cursor_shown_when_killed"]


@contextmanager
def cursor_shown_when_killed(stream: TextIO) -> Iterator[None]:
    """Show the cursor if a signal without a handler ends the process. Works only in the main thread.

    Args:
        stream: The terminal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        # The signal may have interrupted a write, and the stream does not allow a nested one.
        with suppress(OSError, ValueError):
            os.write(stream.fileno(), b"\x1b[?25h")
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    before = {number: signal.getsignal(number) for number in TERMINATION}
    ours = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
