"""Waits for runs, or processes several of them.

If the server rejects a request for one run, the others are still processed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from stepflow_client import ApiError, NotFoundError, RunTimeoutError, StepflowClientError, TransportError
from stepflow_client.types.statuses import is_given_up_by_server

from ..errors import ExitCode, Problem, convert_to_problem, interrupted_problem
from ..output.colors_and_escaping import is_terminal
from ..output.messages import note, print_problem
from ..output.printing import Output, Record
from ..output.record_views import View
from ..params.options import WaitOptions
from ..records.runs import RUN
from ..server.connect import Target

if TYPE_CHECKING:
    from stepflow_client import RunDetails

Answer = TypeVar("Answer")

# Exit codes of commands that process several runs, from least to most severe. The command exits with the most severe
# one.
_EXIT_CODES_BY_SEVERITY = (ExitCode.CANCELLED, ExitCode.FAILED, ExitCode.TIMED_OUT)


def for_each_run(ids: Sequence[str], act: Callable[[str], Answer], problems: list[Problem]) -> Iterator[Answer]:
    """Call a function for each run and yield what it returns.

    If the server rejects the request for one run, the others are still processed.

    Args:
        ids: The runs.
        act: The function to call.
        problems: The list to which the server's errors are added.
    """
    for run_id in ids:
        try:
            answer = act(run_id)
        except ApiError as error:
            problem = convert_to_problem(error)
            if problem.exit_code != ExitCode.FAILED:
                # The other runs would fail too, for example because the user isn't authorized.
                raise
            problems.append(problem)
        else:
            yield answer


def raise_worst_problem(problems: Sequence[Problem]) -> None:
    """Print all problems except the worst, then raise the worst one so that it sets the exit code.

    Do nothing if there are none.

    Raises:
        Problem: The worst problem.
    """
    if not problems:
        return
    worst = max(reversed(problems), key=lambda problem: _EXIT_CODES_BY_SEVERITY.index(problem.exit_code))
    for problem in problems:
        if problem is not worst:
            print_problem(problem)
    raise worst


def print_processed_runs(output: Output, records: Iterable[Record], view: View) -> None:
    """Print the processed runs, each as soon as it is available if the format allows that.

    Don't print an empty table.
    """
    if output.format in (None, "table"):
        records = list(records)
        if not records:
            return
    output.print_records(records, view, flush=True)


def fetch_deletion_status(fetch: Callable[[], object]) -> str:
    """Return `deleted` if an object no longer exists, or `kept` if it still does.

    Args:
        fetch: Fetches the object.
    """
    try:
        fetch()
    except NotFoundError:
        return "deleted"
    return "kept"


def note_undeleted_objects(deletions: Iterable[Mapping[str, Any]]) -> None:
    """Print a note if any of the objects still exist.

    Args:
        deletions: Records with a `status`.
    """
    if any(deletion["status"] == "kept" for deletion in deletions):
        note("the server accepted the request but deleted nothing")


def add_view_commands_hint(problem: Problem, target: Target, run_id: str) -> None:
    """Add a hint with the commands that show a failed run, but only if standard error is a terminal."""
    if problem.kind == "run_failed" and not target.ends_with_command and is_terminal(sys.stderr):
        page = target.build_command_for_run("ui --open", run_id)
        report = target.build_command_for_run("runs report", run_id)
        views = f"to see the run, use '{page}'; to save a report, use '{report} -O report.html'"
        problem.hint = f"{problem.hint}; {views}" if problem.hint else views


@contextmanager
def hinting_return(target: Target, run_id: str | None, wait: WaitOptions, again: str = "") -> Iterator[None]:
    """Add a hint that says how to return to the run if the block is interrupted or times out.

    Args:
        target: The server.
        run_id: The run, or None if the block creates it.
        wait: How the command waits for the run. This determines what an interrupt does.
        again: The command that returns to the run. Defaults to `stepflow runs watch`.

    Raises:
        Problem: If the block is interrupted or times out, or if the connection to the server is lost.
    """
    hint = None if target.ends_with_command else again or target.build_command_for_run("runs watch", run_id or "")
    try:
        yield
    except KeyboardInterrupt:
        if run_id is None:
            message = "interrupted; runs may have been created, and would then continue"
            raise interrupted_problem(message, hint) from None
        if target.ends_with_command:
            outcome = "stops with the embedded server"
        elif wait.on_interrupt == "cancel":
            try:
                target.client.cancel_run(run_id)
            except StepflowClientError as error:
                outcome = f"could not be cancelled: {error.message}"
            else:
                outcome = "is marked as cancelled"
                hint = "released servers do not stop the work of a cancelled run"
        else:
            outcome = "continues"
        raise interrupted_problem(f"interrupted; run {run_id} {outcome}", hint, run_id=run_id) from None
    except (RunTimeoutError, TransportError) as error:
        if target.runtime and isinstance(error, TransportError):
            raise
        if hint and run_id is None and error.run_id is not None:
            hint = target.build_command_for_run("runs watch", error.run_id)
        raise convert_to_problem(error, hint=hint or "the embedded server has stopped, and the run with it") from error


# Timeout in seconds for fetching a run's state once the command's own timeout has (nearly) passed.
_LAST_REQUEST_TIMEOUT_SECONDS = 5.0


def wait_and_print_runs(target: Target, ids: list[str], wait: WaitOptions, output: Output) -> None:
    """Wait for runs and print each one that ends in time, in the order of `ids`.

    Raises:
        Problem: The worst problem, if any run did not complete. All other problems are printed first.
    """
    # Import this only now because it loads rich, which isn't needed to wait for a single run.
    from .follow_run import build_failure_problem

    problems: list[Problem] = []
    late: list[str] = []
    deadline = None if wait.timeout is None else time.monotonic() + wait.timeout

    def build_watch_command(run_ids: list[str]) -> str:
        return target.build_command_for_run("runs watch -q", " ".join(run_ids))

    def wait_for_run(run_id: str) -> RunDetails | None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        with hinting_return(target, run_id, wait, build_watch_command(late + ids[ids.index(run_id) :])):
            run = None
            if left != 0:
                with suppress(RunTimeoutError):
                    run = target.client.wait_run(run_id, timeout=left)
            if run is None:
                # There may have been (almost) no time left to wait for this run, so check its state once more.
                latest = target.client.get_run(run_id, timeout=_LAST_REQUEST_TIMEOUT_SECONDS)
                if is_given_up_by_server(latest.status, latest.items.running):
                    latest = target.client.wait_run(run_id, timeout=_LAST_REQUEST_TIMEOUT_SECONDS)
                run = latest if latest.is_finished else None
            if run is None:
                late.append(run_id)
            elif problem := build_failure_problem(target, run):
                problems.append(problem)
            return run

    # First make sure that the server can be reached. If it can't, there's no point in suggesting how to return to the
    # run.
    target.client.server_info()
    runs = for_each_run(ids, wait_for_run, problems)
    print_processed_runs(output, (run.to_dict() for run in runs if run is not None), RUN)
    if late:
        subject = f"run {late[0]}" if len(ids) == 1 else f"{len(late)} of {len(ids)} runs"
        message = f"{subject} {'has' if len(late) == 1 else 'have'} not ended yet"
        one, hint = late[0] if len(late) == 1 else None, build_watch_command(late) if target.runtime is None else None
        problems.append(Problem(message, kind="run_timeout", exit_code=ExitCode.TIMED_OUT, run_id=one, hint=hint))
    raise_worst_problem(problems)
