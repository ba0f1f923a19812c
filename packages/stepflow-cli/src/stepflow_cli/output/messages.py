"""Prints messages to stderr, and shows a spinner while a command is waiting."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from ..errors import SERVER_FAILURE_KINDS, Problem, Session, current_session
from ..output.colors_and_escaping import escape
from .colors_and_escaping import is_terminal, uses_color


def note(text: str) -> None:
    """Print a note to stderr. This does nothing if JSON or quiet output was requested."""
    session = current_session()
    if not session.json_errors and not session.quiet:
        click.echo(f"stepflow: {escape(text)}", err=True)


def print_problem(problem: Problem, session: Session | None = None) -> None:
    """Print a problem to stderr, either as a line of JSON or as a message followed by the server and a hint.

    Args:
        problem: The problem. On a terminal, its lines are wrapped.
        session: The session. Defaults to the running command's session, so it's only needed once the command has ended.
    """
    session = session or current_session()
    if problem.kind in SERVER_FAILURE_KINDS:
        problem.server = session.server
    if session.json_errors:
        print(json.dumps(problem.to_record()), file=sys.stderr, flush=True)
        return
    server = "" if problem.server is None else f"{problem.server.url} ({problem.server.origin})"
    lines = [("stepflow:", "31", problem.message), ("server", "36", server), ("hint:", "36", problem.hint or "")]
    for title, style, words in lines:
        if not words:
            continue
        text = f"{title} {escape(words)}"
        if is_terminal(sys.stderr) and "\n" not in text:
            import shutil
            import textwrap

            width = max(shutil.get_terminal_size().columns, 20)
            # Indent continuation lines so that text from a server can't look like the command's own output.
            text = textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        if uses_color(sys.stderr, session.color):
            text = f"\x1b[1;{style}m{title}\x1b[0m{text[len(title) :]}"
        print(text, file=sys.stderr, flush=True)


# Number of seconds before the spinner appears. Commands that finish sooner don't need one.
_SPINNER_DELAY_SECONDS = 1.0


class Spinner:
    """A line that shows what the command is doing. Use `show_spinner` to create one."""

    def __init__(self, text: str, *, is_shown: bool = True) -> None:
        self.is_shown = is_shown
        """Whether the spinner may appear at all. Even then, it only appears if the command takes long enough."""
        self._text = text
        self._status: Any = None
        self._lock = threading.Lock()

    def update(self, text: str) -> None:
        """Replace the text."""
        with self._lock:
            self._text = text
            if self._status is not None:
                self._status.update(_to_rich_text(text))

    def print_above(self, text: str) -> None:
        """Print a line above the spinner. If the spinner isn't visible, just print the line."""
        with self._lock:
            if self._status is not None:
                self._status.console.print(_to_rich_text(text))
                return
        print(escape(text), file=sys.stderr, flush=True)

    def show_after_delay(self, color: bool, ended: threading.Event) -> None:
        """Show the spinner after a second unless the command has ended by then."""
        if ended.wait(_SPINNER_DELAY_SECONDS):
            return
        # Import rich only now, because most commands finish before they need it.
        from rich.console import Console

        console = Console(stderr=True, no_color=not color, highlight=False, markup=False)
        with self._lock:
            if ended.is_set():
                return
            self._status = console.status(_to_rich_text(self._text), spinner="dots")
            self._status.start()

    def hide(self) -> None:
        """Remove the spinner."""
        with self._lock:
            if self._status is not None:
                with suppress(OSError):
                    self._status.stop()


def _to_rich_text(text: str) -> Any:
    # rich would parse a plain string as markup.
    from rich.text import Text

    return Text(escape(text))


@contextmanager
def show_spinner(text: str) -> Iterator[Spinner]:
    """Show a spinner on stderr if it's a terminal and the block takes longer than a second.

    Args:
        text: What the command is doing, e.g. `waiting for run ...`.
    """
    spinner = Spinner(text, is_shown=is_terminal(sys.stderr) and not current_session().quiet)
    if not spinner.is_shown:
        yield spinner
        return

    ended = threading.Event()
    color = uses_color(sys.stderr, current_session().color)
    threading.Thread(target=spinner.show_after_delay, args=(color, ended), daemon=True).start()
    try:
        with redirecting_outage_messages(spinner.print_above):
            yield spinner
    finally:
        ended.set()
        spinner.hide()


@contextmanager
def reporting_outages() -> Iterator[None]:
    """Print the client's warnings (for example about outages) while the block is running.

    This does nothing if JSON or quiet output was requested, or if warnings already go to a log.
    """
    from stepflow_client._command import listening_to_warnings

    session = current_session()
    if session.json_errors or session.quiet or _has_log_handler():
        yield
        return

    def print_outage(warning: str) -> None:
        reporters = session.reporters
        text = f"stepflow: {escape(warning)}"
        if reporters:
            reporters[-1](text)
        else:
            click.echo(text, err=True)

    with listening_to_warnings(print_outage):
        yield


@contextmanager
def redirecting_outage_messages(report: Callable[[str], None]) -> Iterator[None]:
    """Pass messages about outages to another function while the block is running.

    Args:
        report: Called with each message.
    """
    reporters = current_session().reporters
    reporters.append(report)
    try:
        yield
    finally:
        reporters.remove(report)


@contextmanager
def noting_worker_warnings() -> Iterator[None]:
    """Print warnings about embedded servers' workers while the block is running, unless they already go to a log."""
    import logging

    from stepflow_client._command import get_logger

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    handler = Notes(logging.NOTSET if not _has_log_handler() else logging.CRITICAL)
    logger = get_logger("runtime.workers")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _has_log_handler() -> bool:
    if "logging" not in sys.modules:
        return False
    import logging

    return any(not isinstance(handler, logging.NullHandler) for handler in logging.getLogger("stepflow").handlers)
