"""Progress shown while `run` and `submit` wait: a live view of steps and items on a terminal, otherwise lines."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from stepflow_client._base.text import counted

from ..context import current_session
from ..output.color import is_terminal
from ..output.messages import outages_reported_by
from ..output.safety import printable
from ..server.connect import Target

if TYPE_CHECKING:
    from .watch import RunWatch

# Seconds before the live view is shown on a terminal; faster runs do not need it.
_QUIET = 1.0
# Seconds between two lines if there is no terminal.
_LINE = 10.0


class _Ended(Exception):
    """The caller no longer waits."""


@contextmanager
def showing_progress(target: Target, run_id: str) -> Iterator[None]:
    """Show a run's progress on standard error while the block waits for it.

    On a terminal, after a second, the view of `runs watch` is shown and finally erased. If there is no terminal, or the
    log is written to it, a line is printed every 10 s. Nothing is shown if JSON is requested.

    Args:
        target: The server; the run is watched in a thread, with its own client.
        run_id: The run.
    """
    session = current_session()
    if session.json_errors:
        yield
        return
    logs = session.verbosity > 0 or session.log_level is not None
    draws = is_terminal(sys.stderr) and (not logs or session.log_file is not None)
    shown = _ProgressDisplay(target, run_id, color=session.color)
    thread = threading.Thread(target=shown.draw if draws else shown.print_lines, name="stepflow-live", daemon=True)
    with ExitStack() as stack:
        if draws:
            from ..output.live import restoring_cursor

            stack.enter_context(restoring_cursor(sys.stderr))
        stack.enter_context(outages_reported_by(shown.show_message))
        thread.start()
        try:
            yield
        finally:
            shown.ended.set()
            thread.join(timeout=5)


class _ProgressDisplay:
    """The display, which runs in a thread."""

    def __init__(self, target: Target, run_id: str, *, color: str) -> None:
        self.ended = threading.Event()
        self._target, self._run_id, self._color = target, run_id, color
        self._watch: RunWatch | None = None
        self._last_message = ""
        self._began = time.monotonic()

    def show_message(self, text: str) -> None:
        """Show an outage in the live view, or print it if there is no view."""
        if self._watch is not None:
            self._watch.show_message(text)
        elif text != self._last_message:
            # Both clients report the same outage.
            self._last_message = text
            print(printable(text), file=sys.stderr, flush=True)

    def draw(self) -> None:
        """Draw the run until it has ended. Errors are ignored: the caller, which waits for the run, reports them."""
        with suppress(Exception), self._watching(_QUIET) as watch:
            from ..output.live import live_display

            def picture(height: int | None) -> Any:
                return watch.tree(height, *([self._format_counts(watch)] if watch.run.items.total > 1 else []))

            with live_display(picture, stream=sys.stderr, color=self._color, stays=False) as refresh:
                self._watch = watch
                try:
                    watch.follow(refresh=partial(self._refresh, refresh), sub_runs=True)
                finally:
                    self._watch = None

    def print_lines(self) -> None:
        """Print a line every 10 s until the run has ended."""
        with suppress(Exception), self._watching(_LINE) as watch:
            last = time.monotonic() - _LINE

            def line() -> None:
                nonlocal last
                if time.monotonic() - last >= _LINE and watch.progress.steps:
                    last = time.monotonic()
                    print(f"stepflow: run {self._run_id}: {self._format_counts(watch)}", file=sys.stderr, flush=True)

            watch.follow(refresh=partial(self._refresh, line))

    @contextmanager
    def _watching(self, seconds: float) -> Iterator[RunWatch]:
        """Yield the run's watch after a delay. Most runs have ended by then, and nothing is imported for them."""
        if self.ended.wait(seconds):
            raise _Ended
        from .watch import RunWatch

        with self._target.another_client() as client:
            yield RunWatch(self._target._replace(client=client), self._run_id)

    def _refresh(self, refresh: Callable[[], None]) -> None:
        if self.ended.is_set():
            raise _Ended
        refresh()

    def _format_counts(self, watch: RunWatch) -> str:
        completed, failed = watch.progress.ended_items()
        return counted(watch.run.items.total, completed, failed, time.monotonic() - self._began)
