"""Displays that are redrawn in place on the terminal."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from stepflow_client import TransportError

from ..errors import current_session, usage
from ..signals import TERMINATION
from .columns import View
from .terminal import has_color, is_terminal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from .view import Output


@contextmanager
def restoring_cursor(stream: TextIO) -> Iterator[None]:
    """Show the cursor if a signal without a handler ends the process. Works only in the main thread."""
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


class _SynchronizedStream:
    """A terminal that shows each write at once: it draws nothing until the write is complete, so it does not flicker.

    Terminals that do not know the mode ignore it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(f"\x1b[?2026h{text}\x1b[?2026l")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def live_display(
    draw: Callable[[int | None], RenderableType],
    *,
    stream: TextIO | None = None,
    color: str | None = None,
    stays: bool = True,
) -> Iterator[Callable[[], None]]:
    """Yield a function that redraws the display. The cursor is shown again however the block ends.

    Args:
        draw: Returns the current display with a maximum number of lines, or in full for None: a terminal cannot erase
            lines that have scrolled away.
        stream: The terminal; None for standard output.
        color: auto, always or never; None uses the command line's setting, which only the main thread knows.
        stays: Whether to leave the last display in full; otherwise it is erased.
    """
    from rich.console import Console
    from rich.live import Live

    screen: TextIO = sys.stdout if stream is None else stream
    colored = has_color(screen, color or current_session().color)
    console = Console(
        # A frame is one write: first the lines of the last one are erased.
        file=cast("TextIO", _SynchronizedStream(screen)),
        no_color=not colored,
        color_system="standard" if colored else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    try:
        with live, restoring_cursor(screen):
            yield lambda: live.update(draw(console.height - 1), refresh=True)
    finally:
        if stays:
            console.print(draw(None))


# Seconds between updates.
_SECONDS = 2.0


def check_watch(output: Output) -> None:
    """Raise if the output cannot be redrawn.

    Raises:
        Problem: If standard output is not a terminal, or the requested format is not a table.
    """
    if output.format not in (None, "table"):
        raise usage(f"--watch draws a table; -o {output.format} cannot be combined with it")
    if not is_terminal(sys.stdout):
        raise usage(
            "--watch draws on a terminal, and standard output is none",
            "leave it out, and repeat the command in a loop; 'runs events' follows one run in a pipe",
        )


def watch_records(fetch: Callable[[], Sequence[Mapping[str, Any]]], view: View, output: Output) -> None:
    """Show records as a table until Ctrl-C, which is not a failure here. The last table stays on the terminal.

    Args:
        fetch: Requests the records. After its first success, it is retried while the server is unreachable.
        view: The structure of the records.
        output: Which fields to show, and how.
    """
    with suppress(KeyboardInterrupt):
        records, away = fetch(), False

        def draw(height: int | None) -> Text:
            from rich.text import Text

            lines = output.table(records, view).splitlines()
            if height is not None:
                room = max(1, height - 1)
                if len(lines) > room:
                    hidden = len(lines) - room + 1
                    lines = [*lines[: room - 1], f"... and {hidden} more lines"]
                lines.append("server unreachable; retrying" if away else f"every {_SECONDS:g} s; Ctrl-C stops")
            # The table's cells already have their final width.
            return Text("\n", no_wrap=True, overflow="crop").join([Text.from_ansi(line) for line in lines])

        with live_display(draw) as refresh:
            while True:
                with _delaying_interrupt():
                    refresh()
                time.sleep(_SECONDS)
                try:
                    records, away = fetch(), False
                except TransportError:
                    away = True


@contextmanager
def _delaying_interrupt() -> Iterator[None]:
    """Delay Ctrl-C until the block has ended: a partly drawn table could not be erased."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = False

    def hold(number: int, frame: Any) -> None:
        nonlocal held
        held = True

    before = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
