"""Starts a single run, shows its progress while waiting for it, and prints the result."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

from stepflow_client import InvalidFlowError, NotFoundError, StepflowClientError
from stepflow_client._base.text_formatting import format_progress
from stepflow_client.flows.graph import FlowSteps

from ..errors import Problem, convert_to_problem, current_session, interrupted_problem
from ..inputs.flow_loading import import_python_flow, is_python_flow
from ..output.colors_and_escaping import escape, is_terminal
from ..output.messages import note, redirecting_outage_messages, show_spinner
from ..records.print_results import print_run_result
from ..server.connect import Target
from .explain_failures import find_failure_hint
from .job_from_options import Job, read_job_arguments
from .process_several_runs import add_view_commands_hint, hinting_return

if TYPE_CHECKING:
    from concurrent.futures import Future

    from stepflow_client import SyncRunHandle

    from .caching import JobCache
    from .follow_run import RunWatch

# Number of seconds before the live view appears on a terminal. Runs that end sooner don't need it.
_LIVE_VIEW_DELAY_SECONDS = 1.0
# Number of seconds between progress lines when there is no terminal.
_PROGRESS_LINE_SECONDS = 10.0


class _WaitEnded(Exception):
    """The caller is no longer waiting for the run."""


@contextmanager
def showing_progress(target: Target, run_id: str) -> Iterator[None]:
    """Show a run's progress on standard error while the block waits for the run.

    On a terminal, the `runs watch` view appears after a second and is erased at the end. If there is no terminal, or if
    logs are being printed to it, a line is printed every 10 seconds instead. Nothing is shown if the user asked for
    JSON or quiet output.

    Args:
        target: The server. A separate thread watches the run using its own client.
        run_id: The run.
    """
    session = current_session()
    if session.json_errors or session.quiet:
        yield
        return
    logs = session.verbosity > 0 or session.log_level is not None
    draws = is_terminal(sys.stderr) and (not logs or session.log_file is not None)
    shown = _ProgressDisplay(target, run_id, color=session.color)
    thread = threading.Thread(
        target=shown.draw_live_view if draws else shown.print_progress_lines, name="stepflow-live", daemon=True
    )
    with ExitStack() as stack:
        if draws:
            from ..output.live import restoring_cursor_on_signal

            stack.enter_context(restoring_cursor_on_signal(sys.stderr))
        stack.enter_context(redirecting_outage_messages(shown.show_message))
        thread.start()
        try:
            yield
        finally:
            shown.ended.set()
            thread.join(timeout=5)


class _ProgressDisplay:
    def __init__(self, target: Target, run_id: str, *, color: str) -> None:
        self.ended = threading.Event()
        self._target, self._run_id, self._color = target, run_id, color
        self._watch: RunWatch | None = None
        self._last_message = ""
        self._started_at = time.monotonic()

    def show_message(self, text: str) -> None:
        """Show a message about an outage in the live view, or print it if there is no live view."""
        if self._watch is not None:
            self._watch.show_message(text)
        elif text != self._last_message:
            # Both clients report the same outage, so only show the first message.
            self._last_message = text
            print(escape(text), file=sys.stderr, flush=True)

    def draw_live_view(self) -> None:
        """Draw the run until it ends. Errors are ignored, because the caller will report them."""
        with suppress(Exception), self._open_watch_after_delay(_LIVE_VIEW_DELAY_SECONDS) as watch:
            from ..output.live import live_display

            def draw_tree(height: int | None) -> Any:
                return watch.build_tree(height, *([self._format_progress(watch)] if watch.progress.total > 1 else []))

            with live_display(draw_tree, stream=sys.stderr, color=self._color, stays=False) as refresh:
                self._watch = watch
                try:
                    watch.follow(refresh=partial(self._refresh_or_raise_if_ended, refresh), sub_runs=True)
                finally:
                    self._watch = None

    def print_progress_lines(self) -> None:
        with suppress(Exception), self._open_watch_after_delay(_PROGRESS_LINE_SECONDS) as watch:
            last = time.monotonic() - _PROGRESS_LINE_SECONDS

            def print_line_if_due() -> None:
                nonlocal last
                if time.monotonic() - last >= _PROGRESS_LINE_SECONDS and watch.progress.steps:
                    last = time.monotonic()
                    print(f"stepflow: run {self._run_id}: {self._format_progress(watch)}", file=sys.stderr, flush=True)

            watch.follow(refresh=partial(self._refresh_or_raise_if_ended, print_line_if_due))

    @contextmanager
    def _open_watch_after_delay(self, seconds: float) -> Iterator[RunWatch]:
        """Yield a watch on the run after a delay. Most runs end before that and don't need the imports."""
        if self.ended.wait(seconds):
            raise _WaitEnded
        from .follow_run import RunWatch

        with self._target.create_sync_client() as client:
            yield RunWatch(self._target._replace(client=client), self._run_id)

    def _refresh_or_raise_if_ended(self, refresh: Callable[[], None]) -> None:
        if self.ended.is_set():
            raise _WaitEnded
        refresh()

    def _format_progress(self, watch: RunWatch) -> str:
        completed, failed = watch.progress.count_completed_and_failed()
        return format_progress(watch.details.items.total, completed, failed, time.monotonic() - self._started_at)


def fetch_missing_job_parts(target: Target, job: Job) -> None:
    """Fetch anything a job still needs: a stored flow (and then read its arguments) and the earlier run to reuse.

    Raises:
        Problem: If the flow isn't on the server, the run isn't in the history, or an argument is invalid.
    """
    if job.has_unloaded_flow:
        try:
            job.flow = target.client.get_flow(str(job.flow_id)).flow
        except NotFoundError as error:
            hint = "this embedded server only has the flows in its own store; to use another server, pass --url"
            raise convert_to_problem(error, hint=hint if target.runtime else None) from None
        read_job_arguments(job)
    if any(job.reuse):
        from .reuse_step_outputs import set_run_to_reuse

        set_run_to_reuse(target, job)


