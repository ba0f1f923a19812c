"""The form of run ids on a command line, and options that take one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import click

from ..completion.candidates import complete_run_ids
from ..errors import usage
from ..runs.find import is_beginning
from .parsing import Option

Function = TypeVar("Function", bound=Callable[..., Any])


def run_id_option(*names: str, help: str, section: str = "Options") -> Callable[[Function], Function]:
    """Return an option whose value is a run id or the beginning of one."""
    return click.option(
        *names,
        cls=Option,
        section=section,
        metavar="RUN",
        callback=id_or_beginning,
        shell_complete=complete_run_ids,
        help=help,
    )


def id_or_beginning(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return a run id as servers write it, its beginning, or `@N`. A callback of click."""
    if value is None or ctx.resilient_parsing:
        return value
    # Where a single run is expected, - is not standard input but the last run, as in `cd -`.
    return "@last" if value == "-" else checked_id(value)


def checked_id(text: str, where: str = "") -> str:
    """Return a run id as servers write it, its beginning, or `@N`.

    Args:
        text: The text.
        where: What a message begins with.

    Raises:
        Problem: If it is none.
    """
    try:
        return str(UUID(text))
    except ValueError:
        lower = text.lower()
        if lower == "@last":
            return lower
        if re.fullmatch(r"@[1-9][0-9]{0,5}", text):
            return text
        if is_beginning(lower):
            return lower
        hint = "'stepflow runs list' shows them; the beginning will do, of at least four digits, or @last"
        raise usage(f"{where}a run id is a UUID, not {text!r}", hint) from None
