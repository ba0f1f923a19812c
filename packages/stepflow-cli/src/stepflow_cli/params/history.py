"""The options of commands that list recorded runs."""

from __future__ import annotations

from typing import Any

import click

from ..records.runs import STATUSES
from .labels import label_option, labels_of
from .options import Function, together
from .parsing import Choice

__all__ = ["history_filters"]

_LIMIT = 30


def history_filters(function: Function) -> Function:
    """Add --label, --status and --limit; the command gets `filters`, arguments of `History.search`."""

    def build(labels: tuple[str, ...], status: str | None, limit: int) -> dict[str, Any]:
        return {"labels": labels_of(labels), "status": status, "limit": limit}

    return together(  # type: ignore[return-value]
        "filters",
        build,
        label_option("Only runs that have this label; repeatable."),
        click.option("-s", "--status", type=Choice(STATUSES), metavar="STATUS", help="Only runs last seen like this."),
        click.option(
            "-n",
            "-L",
            "--limit",
            type=click.IntRange(min=1),
            default=_LIMIT,
            metavar="N",
            help=f"Maximum number of runs. [default: {_LIMIT}]",
        ),
    )(function)
