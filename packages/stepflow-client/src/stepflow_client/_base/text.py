"""The progress of a run or batch as text: items done of total, time, rate and time left. Pure."""

from __future__ import annotations

__all__ = ["counted", "cut", "duration_text", "printable", "rate_of", "time_left"]

_ENOUGH = 3.0
"""Seconds after which a rate is meaningful."""


def cut(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters; if it is longer, the last one is an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def duration_text(seconds: object) -> str:
    """Return a duration in readable form: 0.4s, 42s, 3m05s, 2h04m, 3d02h."""
    if not isinstance(seconds, (int, float)):
        return "-"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    for size, unit, smaller, its_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller:02d}{its_unit}"
    return f"{whole // 60}m{whole % 60:02d}s"


def printable(text: str) -> str:
    """Return a text with each non-printable character, line breaks included, replaced by `·`."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def rate_of(done: int, seconds: float) -> float | None:
    """Return the number of items that end per second; None while that is not yet meaningful."""
    return done / seconds if done and seconds >= _ENOUGH else None


def time_left(total: int | None, done: int, seconds: float, *, known: int = 0) -> float | None:
    """Return the estimated seconds until all items are done, at the current rate; None if there is no estimate.

    Args:
        total: Number of items; None if it is unknown.
        done: Number of items that have ended.
        seconds: Seconds it took so far.
        known: Number of ended items that were known from the start and do not count towards the rate.
    """
    rate = rate_of(done - known, seconds)
    return (total - done) / rate if total is not None and rate and done < total else None


def counted(total: int | None, completed: int, failed: int, seconds: float, *, known: int = 0) -> str:
    """Return the progress of a run as text: `1,203/2,000 done, 3 failed, 12s, 100/s, 8.0s left`.

    Args:
        total: Number of items; None if it is unknown. For a single item, the text contains only the time.
        completed: Number of items that have succeeded.
        failed: Number of items that have ended without success.
        seconds: How long the caller has been waiting.
        known: Number of ended items that were known from the start.
    """
    if total == 1:
        return f"running for {duration_text(seconds)}"
    done = completed + failed
    parts = [f"{done:,} done" if total is None else f"{done:,}/{total:,} done"]
    if failed:
        parts.append(f"{failed:,} failed")
    parts.append(duration_text(seconds))
    rate = rate_of(done - known, seconds)
    if rate is not None:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    left = time_left(total, done, seconds, known=known)
    if left is not None:
        parts.append(f"{duration_text(left)} left")
    return ", ".join(parts)
