"""A live display that is redrawn in place on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live

from ..context import current_session
from .cursor import cursor_shown_when_killed
from .tables import has_color

__all__ = ["live_picture"]


@contextmanager
def live_picture(
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
    screen: TextIO = sys.stdout if stream is None else stream
    colored = has_color(screen, color or current_session().color)
    console = Console(
        file=screen,
        no_color=not colored,
        color_system="standard" if colored else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    try:
        with live, cursor_shown_when_killed(screen):
            yield lambda: live.update(draw(console.height - 1), refresh=True)
    finally:
        if stays:
            console.print(draw(None))
