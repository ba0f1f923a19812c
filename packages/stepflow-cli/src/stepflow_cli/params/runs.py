"""The runs named on a command line: RUN, or RUN... where `-` reads ids from standard input, one per line.

A run is given by its id, by the beginning of its id (four digits or more), or by its position in the history: `@last`
or `@1` is the newest, `@2` the one before. Commands pass the value to `runs.ids.whole_id` once the server is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ..completion.candidates import complete_recorded_runs, complete_run_ids
from ..errors import usage
from ..records.runs import STATUSES
from ..stdio import read_stdin
from .parsing import Choice, Option
from .run_ids import checked_id, id_or_beginning

Function = TypeVar("Function", bound=Callable[..., Any])


def run_argument(function: Function) -> Function:
    """Add RUN; the command gets `run_id`: an id as servers write it, its beginning, or `@N`."""
    decorate = click.argument("run_id", metavar="RUN", callback=id_or_beginning, shell_complete=complete_run_ids)
    return decorate(function)


def recorded_run_argument(function: Function) -> Function:
    """Add RUN like `run_argument`; the shell completes it with runs of the history."""
    decorate = click.argument("run_id", metavar="RUN", callback=id_or_beginning, shell_complete=complete_recorded_runs)
    return decorate(function)


def two_runs_argument(function: Function) -> Function:
    """Add A and B; the command gets `a` and `b`, in the form of `run_argument`."""
    for name in ("b", "a"):
        decorate = click.argument(name, metavar=name.upper(), callback=id_or_beginning, shell_complete=complete_run_ids)
        function = decorate(function)
    return function


def item_pair_option(function: Function) -> Function:
    """Add `--item N[:M]`; the command gets `items`: the index of an item in A, and of one in B."""
    decorate = click.option(
        "--item",
        "items",
        metavar="N[:M]",
        callback=_item_pair,
        help="Compare only item N of A with item M of B, counted from 0. [default of M: N]",
    )
    return decorate(function)


def _item_pair(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    one, _, other = value.partition(":")
    if not (one.isdecimal() and (other or one).isdecimal()):
        raise usage(f"--item {value}: an item is given as its index, such as 7, or as a pair of them, such as 7:0")
    return int(one), int(other or one)


def runs_argument(function: Function) -> Function:
    """Add RUN...; the command gets `runs`, for `read_run_ids`."""
    decorate = click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run_ids)
    return decorate(function)


def status_option(what: str) -> Callable[[Function], Function]:
    """Return a decorator that adds -s/--status; the command gets `status`, the given words.

    Args:
        what: The objects that have the status, for the help.
    """
    text = f"Only {what} of this status, or of these, with commas between: {', '.join(STATUSES)}."
    return click.option("-s", "--status", cls=Option, type=_Statuses(STATUSES), metavar="STATUS", help=text, default="")


class _Statuses(Choice):
    """Several statuses separated by commas, in any case."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the statuses as a tuple without duplicates."""
        if isinstance(value, tuple):
            return value
        words = [word.strip().lower() for word in value.split(",")] if value else []
        single = super().convert
        return tuple(dict.fromkeys(single(word, param, ctx) for word in words))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the completions of the last status."""
        before, comma, last = incomplete.rpartition(",")
        found = super().shell_complete(ctx, param, last)
        for each in found:
            each.value = f"{before}{comma}{each.value}"
        return found


def read_run_ids(given: Sequence[str]) -> list[str]:
    """Return the given ids in their order, without duplicates; `-` stands for the ids on standard input.

    Raises:
        Problem: If one is not a run id.
    """
    ids: list[str] = []
    for each in given:
        if each != "-":
            ids.append(checked_id(each))
            continue
        for number, line in enumerate(read_stdin().splitlines(), start=1):
            if line.strip():
                ids.append(checked_id(line.strip(), f"standard input, line {number}: "))
    return list(dict.fromkeys(ids))


def runs_text(ids: Sequence[str]) -> str:
    """Return the runs as part of a sentence."""
    return f"run {ids[0]}" if len(ids) == 1 else f"{len(ids)} runs"
