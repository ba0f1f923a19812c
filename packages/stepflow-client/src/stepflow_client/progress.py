"""The progress of a run or a batch, as `progress=` of `run`, `map` and `wait_run` shows it or passes it to a function.

Example:
    ```python
    result = client.run("workflow.yaml", {"name": "World"}, progress=lambda now: print(now))
    ```
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ._base.text import compute_rate, duration_text, estimate_seconds_left, format_counts, visible
from .types.models import Record

__all__ = ["Progress", "ProgressOption"]


@dataclass(frozen=True, slots=True)
class Progress(Record):
    """The progress of a run, or of a batch of `map`. `str()` of it is one line."""

    run_id: str | None = None
    """The id of the run; None for a batch of `map`, which consists of many runs."""
    status: str = "running"
    """The status of the run. For a batch: `running`, `completed`, or `failed` if an input did not succeed."""
    total: int | None = 1
    """Number of items of the run, or of inputs of the batch; None if it is unknown. For inputs in a file, it may be an
    estimate: see `is_estimated`."""
    completed: int = 0
    """Number of items that succeeded, according to the events: servers count items only when the run ends."""
    failed: int = 0
    """Number of items that ended without success."""
    known: int = 0
    """Number of ended items that are from the journal of an earlier call of `map`."""
    steps: int | None = None
    """Number of steps, for a run of one item; None if it is not known."""
    finished_steps: int = 0
    """Number of steps that have ended, for a run of one item."""
    running_steps: tuple[str, ...] = ()
    """The ids of the steps that are running, of any item."""
    duration: float = 0.0
    """Seconds since the call began."""
    is_estimated: bool = False
    """Whether `total` is estimated from the part of the file that was read. `str()` marks it: `511/~4,700 done`."""

    @property
    def done(self) -> int:
        """Number of items that have ended."""
        return self.completed + self.failed

    @property
    def is_finished(self) -> bool:
        """True if this is the last report."""
        return self.status != "running"

    @property
    def fraction(self) -> float | None:
        """The completed fraction, from 0 to 1: of the steps for a single item, else of the items. None if unknown."""
        if self.is_finished:
            return 1.0
        done, total = (self.finished_steps, self.steps) if self.total == 1 else (self.done, self.total)
        return min(1.0, done / total) if total else None

    @property
    def rate(self) -> float | None:
        """Items that end per second; None for the first three seconds."""
        return compute_rate(self.done - self.known, self.duration)

    @property
    def remaining(self) -> float | None:
        """Seconds until all items have ended, at the rate so far; None if it cannot be estimated."""
        return estimate_seconds_left(self.total, self.done, self.duration, known=self.known)

    def __str__(self) -> str:
        # Step ids are the flow's own texts.
        return visible(self._format())

    def _format(self) -> str:
        if self.total != 1:
            numbers = self.total, self.completed, self.failed, self.duration
            counts = format_counts(*numbers, known=self.known, is_estimated=self.is_estimated)
            return f"{self.status}: {counts}" if self.is_finished else counts
        if self.is_finished:
            return f"{self.status} after {duration_text(self.duration)}"
        parts = [] if self.steps is None else [f"{self.finished_steps}/{self.steps} steps"]
        parts += [f"at {', '.join(self.running_steps)}"] if self.running_steps else []
        return ", ".join([*parts, duration_text(self.duration)])


ProgressOption: TypeAlias = bool | Callable[[Progress], object]
"""Whether to show progress, or a function to call with it."""
