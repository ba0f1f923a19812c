"""A picture on the terminal that is drawn anew again and again, and stays there in the end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live

from ..context import current_session
from ..signals import TERMINATION
from .tables import has_color

__all__ = ["live_picture"]


@contextmanager
def live_picture(draw: Callable[[int | None], RenderableType]) -> Iterator[Callable[[], None]]:
    """Return what draws the picture anew; whatever ends the block, the last picture stays, and the cursor is shown.

    Args:
        draw: Gives the picture as it is now, in so many lines at most, or whole: a terminal cannot take back what it
            has scrolled away.
    """
    color = has_color(sys.stdout, current_session().color)
    console = Console(
        no_color=not color, color_system="standard" if color else None, highlight=False, markup=False, emoji=False
    )
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    try:
        with live, _cursor_shown_when_killed(console):
            yield lambda: live.update(draw(console.height - 1), refresh=True)
    finally:
        console.print(draw(None))


@contextmanager
def _cursor_shown_when_killed(console: Console) -> Iterator[None]:
    """Show the cursor when a signal that nobody handles ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        console.show_cursor()
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
