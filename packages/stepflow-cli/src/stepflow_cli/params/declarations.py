"""How commands declare options: `OUTPUT.option("-O, --output FILE", "The file to write.", type=FILE)`.

Options that exclude or need each other: `conflicts=(excludes("--watch --fix"), needs("--seed", "--sample"))`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple, Protocol, TypeVar

import click
from click.core import ParameterSource

from ..errors import suggest, usage

FILE = click.Path(readable=False)
"""A file name, which the shell completes. The code that opens the file reports its errors."""

Function = TypeVar("Function", bound=Callable[..., Any])


class Decorator(Protocol):
    """Adds parameters to a command."""

    def __call__(self, function: Function, /) -> Function:
        """Return the command with the parameters."""
        ...


class TextType(click.ParamType):  # type: ignore[type-arg]  # The first releases of click 8 have no type arguments.
    """What a command reads from a text.

    Args:
        parse: Receives the text and the name of the parameter, for messages.
    """

    name = "text"

    def __init__(self, parse: Callable[[str, str], Any]) -> None:
        self._parse = parse

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of a text."""
        return self._parse(value, "the value" if param is None else param.opts[0])


class Choice(click.Choice[str]):
    """One of several words, in any case. The error for a misspelt word suggests the nearest one."""

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__(choices, case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the matching word."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            error.hint = suggest(str(value), self.choices)  # type: ignore[attr-defined]
            error.value = str(value).lower()  # type: ignore[attr-defined]
            raise


class Option(click.Option):
    """An option that `--help` lists under a heading.

    Args:
        section: The heading.
        is_risky: Whether it overwrites or deletes things. Such an option is never suggested for an unknown one.
    """

    def __init__(self, *args: Any, section: str = "Options", is_risky: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section
        self.is_risky = is_risky


class Section:
    """A heading of `--help`."""

    def __init__(self, heading: str) -> None:
        self.heading = heading

    def option(self, usage: str, help: str, to: str | None = None, **settings: Any) -> Decorator:
        """Return a decorator that adds an option, described by the arguments of `parameter`, to a command."""
        # Each command gets an option of its own.
        return click.option(cls=lambda _: self.parameter(usage, help, to, **settings))  # type: ignore[arg-type]

    def parameter(self, usage: str, help: str, to: str | None = None, **settings: Any) -> Option:
        """Return an option under this heading.

        Args:
            usage: Its spellings and the placeholder of its value, such as `-O, --output FILE`. Without a placeholder
                and a `type` or `count`, it is a flag.
            help: The description.
            to: The argument of the command; by default, it is called like the first long spelling.
            **settings: Further arguments of `Option`.
        """
        *names, last = usage.split(", ")
        name, _, value = last.partition(" ")
        names += [name, to] if to else [name]
        if value:
            settings["metavar"] = value
        elif "type" not in settings and "count" not in settings:
            settings["is_flag"] = True
        return Option(names, section=self.heading, help=help, **settings)


OPTIONS = Section("Options")
option = OPTIONS.option
FLOW, INPUT, VARIABLES, REUSE, CACHE, BATCH = map(Section, ("Flow", "Input", "Variables", "Reuse", "Cache", "Batch"))
OVERRIDES = Section("Overrides (repeatable; later ones take precedence)")
HISTORY, WAITING, SERVER, OUTPUT = map(Section, ("History", "Waiting", "Server", "Output"))


class Conflict(NamedTuple):
    """Options that exclude or need others. Names that a command does not have are ignored, so commands share rules."""

    options: str
    """The long names, separated by blanks."""
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
    for options, others, is_need, hint in sorted(conflicts, key=lambda conflict: conflict.needs):
        for option, other in product(options.split(), others.split()):
            if option == other or option not in given or is_need == (other in given):
                continue
            if is_need:
                raise usage(f"{option} needs {' '.join(filter(None, (other, params[other].metavar)))}", hint)
            raise usage(f"{option} and {other} exclude each other", hint)
