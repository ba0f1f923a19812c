"""Progress reports for a run or batch. The `progress` option shows them or passes them to a callback.

Example:
    ```python
    result = client.run("workflow.yaml", {"name": "World"}, progress=lambda now: print(now))
    ```
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ._base.text_formatting import compute_rate, duration_text, estimate_seconds_left, format_progress, visible
from .types.model_base import Record

__all__ = ["Progress", "ProgressOption"]


@dataclass(frozen=True, slots=True)
class Progress(Record):
    """The progress of a run or a `map` batch. `str()` formats it on one line."""

    run_id: str | None = None
    """The run's ID, or None for a `map` batch, which consists of many runs."""
    status: str = "running"
    """The run's status. For a batch, `running`, `completed`, or `failed` if any input did not succeed."""
    total: int | None = 1
    """Number of items in the run or inputs in the batch, or None if unknown. For inputs from a file, this may be an
    estimate (see `is_estimated`)."""
    completed: int = 0
    """Number of items that succeeded. A run's items are counted from events, because servers only count at the end."""
    failed: int = 0
    """Number of items that ended without success."""
    known: int = 0
    """Number of finished items restored from the journal of an earlier `map` call."""
    steps: int | None = None
    """Number of steps in a single-item run, or None if unknown."""
    finished_steps: int = 0
    """Number of steps finished in a single-item run."""
    running_steps: tuple[str, ...] = ()
    """The IDs of the steps that are running now, across all items."""
    duration: float = 0.0
    """Number of seconds since the call started."""
    is_estimated: bool = False
    """Whether `total` is an estimate from the part of the file read so far. `str()` shows this as `511/~4,700 done`."""

    @property
    def done(self) -> int:
        """Number of items that have finished."""
        return self.completed + self.failed

    @property
    def is_finished(self) -> bool:
        """Whether this is the last report."""
        return self.status != "running"

    @property
    def fraction(self) -> float | None:
        """The fraction of items completed (or of steps, for a single item), from 0 to 1, or None if unknown."""
        if self.is_finished:
            return 1.0
        done, total = (self.finished_steps, self.steps) if self.total == 1 else (self.done, self.total)
        return min(1.0, done / total) if total else None

    @property
    def rate(self) -> float | None:
        """Number of items finished per second, or None during the first three seconds."""
        return compute_rate(self.done - self.known, self.duration)

    @property
    def remaining(self) -> float | None:
        """Estimated seconds until all items are done at the current rate, or None if there is no estimate yet."""
        return estimate_seconds_left(self.total, self.done, self.duration, known=self.known)

    def __str__(self) -> str:
        # Step IDs come from the flow, so they may contain control characters.
        return visible(self._format())

    def _format(self) -> str:
        if self.total != 1:
            numbers = self.total, self.completed, self.failed, self.duration
            counts = format_progress(*numbers, known=self.known, is_estimated=self.is_estimated)
            return f"{self.status}: {counts}" if self.is_finished else counts
        if self.is_finished:
            return f"{self.status} after {duration_text(self.duration)}"
        parts = [] if self.steps is None else [f"{self.finished_steps}/{self.steps} steps"]
        parts += [f"at {', '.join(self.running_steps)}"] if self.running_steps else []
        return ", ".join([*parts, duration_text(self.duration)])


ProgressOption: TypeAlias = bool | Callable[[Progress], object]
"""Whether to show progress, or a callback that receives it."""
