"""A list that is redrawn on the terminal every few seconds until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..errors import usage
from .columns import View
from .tables import is_terminal

if TYPE_CHECKING:
    from rich.text import Text

    from .view import Output

__all__ = ["check_watch", "watch_records"]

_SECONDS = 2.0
"""Seconds between updates."""


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
    from stepflow_client import TransportError

    from .live import live_picture

    with suppress(KeyboardInterrupt):
        records, away = fetch(), False

        def draw(height: int | None) -> Text:
            return _picture(output.table(records, view), away, height)

        with live_picture(draw) as refresh:
            while True:
                with _undisturbed():
                    refresh()
                time.sleep(_SECONDS)
                try:
                    records, away = fetch(), False
                except TransportError:
                    away = True


@contextmanager
def _undisturbed() -> Iterator[None]:
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


def _picture(table: str, away: bool, height: int | None) -> Text:
    from rich.text import Text

    lines = table.splitlines()
    last = "the server is away; trying again" if away else f"every {_SECONDS:g} s; Ctrl-C ends it"
    if height is not None:
        room = max(1, height - 1)
        if len(lines) > room:
            hidden = len(lines) - room + 1
            lines = [*lines[: room - 1], f"... and {hidden} more lines"]
        lines.append(last)
    # The table's cells already have their final width.
    return Text("\n", no_wrap=True, overflow="crop").join([Text.from_ansi(line) for line in lines])
