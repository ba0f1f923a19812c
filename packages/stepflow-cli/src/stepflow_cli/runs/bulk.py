"""An operation on several runs: if the server refuses it for one run, the others are still processed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from stepflow_client import ApiError, NotFoundError

from ..context import current_session
from ..errors import ExitCode, Problem, to_problem
from ..output.columns import View
from ..output.messages import note, print_problem
from ..output.view import Output, Record

Answer = TypeVar("Answer")

# Exit codes of an operation on several runs; the last of these that occurs wins.
_SEVERITY = (ExitCode.CANCELLED, ExitCode.FAILED, ExitCode.TIMED_OUT)


def for_each_run(ids: Sequence[str], act: Callable[[str], Answer], problems: list[Problem]) -> Iterator[Answer]:
    """Call a function for each run and yield its results.

    If the server refuses one run, the others are still processed.

    Args:
        ids: The runs.
        act: The function.
        problems: Receives the server's refusals.
    """
    for run_id in ids:
        try:
            answer = act(run_id)
        except ApiError as error:
            problem = to_problem(error)
            if problem.exit_code != ExitCode.FAILED:
                # For example if the user is not authorised: then the other runs would fail too.
                raise
            problems.append(problem)
        else:
            yield answer


def raise_worst(problems: Sequence[Problem]) -> None:
    """Show all problems and exit with the code of the worst one; do nothing if there are none.

    Raises:
        Problem: The worst.
    """
    if not problems:
        return
    worst = max(reversed(problems), key=lambda problem: _SEVERITY.index(problem.exit_code))
    for problem in problems:
        if problem is not worst:
            print_problem(problem, as_json=current_session().json_errors)
    raise worst


def print_done(output: Output, records: Iterable[Record], view: View) -> None:
    """Print the processed runs, each as it comes if the format allows that. A table is omitted if it is empty."""
    if output.format in (None, "table"):
        records = list(records)
        if not records:
            return
    output.records(records, view, flush=True)


def check_deletion(look: Callable[[], object]) -> str:
    """Return `deleted` if the server no longer finds the object, otherwise `kept`.

    Args:
        look: Requests the object from the server.
    """
    try:
        look()
    except NotFoundError:
        return "deleted"
    return "kept"


def note_kept_objects(deletions: Iterable[Mapping[str, Any]]) -> None:
    """Print a note if something still exists.

    Args:
        deletions: Records with a `status`.
    """
    if any(deletion["status"] == "kept" for deletion in deletions):
        note("the server accepted the request but deleted nothing")
