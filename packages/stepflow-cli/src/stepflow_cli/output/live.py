"""Live displays, redrawn in place on the terminal."""

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
from ..signals import TERMINATION_SIGNALS
from .colors_and_escaping import is_terminal, uses_color
from .record_views import View

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from .printing import Output


@contextmanager
def restoring_cursor_on_signal(stream: TextIO) -> Iterator[None]:
    """Show the cursor again if an unhandled signal ends the process. This only works in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def show_cursor_and_exit(number: int, frame: Any) -> None:
        # Write directly to the file descriptor: the signal may have interrupted a write to the stream, and such writes
        # can't be nested.
        with suppress(OSError, ValueError):
            os.write(stream.fileno(), b"\x1b[?25h")
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    before = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}
    ours = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, show_cursor_and_exit)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


class _FlickerFreeStream:
    """A terminal stream that uses synchronized output so that the display doesn't flicker when it is redrawn.

    Terminals that don't support synchronized output ignore its escape sequences.
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
    """Yield a function that redraws the display. At the end of the block, the cursor is always shown again.

    Args:
        draw: Returns what to display now. Its argument is the maximum number of lines (because a terminal can't erase
            lines that have scrolled away), or None if there is no limit.
        stream: The terminal. Defaults to stdout.
        color: `auto`, `always` or `never`. Defaults to the setting from the command line, which is only available in
            the main thread.
        stays: Whether to print the final display in full and leave it on the screen.
    """
    from rich.console import Console
    from rich.live import Live

    screen: TextIO = sys.stdout if stream is None else stream
    colored = uses_color(screen, color or current_session().color)
    console = Console(
        # Write each frame together with the codes that erase the previous one.
        file=cast("TextIO", _FlickerFreeStream(screen)),
        no_color=not colored,
        color_system="standard" if colored else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    try:
        with live, restoring_cursor_on_signal(screen):
            yield lambda: live.update(draw(console.height - 1), refresh=True)
    finally:
        if stays:
            console.print(draw(None))


# Number of seconds between updates.
_REFRESH_SECONDS = 2.0


def require_redrawable(output: Output) -> None:
    """Check that the output can be redrawn in place.

    Raises:
        Problem: If stdout isn't a terminal or the requested format isn't a table.
    """
    if output.format not in (None, "table"):
        raise usage(f"--watch draws a table and cannot be used with -o {output.format}")
    if not is_terminal(sys.stdout):
        hint = "leave it out and repeat the command in a loop; to follow one run in a pipe, use 'runs events'"
        raise usage("--watch needs a terminal, but standard output is not one", hint)


def show_live_table(fetch: Callable[[], Sequence[Mapping[str, Any]]], view: View, output: Output) -> None:
    """Show a live table of records until the user presses Ctrl-C, then return. The final table stays on the screen.

    Args:
        fetch: Fetches the records. After the first success, it is retried whenever the server can't be reached.
        view: The fields and columns of the records.
        output: Which fields to show, and how to show them.
    """
    with suppress(KeyboardInterrupt):
        records, away = fetch(), False

        def draw_table(height: int | None) -> Text:
            from rich.text import Text

            lines = output.format_table(records, view).splitlines()
            if height is not None:
                room = max(1, height - 1)
                if len(lines) > room:
                    hidden = len(lines) - room + 1
                    lines = [*lines[: room - 1], f"... and {hidden} more lines"]
                lines.append("server unreachable; retrying" if away else f"every {_REFRESH_SECONDS:g} s; Ctrl-C stops")
            # The cells already have their final width, so don't wrap them again.
            return Text("\n", no_wrap=True, overflow="crop").join([Text.from_ansi(line) for line in lines])

        with live_display(draw_table) as refresh:
            while True:
                with _delaying_interrupt():
                    refresh()
                time.sleep(_REFRESH_SECONDS)
                try:
                    records, away = fetch(), False
                except TransportError:
                    away = True


@contextmanager
def _delaying_interrupt() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, because a partially drawn table can't be erased."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = False

    def remember_interrupt(number: int, frame: Any) -> None:
        nonlocal held
        held = True

    before = signal.signal(signal.SIGINT, remember_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
