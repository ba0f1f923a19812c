"""The runs that a command line names: RUN, or RUN... with `-` for ids on standard input, one a line.

A run is named by its whole id. Ids begin with the time of their creation, so that all runs of a minute share the first
eight characters, and no server looks for the beginning of an id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar
from uuid import UUID

import click

from .completion import complete_run_ids
from .exit_codes import ExitCode
from .output import Output, Record
from .parsing import Option
from .problems import Problem, problem_of, show, usage
from .session import current_session
from .tables import View

__all__ = [
    "for_each_run",
    "note",
    "print_done",
    "raise_worst",
    "read_run_ids",
    "run_argument",
    "run_id_option",
    "runs_argument",
    "runs_text",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Answer = TypeVar("Answer")

_SEVERITY = (ExitCode.CANCELLED, ExitCode.FAILED, ExitCode.TIMED_OUT)
"""Exit codes of several runs at once: the last of these wins."""


def run_argument(function: Function) -> Function:
    """Add RUN; the command gets `run_id`, as servers write it."""
    decorate = click.argument("run_id", metavar="RUN", callback=_whole_id, shell_complete=complete_run_ids)
    return decorate(function)


def runs_argument(function: Function) -> Function:
    """Add RUN...; the command gets `runs`, for `read_run_ids`."""
    decorate = click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run_ids)
    return decorate(function)


def run_id_option(name: str, help: str) -> Callable[[Function], Function]:
    """Give an option whose value is a run."""
    return click.option(name, cls=Option, metavar="RUN", callback=_whole_id, shell_complete=complete_run_ids, help=help)


def _whole_id(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return value if value is None or ctx.resilient_parsing else _checked(value)


def _checked(text: str, where: str = "") -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise usage(f"{where}a run id is a UUID, not {text!r}", "'stepflow runs list' shows them") from None


def read_run_ids(given: Sequence[str]) -> list[str]:
    """Give the ids that are named, each once, in their order; `-` stands for those on standard input.

    Raises:
        Problem: If one is no run id.
    """
    from .values import read_stdin

    ids: list[str] = []
    for each in given:
        if each != "-":
            ids.append(_checked(each))
            continue
        for number, line in enumerate(read_stdin().splitlines(), start=1):
            if line.strip():
                ids.append(_checked(line.strip(), f"standard input, line {number}: "))
    return list(dict.fromkeys(ids))


def runs_text(ids: Sequence[str]) -> str:
    """Name the runs in a sentence."""
    return f"run {ids[0]}" if len(ids) == 1 else f"{len(ids)} runs"


def for_each_run(ids: Sequence[str], act: Callable[[str], Answer], problems: list[Problem]) -> Iterator[Answer]:
    """Do something with each run and give what came of it.

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


def note(text: str) -> None:
    """Say something to people; those who asked for JSON get nothing but errors on standard error."""
    if not current_session().json_errors:
        click.echo(f"stepflow: {text}", err=True)
