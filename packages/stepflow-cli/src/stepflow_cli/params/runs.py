"""The runs that a command line names: RUN, or RUN... with `-` for ids on standard input, one a line.

A run is named by its id, by the beginning of it (four digits or more), or by its place in the history: `@last` or `@1`
is the newest, `@2` the one before. Commands pass it to `runs.ids.whole_id` when the server is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import click

from ..completion.words import complete_recorded_runs, complete_run_ids
from ..errors import usage
from ..records.runs import STATUSES
from ..stdio import read_stdin
from .parsing import Choice, Option

__all__ = [
    "read_run_ids",
    "recorded_run_argument",
    "run_argument",
    "run_id_option",
    "runs_argument",
    "runs_text",
    "status_option",
    "two_runs_argument",
]

_DASHES = (8, 13, 18, 23)
"""Where a run id has them."""

Function = TypeVar("Function", bound=Callable[..., Any])


def run_argument(function: Function) -> Function:
    """Add RUN; the command gets `run_id`, as servers write it, its beginning, or `@N`."""
    decorate = click.argument("run_id", metavar="RUN", callback=_id_or_beginning, shell_complete=complete_run_ids)
    return decorate(function)


def recorded_run_argument(function: Function) -> Function:
    """Add RUN as `run_argument` does; the shell completes runs of the history."""
    decorate = click.argument("run_id", metavar="RUN", callback=_id_or_beginning, shell_complete=complete_recorded_runs)
    return decorate(function)


def two_runs_argument(function: Function) -> Function:
    """Add A and B; the command gets `a` and `b`, as `run_argument` does."""
    for name in ("b", "a"):
        decorate = click.argument(
            name, metavar=name.upper(), callback=_id_or_beginning, shell_complete=complete_run_ids
        )
        function = decorate(function)
    return function


def runs_argument(function: Function) -> Function:
    """Add RUN...; the command gets `runs`, for `read_run_ids`."""
    decorate = click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run_ids)
    return decorate(function)


def run_id_option(name: str, help: str) -> Callable[[Function], Function]:
    """Return an option whose value is a run, or the beginning of its id."""
    return click.option(
        name, cls=Option, metavar="RUN", callback=_id_or_beginning, shell_complete=complete_run_ids, help=help
    )


def status_option(what: str) -> Callable[[Function], Function]:
    """Return the decorator that adds -s/--status; the command gets `status`, the words that were given.

    Args:
        what: What has the status, for the help.
    """
    text = f"Only {what} of this status, or of these, with commas between: {', '.join(STATUSES)}."
    return click.option("-s", "--status", cls=Option, type=_Statuses(STATUSES), metavar="STATUS", help=text, default="")


class _Statuses(Choice):
    """Several statuses, with commas between them, in any case."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return them as a tuple, each once."""
        if isinstance(value, tuple):
            return value
        words = [word.strip().lower() for word in value.split(",")] if value else []
        single = super().convert
        return tuple(dict.fromkeys(single(word, param, ctx) for word in words))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return what completes the last of them."""
        before, comma, last = incomplete.rpartition(",")
        found = super().shell_complete(ctx, param, last)
        for each in found:
            each.value = f"{before}{comma}{each.value}"
        return found


def _id_or_beginning(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None or ctx.resilient_parsing:
        return value
    # Where one run is named, - is no standard input but the last run, as it is the last folder for cd.
    return "@last" if value == "-" else _checked(value)


def _checked(text: str, where: str = "") -> str:
    try:
        return str(UUID(text))
    except ValueError:
        lower = text.lower()
        if lower == "@last":
            return lower
        if re.fullmatch(r"@[1-9][0-9]{0,5}", text):
            return text
        if 4 <= len(text) < 36 and all(
            each == "-" if place in _DASHES else each in "0123456789abcdef" for place, each in enumerate(lower)
        ):
            return lower
        hint = "'stepflow runs list' shows them; the beginning will do, of at least four digits, or @last"
        raise usage(f"{where}a run id is a UUID, not {text!r}", hint) from None


def read_run_ids(given: Sequence[str]) -> list[str]:
    """Return the ids that are named, each once, in their order; `-` stands for those on standard input.

    Raises:
        Problem: If one is no run id.
    """
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