def run_job(target: Target, job: Job, cache: JobCache | None = None) -> None:
    """Run a job with a single input and print its result.

    Raises:
        Problem: If the run did not succeed.
    """
    if cache is not None:
        with show_spinner("reading the flow"):
            fetch_missing_job_parts(target, job)
        if cache.print_cached_result(job):
            return
    run, wait = start_job(target, job), job.options.wait
    run_id = run.run_id
    with adding_run_id(target, run_id), hinting_return(target, run_id, wait), showing_progress(target, run_id):
        result = run.result(timeout=wait.timeout)
    _save_outputs_of_embedded_run(target, job, run_id)
    if cache is not None:
        cache.store_result(job, result)
    with adding_run_id(target, run_id):
        try:
            print_run_result(result, job.options.output)
        except Problem as problem:
            if problem.kind == "run_failed":
                flow, name = job.flow_with_overrides, str(job.about.get("flow_file", ""))
                hint, place = problem.hint or find_failure_hint(target, result, flow, job.input, job.variables), None
                if result.error is not None and is_python_flow(name):
                    from stepflow_client.flows.python_positions import describe_python_place

                    place = describe_python_place(import_python_flow(name).value, result.error.step_id)
                problem.hint = "; ".join(filter(None, (hint, place))) or None
            raise
    # Only do this if the run succeeded. Failures have their own hint.
    job.note_unread_input_fields()


def _save_outputs_of_embedded_run(target: Target, job: Job, run_id: str) -> None:
    """Save a run's step outputs in the history for `--reuse` if its server stops when the command exits."""
    if target.runtime is not None and target.history.is_on:
        from .reuse_step_outputs import save_step_outputs

        save_step_outputs(target, job, run_id)


def start_job(target: Target, job: Job) -> SyncRunHandle[Any]:
    """Start a run for a job and return it.

    Raises:
        Problem: If the request is interrupted (so we can't know whether the run exists), or if the steps form a cycle.
    """
    options = job.options
    try:
        with show_spinner("submitting"):
            fetch_missing_job_parts(target, job)
            with target.history.recording_runs(flow=job.flow, **job.about):
                if any(job.reuse):
                    from .reuse_step_outputs import start_reusing_outputs

                    return start_reusing_outputs(target, job)
                run = target.client.start_run(
                    job.flow_id or job.flow,
                    # Wrap the input in a list. Otherwise, an input that is itself a list would be treated as a batch.
                    [job.input] if job.batch is None else job.batch,
                    **job.start_arguments,
                    idempotency_key=options.idempotency_key,
                    idempotency_scope=options.idempotency_scope,
                    wait_for_components=options.wait_for_components,
                    # The inputs were checked before anything was sent.
                    check_input=False,
                )
                if options.idempotency_key is not None:
                    # A run that already existed doesn't have this command's labels and note yet.
                    target.history.annotate(run.run_id)
    except InvalidFlowError as error:
        cycle = FlowSteps(job.flow).find_cycle()
        if not cycle:
            raise
        raise convert_to_problem(error, hint=f"the steps form a cycle: {' -> '.join(cycle)}") from error
    except KeyboardInterrupt:
        if target.ends_with_command:
            raise
        hint = f"to see the newest, run '{target.build_command_for_run('runs list --limit', '5')}'"
        raise interrupted_problem("interrupted; a run may have been created, and would then continue", hint) from None
    if run.older_flow_id is not None:
        note(f"run {run.run_id} has this idempotency key, but ran another version of the flow: {run.older_flow_id}")
    return run


def start_job_and_serve_page(target: Target, job: Job) -> None:
    """Start the run and serve its page until the user presses Ctrl-C. The result is printed as soon as the run ends."""
    from concurrent.futures import Future

    from ..ui.serving import serve_pages

    run_id = start_job(target, job).run_id
    printed: Future[None] = Future()

    def print_at_end() -> None:
        try:
            result = target.client.get_result(run_id)
            _save_outputs_of_embedded_run(target, job, run_id)
            print_run_result(result, job.options.output)
            sys.stdout.flush()
        except BaseException as error:
            printed.set_exception(error)
        else:
            printed.set_result(None)

    with adding_run_id(target, run_id):
        # Use a daemon thread, because the command must be able to exit before the run has ended.
        Thread(target=print_at_end, daemon=True).start()
        serve_pages(target, run_id)
        with hinting_return(target, run_id, job.options.wait):
            if not printed.done() and not target.client.get_run(run_id).is_finished:
                raise KeyboardInterrupt
        printed.result()


@contextmanager
def adding_run_id(target: Target, run_id: str) -> Iterator[None]:
    """Add the run ID, along with the command that gets the run's result, to any error raised in the block."""
    try:
        yield
        # Flush now, so that an error while writing the last output is reported.
        sys.stdout.flush()
    except StepflowClientError as error:
        # Only add the ID: the caller started the server, so it knows whether the server has stopped.
        error.run_id = error.run_id or run_id
        raise
    except Problem as problem:
        add_run_id_to_problem(problem, target, run_id)
        add_view_commands_hint(problem, target, run_id)
        raise


def add_run_id_to_problem(problem: Problem, target: Target, run_id: str) -> None:
    """Add a run ID to a problem, along with the command that gets the run's result."""
    if problem.run_id is None:
        problem.run_id = run_id
        if problem.hint is None and not target.ends_with_command:
            problem.hint = f"run {run_id} was created: {target.build_command_for_run('runs result', run_id)}"
