"""Times on the command line: ISO 8601, or how long ago."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from ..errors import usage
from .parsing import Option

__all__ = ["time_of", "time_option"]

Function = TypeVar("Function", bound=Callable[..., Any])

_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def time_option(name: str, help: str) -> Callable[[Function], Function]:
    """Return the decorator that adds an option for a time; the command gets a text in ISO 8601, or None."""
    return click.option(name, cls=Option, metavar="TIME", callback=_read, help=help)


def _read(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return None if value is None else time_of(value)


def time_of(text: str) -> str:
    """Return the time that `90s`, `15m`, `1h`, `2d`, `1w` or `1h30m` before now is; other text as it is.

    Raises:
        Problem: If that is before all times.
    """
    compact = text.replace(" ", "").lower().removesuffix("ago")
    parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smhdw])", compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        return text
    try:
        ago = sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta())
        return (datetime.now(UTC) - ago).isoformat()
    except OverflowError:
        raise usage(f"{text} ago is before all times") from None
