"""Points in time and durations as people write them: `90s`, `2 hours ago`, `yesterday`, `tuesday`, `2026-11-25`."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import click

from ..errors import usage
from .sections import TextType

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = re.compile(
    r"(\d+(?:\.\d+)?) ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)"
    r"(?:(?: |,|and)+(?=\d)|(?=\d|$))"
)
_DAYS_BEFORE = {"now": None, "today": 0, "yesterday": 1}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def span_of(text: str) -> timedelta | None:
    """Return the duration that `90s`, `15m`, `1h`, `2d`, `1w`, `1h30m` or `2 hours` means; None for other text."""
    text = " ".join(text.lower().split())
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    try:
        return sum((timedelta(**{_UNITS[part[2][0]]: float(part[1])}) for part in parts), timedelta())
    except OverflowError:
        return timedelta.max


def time_of(text: str) -> str:
    """Return a point in time in ISO 8601: a duration before now, a day, or a time as it is given.

    Raises:
        Problem: If it is neither, or earlier than a datetime can represent.
    """
    word = text.strip().lower()
    if word in _DAYS_BEFORE:
        return _day(_DAYS_BEFORE[word])
    weekday = next((place for place, name in enumerate(_WEEKDAYS) if word in (name, name[:3])), None)
    if weekday is not None:
        return _day((datetime.now().astimezone().weekday() - weekday) % 7)
    span = span_of(word.removesuffix("ago"))
    if span is not None:
        try:
            return (datetime.now(UTC) - span).isoformat()
        except OverflowError:
            raise usage(f"{text} ago is before all times") from None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        hint = "write 15m, 1h30m, 2d, yesterday, tuesday, 2026-11-25 or 2026-11-25T14:00"
        raise usage(f"{text!r} is not a time", hint) from None
    return text


def _day(before: int | None) -> str:
    now = datetime.now().astimezone()
    if before is None:
        return now.isoformat()
    # Midnight is that of the local clock, also where the day has 23 or 25 hours.
    return datetime.combine(now.date() - timedelta(days=before), datetime.min.time()).astimezone().isoformat()


class _Time(TextType):
    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the time in ISO 8601."""
        return time_of(value)


class _Duration(TextType):
    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        span = span_of(value)
        if not span:
            raise usage(f"{_name(param)} is a time such as 90s, 15m, 1h, 2d or 1h30m, not {value}")
        return span.total_seconds()


class _Seconds(TextType):
    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        seconds = _seconds(value)
        if not 0 < seconds < 1e9:
            raise usage(f"{_name(param)} is a positive number of seconds, or a time such as 15m or 1h30m, not {value}")
        return seconds


TIME, DURATION, SECONDS = _Time(), _Duration(), _Seconds()
"""A point in time, as ISO 8601; seconds, from a duration with its unit; seconds, from such a duration or a number."""


def _name(param: click.Parameter | None) -> str:
    return param.opts[0] if param is not None else "the value"


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        span = span_of(text)
        return span.total_seconds() if span is not None else math.nan
