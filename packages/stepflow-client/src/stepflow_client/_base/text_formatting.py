"""Formats text and numbers for display, in both the client and the CLI."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from unicodedata import category

# How many seconds it takes for a rate to become meaningful.
_MIN_RATE_SECONDS = 3.0


def cut(text: str, max_width: int, width: Callable[[str], int] = len) -> str:
    """Truncate text to a maximum width (in characters, by default), ending it with `…` if anything was cut."""
    if width(text) <= max_width:
        return text
    from bisect import bisect_right

    end = bisect_right(range(len(text)), max_width - 1, key=lambda length: width(text[:length])) - 1
    return f"{text[:end]}…"


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return a quantile of sorted values, interpolating between neighbors."""
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def format_rfc3339(time: datetime) -> str:
    """Format a time for use in data: RFC 3339 in UTC, with microseconds."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def short_json(value: Any, max_width: int = 200) -> str:
    """Format a value as one line of JSON, at most `max_width` characters long."""
    return cut(json.dumps(value, ensure_ascii=False, default=str), max_width)


def format_json_line(value: Any) -> str:
    """Format a value as one line of JSON, escaping any characters that terminals or readers would interpret."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if visible(text) == text else json.dumps(value, default=str).replace("\x7f", "\\u007f")


def visible(text: str) -> str:
    """Replace line breaks and control or invisible characters with `·`."""
    hidden = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    return re.sub("[^ -~]", lambda match: "·" if category(match[0]) in hidden else match[0], text)


def visible_lines(text: str) -> str:
    """Apply `visible` to each line."""
    return "\n".join(map(visible, text.split("\n")))


def format_url_without_credentials(url: str) -> str:
    """Return a URL for display, without its user and password."""
    scheme, separator, rest = url.partition("://")
    # A password can contain any separator, so split at the last @ and ignore a scheme that might be part of it.
    if separator and not {*scheme} & {*":@/"}:
        return f"{scheme}://{rest.rpartition('@')[2]}"
    return url.rpartition("@")[2]


def describe_missing_run_item(run_id: str, index: int, items: int) -> str:
    """Return the error message for an item index that a run doesn't have."""
    known = "no items" if not items else "1 item, counted from 0" if items == 1 else f"items 0 to {items - 1}"
    return f"run {run_id} has no item {index}; it has {known}"


def duration_text(seconds: object) -> str:
    """Format a duration: 300µs, 12ms, 1.2s, 42s, 3m05s, 2h04m or 3d02h. Returns `-` if it isn't a number.

    If a duration below ten seconds is a whole number, its timestamps have no fractions, so it's shown as <1s or 2s.
    """
    if not isinstance(seconds, (int, float)):
        return "-"
    if seconds == 0:
        return "<1s"
    if seconds < 0.001:
        return f"{seconds * 1_000_000:.0f}µs"
    if seconds < 1:
        return f"{seconds * 1_000:.{seconds < 0.01:d}f}ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for size, unit, smaller, its_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller:02d}{its_unit}"
    return f"{whole}s"


def compute_rate(done: int, seconds: float) -> float | None:
    """Return the number of items finished per second, or None if it's too early for that to be meaningful."""
    return done / seconds if done and seconds >= _MIN_RATE_SECONDS else None


def estimate_seconds_left(total: int | None, done: int, seconds: float, *, known: int = 0) -> float | None:
    """Estimate how many seconds it will take to finish all items at the current rate. Returns None if we can't tell.

    Args:
        total: Number of items, or None if unknown.
        done: Number of finished items.
        seconds: Seconds elapsed so far.
        known: Number of items already finished at the start, which don't count toward the rate.
    """
    rate = compute_rate(done - known, seconds)
    return (total - done) / rate if total is not None and rate and done < total else None


def format_progress(
    total: int | None, completed: int, failed: int, seconds: float, *, known: int = 0, is_estimated: bool = False
) -> str:
    """Format a run's progress, e.g. `1,203/2,000 done, 3 failed, 12s, 100/s, 8.0s left`.

    Args:
        total: Number of items, or None if unknown. For a single item, only the time is shown.
        completed: Number of items that succeeded.
        failed: Number of items that ended without success.
        seconds: How many seconds the caller has been waiting.
        known: Number of items already finished at the start.
        is_estimated: Whether the number of items is an estimate, shown as `~2,000`.
    """
    if total == 1:
        return f"running for {duration_text(seconds)}"
    done = completed + failed
    parts = [f"{done:,} done" if total is None else f"{done:,}/{'~' * is_estimated}{total:,} done"]
    if failed:
        parts.append(f"{failed:,} failed")
    parts.append(duration_text(seconds))
    rate = compute_rate(done - known, seconds)
    if rate is not None:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    left = estimate_seconds_left(total, done, seconds, known=known)
    if left is not None:
        parts.append(f"{duration_text(left)} left")
    return ", ".join(parts)
