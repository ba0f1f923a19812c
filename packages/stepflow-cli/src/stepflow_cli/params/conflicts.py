"""Options that exclude or need each other: `conflicts=(excludes("--watch --fix"), needs("--seed", "--sample"))`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import click
from click.core import ParameterSource

from ..errors import usage


class Conflict(NamedTuple):
    """Options that exclude or need others. Names that a command does not have are ignored, so commands share rules."""

    options: str
    """The long names, with blanks between."""
    others: str
    needs: bool
    hint: str | None


def excludes(options: str, others: str = "", hint: str | None = None) -> Conflict:
    """Return the rule that the options exclude the others, by default each other."""
    return Conflict(options, others or options, False, hint)


def needs(options: str, other: str, hint: str | None = None) -> Conflict:
    """Return the rule that each of the options needs the other one."""
    return Conflict(options, other, True, hint)


def check_conflicts(ctx: click.Context, conflicts: Sequence[Conflict]) -> None:
    """Raise if options of the command line exclude each other, or if one needs another.

    Raises:
        Problem: If so.
    """
    params = {name: param for param in ctx.command.params for name in param.opts}
    given = {
        name
        for name, param in params.items()
        if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        # Standard output is the default.
        and (name != "--output" or ctx.params[param.name or ""] != "-")
    }
    for options, others, is_need, hint in sorted(conflicts, key=lambda each: each.needs):
        for option, other in product(options.split(), others.split()):
            if option == other or option not in given or is_need == (other in given):
                continue
            if is_need:
                raise usage(f"{option} needs {' '.join(filter(None, (other, params[other].metavar)))}", hint)
            raise usage(f"{option} and {other} exclude each other", hint)
