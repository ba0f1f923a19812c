"""The runs named on a command line: RUN, or RUN... where `-` reads ids from standard input, one per line.

A run is given by its id, by the beginning of its id (four digits or more), or by its position in the history: `@last`
or `@1` is the newest, `@2` the one before. Commands pass the value to `runs.find.connect_to_run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from ..completion.candidates import complete_recorded_runs, complete_run_ids
from ..records.runs import STATUSES
from ..stdio import read_stdin
from .options import grouped
from .run_ids import RECORDED_RUN_ID, RUN_ID, checked_id
from .sections import Choice, Decorator, option

run_argument = click.argument("run_id", metavar="RUN", type=RUN_ID)
"""Adds RUN; the command gets `run_id`: an id as servers write it, its beginning, or `@N`."""
_recorded = partial(click.argument, "run_id", type=RECORDED_RUN_ID, shell_complete=complete_recorded_runs)
recorded_run_argument = _recorded(metavar="RUN")
"""Adds RUN like `run_argument`; the shell completes it with runs of the history."""
optional_recorded_run_argument = _recorded(metavar="[RUN]", required=False)
"""Adds RUN, which need not be there: `run_id` is None then."""


def status_option(what: str) -> Decorator:
    """Return a decorator that adds -s/--status; the command gets `status`, the given words.

    Args:
        what: The objects that have the status, for the help.
    """
    text = f"Only {what} of this status, or of these, with commas between: {', '.join(STATUSES)}."
    return option("-s, --status STATUS", text, type=_Statuses(STATUSES), default="")


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


def _run_ids(runs: Sequence[str]) -> list[str]:
    ids: list[str] = []
    for each in runs:
        if each != "-":
            ids.append(checked_id(each))
            continue
        for number, line in enumerate(read_stdin().splitlines(), start=1):
            if line.strip():
                ids.append(checked_id(line.strip(), f"standard input, line {number}: "))
    return list(dict.fromkeys(ids))


runs_argument = grouped(
    "ids", _run_ids, click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run_ids)
)
"""Adds RUN...; the command gets `ids`, without duplicates. For `-`, they are read from standard input."""


def runs_text(ids: Sequence[str]) -> str:
    """Return the runs as part of a sentence."""
    return f"run {ids[0]}" if len(ids) == 1 else f"{len(ids)} runs"
