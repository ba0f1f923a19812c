"""How far a batch is, in words: items done of total, time, rate and time left. Pure."""

from __future__ import annotations

from ..records.runs import duration_text

__all__ = ["counted"]

_ENOUGH = 3.0
"""Seconds after which a rate means something."""


def counted(total: int, completed: int, failed: int, seconds: float) -> str:
    """Return how far a run is: `1,203/2,000 done, 3 failed, 12s, 100/s, 8.0s left`.

    Args:
        total: How many items it has; of one item only the time is told.
        completed: How many have succeeded.
        failed: How many have ended otherwise.
        seconds: How long it has been waited for.
    """
    if total <= 1:
        return f"running for {duration_text(seconds)}"
    done = completed + failed
    parts = [f"{done:,}/{total:,} done"]
    if failed:
        parts.append(f"{failed:,} failed")
    parts.append(duration_text(seconds))
    if done and seconds >= _ENOUGH:
        rate = done / seconds
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if done < total:
            parts.append(f"{duration_text((total - done) / rate)} left")
    return ", ".join(parts)
