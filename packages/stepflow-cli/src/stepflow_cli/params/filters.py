"""Options that select runs: times, labels, and the filters of the history."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ..errors import usage
from .options import Function, option_in
from .parsing import Option

__all__ = ["label_option", "labels_of", "seconds_option", "time_of", "time_option"]

_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def time_option(name: str, help: str) -> Callable[[Function], Function]:
    """Return a decorator that adds an option for a time; the command gets it in ISO 8601, or None."""
    return click.option(name, cls=Option, metavar="TIME", callback=_read, help=help)


def _read(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return None if value is None else time_of(value)


def seconds_option(name: str, help: str, **more: Any) -> Callable[[Function], Function]:
    """Return a decorator that adds an option for a duration; the command gets seconds, or None."""
    return click.option(name, cls=Option, metavar="TIME", callback=_read_seconds, help=help, **more)


def _read_seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    span = _span(value.replace(" ", "").lower())
    if span is None or not span:
        raise usage(f"{param.opts[0]} is a time such as 90s, 15m, 1h, 2d or 1h30m, not {value}")
    return span.total_seconds()


def _span(text: str) -> timedelta | None:
    """Return the duration that `90s`, `15m`, `1h`, `2d`, `1w` or `1h30m` means; None for other text."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smhdw])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    try:
        return sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta())
    except OverflowError:
        return timedelta.max


def time_of(text: str) -> str:
    """Return the time that is `90s`, `15m`, `1h`, `2d`, `1w` or `1h30m` before now; other text is returned unchanged.

    Raises:
        Problem: If the time is earlier than a datetime can represent.
    """
    span = _span(text.replace(" ", "").lower().removesuffix("ago"))
    if span is None:
        return text
    try:
        return (datetime.now(UTC) - span).isoformat()
    except OverflowError:
        raise usage(f"{text} ago is before all times") from None


def label_option(help: str, section: str = "Options") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds --label; the command gets `labels`, for `labels_of`."""
    return option_in("--label", "labels", multiple=True, section=section, metavar="NAME=VALUE", help=help)


def labels_of(given: Iterable[str]) -> dict[str, str]:
    """Return the labels as a dict.

    Raises:
        Problem: If a label has no name, or a name is given twice with different values.
    """
    labels: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not name or not equals:
            raise usage(f"a label is NAME=VALUE, not {text!r}")
        if labels.setdefault(name, value) != value:
            raise usage(f"label {name} is given twice, with different values")
    return labels
