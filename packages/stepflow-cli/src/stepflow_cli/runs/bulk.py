"""Doing something with several runs at once: what is refused for one does not keep it from the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from ..context import current_session
from ..errors import Problem, problem_of, show
from ..exit_codes import ExitCode
from ..output.columns import View
from ..output.view import Output, Record

__all__ = ["for_each_run", "print_done", "raise_worst"]

Answer = TypeVar("Answer")

_SEVERITY = (ExitCode.CANCELLED, ExitCode.FAILED, ExitCode.TIMED_OUT)
"""Exit codes of several runs at once: the last of these wins."""


def for_each_run(ids: Sequence[str], act: Callable[[str], Answer], problems: list[Problem]) -> Iterator[Answer]:
    """Do something with each run and return what came of it.

    That the server refuses one does not keep it from the others.

    Args:
        ids: The runs.
        act: What is done.
        problems: Gets what the server refused.
    """
    from stepflow_client import ApiError

    for run_id in ids:
        try:
            answer = act(run_id)
        except ApiError as error:
            problem = problem_of(error)
            if problem.exit_code != ExitCode.FAILED:
                # Whoever is not authorised for one is not for the others.
                raise
            problems.append(problem)
        else:
            yield answer


def raise_worst(problems: Sequence[Problem]) -> None:
    """Show all problems and end with the exit code of the worst; nothing happens without any.

    Raises:
        Problem: The worst.
    """
    if not problems:
        return
    worst = max(reversed(problems), key=lambda problem: _SEVERITY.index(problem.exit_code))
    for problem in problems:
        if problem is not worst:
            show(problem, as_json=current_session().json_errors)
    raise worst


def print_done(output: Output, records: Iterable[Record], view: View) -> None:
    """Print what was done, each as it comes where the format allows it; a table only if there is something in it."""
    if output.format in (None, "table"):
        records = list(records)
        if not records:
            return
    output.records(records, view, flush=True)
