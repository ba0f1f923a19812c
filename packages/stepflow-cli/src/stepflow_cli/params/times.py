"""Points in time and durations as people write them: `90s`, `2 hours ago`, `yesterday`, `tuesday`, `2026-11-25`."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from ..errors import usage
from .declarations import TextType

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = re.compile(
    r"(\d+(?:\.\d+)?) ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)"
    r"(?:(?: |,|and)+(?=\d)|(?=\d|$))"
)
_DAYS_BEFORE = {"now": None, "today": 0, "yesterday": 1}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def parse_duration(text: str) -> timedelta | None:
    """Return the duration that `90s`, `15m`, `1h`, `2d`, `1w`, `1h30m` or `2 hours` means; None for other text."""
    text = " ".join(text.lower().split())
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    try:
        return sum((timedelta(**{_UNITS[part[2][0]]: float(part[1])}) for part in parts), timedelta())
    except OverflowError:
        return timedelta.max


def parse_time(text: str) -> str:
    """Return a point in time in ISO 8601: a duration before now, a day, or a time as it is given.

    Raises:
        Problem: If it is neither, or earlier than a datetime can represent.
    """
    word = text.strip().lower()
    if word in _DAYS_BEFORE:
        return _start_of_day(_DAYS_BEFORE[word])
    weekday = next((place for place, name in enumerate(_WEEKDAYS) if word in (name, name[:3])), None)
    if weekday is not None:
        return _start_of_day((datetime.now().astimezone().weekday() - weekday) % 7)
    span = parse_duration(word.removesuffix("ago"))
    if span is not None:
        try:
            return (datetime.now(UTC) - span).isoformat()
        except OverflowError:
            raise usage(f"{text} is too far in the past") from None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        hint = "write 15m, 1h30m, 2d, yesterday, tuesday, 2026-11-25 or 2026-11-25T14:00"
        raise usage(f"{text!r} is not a time", hint) from None
    return text


def _start_of_day(before: int | None) -> str:
    now = datetime.now().astimezone()
    if before is None:
        return now.isoformat()
    # Midnight is that of the local clock, also where the day has 23 or 25 hours.
    return datetime.combine(now.date() - timedelta(days=before), datetime.min.time()).astimezone().isoformat()


def _parse_duration_option(text: str, name: str) -> float:
    span = parse_duration(text)
    if not span:
        raise usage(f"{name} is a time such as 90s, 15m, 1h, 2d or 1h30m, not {text}")
    return span.total_seconds()


def _parse_seconds_option(text: str, name: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        span = parse_duration(text)
        seconds = math.nan if span is None else span.total_seconds()
    if not 0 < seconds < 1e9:
        raise usage(f"{name} is a positive number of seconds, or a time such as 15m or 1h30m, not {text}")
    return seconds


TIME = TextType(lambda text, name: parse_time(text))
"""A point in time, as ISO 8601."""
DURATION = TextType(_parse_duration_option)
"""Seconds, from a duration with its unit."""
SECONDS = TextType(_parse_seconds_option)
"""Seconds, from a duration with its unit or a number."""
