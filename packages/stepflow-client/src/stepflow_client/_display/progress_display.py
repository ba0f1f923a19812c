"""Shows progress in notebooks, terminals and logs, unless the caller passes a callback."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from html import escape
from importlib import import_module
from importlib.util import find_spec
from shutil import get_terminal_size
from typing import Any, TypeAlias

from .._data.arguments import argument_error
from ..progress import Progress, ProgressOption

# How many seconds to wait between lines if the output isn't a terminal.
_PROGRESS_LINE_SECONDS = 10.0
_BAR_WIDTH = 30
# Number of units in a full bar. It's more than 1 because some libraries only count integers.
_BAR_UNITS = 1_000


ProgressDisplay: TypeAlias = Generator[None, Progress, None]
"""A generator that displays each `Progress` sent to it. Closing the generator leaves the last one visible."""


def check_progress_option(progress: object) -> None:
    """Check a call's `progress` argument.

    Raises:
        InvalidArgumentError: If it's neither a bool nor a plain function.
    """
    if not isinstance(progress, bool) and (not callable(progress) or inspect.iscoroutinefunction(progress)):
        raise argument_error("progress", "True, False or a plain function", progress)


@contextmanager
def show_progress(progress: ProgressOption) -> Iterator[Callable[[Progress], object]]:
    """Yield the function to call with each update in the block: the caller's callback, or one that shows a display.

    Args:
        progress: A callback, True to show a display (starting with the first update), or False to show nothing.
    """
    if progress is False:
        yield lambda now: None
        return
    if progress is not True:
        yield progress
        return
    display: ProgressDisplay | None = None

    def show(now: Progress) -> None:
        nonlocal display
        # If the reader has gone away or the stream is closed, stop displaying progress but let the run continue.
        with suppress(OSError, ValueError, StopIteration):
            if display is None:
                display = _create_display()
                next(display)
            display.send(now)

    try:
        yield show
    finally:
        if display is not None:
            with suppress(OSError, ValueError):
                display.close()


def _create_display() -> ProgressDisplay:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # Only notebook kernels have this attribute.
    if hasattr(shell, "kernel"):
        return _show_in_notebook(import_module("IPython.display").display)
    if sys.stderr is None or not sys.stderr.isatty():
        return _print_log_lines()
    if find_spec("rich") is not None:
        return _show_rich_bar()
    return _show_tqdm_bar() if find_spec("tqdm") is not None else _rewrite_terminal_line()


def _format_title(progress: Progress) -> str:
    return "batch" if progress.run_id is None else f"run {progress.run_id[:13]}"


def _format_for_notebook(progress: Progress) -> dict[str, str]:
    """Return a bar and a line of text as HTML, plus just the text for frontends that can't show HTML."""
    value = "" if progress.fraction is None else f' value="{progress.fraction:.3f}"'
    line, name = f"{_format_title(progress)}: {progress}", escape(_format_title(progress), quote=True)
    style = "vertical-align:middle;max-width:40%"
    bar = f'<progress max="1"{value} aria-label="{name}" style="{style}"></progress>'
    return {"text/html": f"<div>{bar} {escape(line)}</div>", "text/plain": line}


def _show_in_notebook(display_cell: Callable[..., Any]) -> ProgressDisplay:
    """Update a cell output in place. All kernels and frontends support this, even without ipywidgets."""
    handle = display_cell(_format_for_notebook((yield)), raw=True, display_id=True)
    while True:
        handle.update(_format_for_notebook((yield)), raw=True)


def _print_log_lines() -> ProgressDisplay:
    """Print a line every few seconds, which works well in logs."""
    last = time.monotonic()
    while True:
        progress = yield
        # stderr is None in programs without a console.
        is_due = progress.is_finished or time.monotonic() - last >= _PROGRESS_LINE_SECONDS
        if sys.stderr is not None and is_due:
            last = time.monotonic()
            print(f"{_format_title(progress)}: {progress}", file=sys.stderr, flush=True)


def _rewrite_terminal_line() -> ProgressDisplay:
    """Rewrite the same terminal line on each update."""
    length = 0
    try:
        while True:
            progress = yield
            bar = ("#" * round((progress.fraction or 0.0) * _BAR_WIDTH)).ljust(_BAR_WIDTH, "-")
            # Cut the text to the terminal's width, because a wrapped line can't be overwritten.
            text = f"{_format_title(progress)} [{bar}] {progress}"[: get_terminal_size().columns - 1]
            sys.stderr.write(f"\r{text}{' ' * max(0, length - len(text))}")
            sys.stderr.flush()
            length = len(text)
    finally:
        sys.stderr.write("\n")
        sys.stderr.flush()


def _show_rich_bar() -> ProgressDisplay:
    """Show a rich progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress as Bars, TextColumn

    name, text = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[text]}", markup=False)
    with Bars(name, BarColumn(), text, console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=None, text="")
        while True:
            progress = yield
            part, title = progress.fraction, _format_title(progress)
            total, completed = (None, 0) if part is None else (_BAR_UNITS, round(part * _BAR_UNITS))
            bars.update(task, description=title, total=total, completed=completed, text=str(progress))


def _show_tqdm_bar() -> ProgressDisplay:
    """Show a tqdm progress bar."""
    with import_module("tqdm").tqdm(total=_BAR_UNITS, bar_format="{desc} |{bar}| {postfix}", leave=True) as bar:
        while True:
            progress = yield
            bar.set_description_str(_format_title(progress), refresh=False)
            bar.n = round((progress.fraction or 0.0) * _BAR_UNITS)
            bar.set_postfix_str(str(progress))
