"""Shows progress in notebooks, terminals and logs, unless the caller passes a callback."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from importlib import import_module
from importlib.util import find_spec
from shutil import get_terminal_size
from typing import Any

from .._data.arguments import argument_error
from ..progress import Progress, ProgressOption

# Seconds between lines when not on a terminal.
_INTERVAL = 10.0
_WIDTH = 30
# Units in a full bar. Some libraries can only count integers.
_BAR_UNITS = 1_000


class ProgressDisplay:
    """Shows a run's or batch's progress."""

    def show(self, progress: Progress) -> None:
        """Show the current progress."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the display, leaving the last progress visible."""


def check_progress_option(progress: object) -> None:
    """Check a call's `progress` argument.

    Raises:
        InvalidArgumentError: If it is neither a bool nor a plain function.
    """
    if not isinstance(progress, bool) and (not callable(progress) or inspect.iscoroutinefunction(progress)):
        raise argument_error("progress", "True, False or a plain function", progress)


@contextmanager
def show_progress(progress: ProgressOption) -> Iterator[Callable[[Progress], object]]:
    """Yield a function that receives the block's progress: the caller's callback, or a display.

    Args:
        progress: A callback, True for a display that appears on first use, or False for nothing.
    """
    if progress is False:
        yield lambda now: None
        return
    if progress is not True:
        yield progress
        return
    display: ProgressDisplay | None = None
    is_broken = False

    def show(now: Progress) -> None:
        nonlocal display, is_broken
        if not is_broken:
            try:
                display = display or _create_display()
                display.show(now)
            except (OSError, ValueError):
                # The reader is gone or the stream is closed. Let the run continue.
                is_broken = True

    try:
        yield show
    finally:
        if display is not None:
            with suppress(OSError, ValueError):
                display.close()


def _create_display() -> ProgressDisplay:
    if _get_kernel_display() is not None:
        return _NotebookDisplay()
    if sys.stderr is None or not sys.stderr.isatty():
        return _LogLineDisplay()
    if find_spec("rich") is not None:
        return _RichDisplay()
    return _TqdmDisplay() if find_spec("tqdm") is not None else _TerminalLineDisplay()


def _get_kernel_display() -> Callable[..., Any] | None:
    """Return IPython's display function, or None if this process isn't a notebook kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    return import_module("IPython.display").display  # type: ignore[no-any-return]


def _format_title(progress: Progress) -> str:
    return "batch" if progress.run_id is None else f"run {progress.run_id[:13]}"


class _NotebookView:
    """Progress in a notebook: a bar and a line, or just the line if HTML isn't supported."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def _repr_html_(self) -> str:
        now = self._progress
        value = "" if now.fraction is None else f' value="{now.fraction:.3f}"'
        name = escape(_format_title(now), quote=True)
        style = "vertical-align:middle;max-width:40%"
        bar = f'<progress max="1"{value} aria-label="{name}" style="{style}"></progress>'
        return f"<div>{bar} {name}: {escape(str(now))}</div>"

    def __repr__(self) -> str:
        return f"{_format_title(self._progress)}: {self._progress}"


class _NotebookDisplay(ProgressDisplay):
    """A cell output updated in place. All kernels and frontends support this, even without ipywidgets."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, progress: Progress) -> None:
        if self._handle is None:
            display = _get_kernel_display()
            assert display is not None
            self._handle = display(_NotebookView(progress), display_id=True)
        else:
            self._handle.update(_NotebookView(progress))


class _LogLineDisplay(ProgressDisplay):
    """Prints a line every few seconds, for logs."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def show(self, progress: Progress) -> None:
        # Programs without a console have no stderr.
        is_due = progress.is_finished or time.monotonic() - self._last >= _INTERVAL
        if sys.stderr is not None and is_due:
            self._last = time.monotonic()
            print(f"{_format_title(progress)}: {progress}", file=sys.stderr, flush=True)


class _TerminalLineDisplay(ProgressDisplay):
    """A terminal line rewritten on each update."""

    def __init__(self) -> None:
        self._length = 0

    def show(self, progress: Progress) -> None:
        part = progress.fraction or 0.0
        bar = ("#" * round(part * _WIDTH)).ljust(_WIDTH, "-")
        # Fit the terminal: a wrapped line can't be overwritten.
        text = f"{_format_title(progress)} [{bar}] {progress}"[: get_terminal_size().columns - 1]
        sys.stderr.write(f"\r{text}{' ' * max(0, self._length - len(text))}")
        sys.stderr.flush()
        self._length = len(text)

    def close(self) -> None:
        sys.stderr.write("\n")
        sys.stderr.flush()


class _RichDisplay(ProgressDisplay):
    """A rich progress bar."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress as Bars, TextColumn

        name, text = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[text]}", markup=False)
        self._bars = Bars(name, BarColumn(), text, console=Console(stderr=True))
        self._task = self._bars.add_task("", total=None, text="")
        self._bars.start()

    def show(self, progress: Progress) -> None:
        part = progress.fraction
        total, completed = (None, 0) if part is None else (_BAR_UNITS, round(part * _BAR_UNITS))
        title, text = _format_title(progress), str(progress)
        self._bars.update(self._task, description=title, total=total, completed=completed, text=text)

    def close(self) -> None:
        self._bars.stop()


class _TqdmDisplay(ProgressDisplay):
    """A tqdm progress bar."""

    def __init__(self) -> None:
        self._bar = import_module("tqdm").tqdm(total=_BAR_UNITS, bar_format="{desc} |{bar}| {postfix}", leave=True)

    def show(self, progress: Progress) -> None:
        self._bar.set_description_str(_format_title(progress), refresh=False)
        self._bar.n = round((progress.fraction or 0.0) * _BAR_UNITS)
        self._bar.set_postfix_str(str(progress))

    def close(self) -> None:
        self._bar.close()
