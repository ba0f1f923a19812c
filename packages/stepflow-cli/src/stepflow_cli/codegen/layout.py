"""Python expressions, broken into lines where they are too long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .docstrings import quoted

WIDTH = 100
"""Maximum length of a line that can be broken."""


class Group(NamedTuple):
    """A call, a list or a dict: something in brackets."""

    start: str
    items: Sequence[tuple[str, Expression]]
    """The parts, each with what stands before it: `name=`, or a key with a colon."""
    end: str


Expression = str | Group


def call(function: str, arguments: Iterable[tuple[str, Expression]]) -> Group:
    """Return a call; the names of arguments are empty for positional ones."""
    return Group(f"{function}(", [(f"{name}=" if name else "", each) for name, each in arguments], ")")


def data(value: Any) -> Expression:
    """Return a JSON value as it is written in Python."""
    if isinstance(value, Mapping):
        return Group("{", [(f"{quoted(str(key))}: ", data(each)) for key, each in value.items()], "}")
    if isinstance(value, (list, tuple)):
        return Group("[", [("", data(each)) for each in value], "]")
    return quoted(value) if isinstance(value, str) else repr(value)


def flat(expression: Expression) -> str:
    """Return an expression as one line."""
    if isinstance(expression, str):
        return expression
    return expression.start + ", ".join(before + flat(each) for before, each in expression.items) + expression.end


def written(expression: Expression, before: str = "", after: str = "", indent: int = 0) -> str:
    """Return an expression as one line, or with each part on a line of its own if it is too long.

    Args:
        expression: The expression.
        before: What stands before it on its first line.
        after: What stands after it on its last line.
        indent: The number of spaces at the beginning of the line.
    """
    one = f"{' ' * indent}{before}{flat(expression)}{after}"
    if isinstance(expression, str) or len(one) <= WIDTH or not expression.items:
        return one
    lines = [f"{' ' * indent}{before}{expression.start}"]
    lines += [written(each, start, ",", indent + 4) for start, each in expression.items]
    return "\n".join([*lines, f"{' ' * indent}{expression.end}{after}"])
