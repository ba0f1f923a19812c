"""How far a run or a batch is: what `progress=` of `run`, `map` and `wait_run` shows, or gives to a function.

Example:
    ```python
    result = client.run("workflow.yaml", {"name": "World"}, progress=lambda now: print(now))
    ```
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ._rules.words import counted, duration_text, printable, rate_of, time_left

__all__ = ["Progress", "ProgressOption"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run, or a batch of `map`, is. `str()` of it is one line."""

    run_id: str | None = None
    """The run; None for a batch of `map`, which is many runs."""
    status: str = "running"
    """Of a run its status; of a batch `running` or `completed`, or `failed` if an input did not succeed."""
    total: int | None = 1
    """Items of the run, or inputs of the batch; None where the inputs have no length."""
    completed: int = 0
    """How many have succeeded, as far as the events tell: servers count items only when the run ends."""
    failed: int = 0
    """How many have ended otherwise."""
    known: int = 0
    """How many of those that ended are from the journal of an earlier call of `map`."""
    steps: int | None = None
    """Of a run of one item, how many steps it has; None where that is not known."""
    ended_steps: int = 0
    """Of a run of one item, how many of its steps have ended."""
    running_steps: tuple[str, ...] = ()
    """The steps that run now, of any item."""
    seconds: float = 0.0
    """How long the call has taken so far."""

    @property
    def done(self) -> int:
        """How many items have ended."""
        return self.completed + self.failed

    @property
    def is_over(self) -> bool:
        """Whether this is the last that is told."""
        return self.status != "running"

    @property
    def fraction(self) -> float | None:
        """How much is done, from 0 to 1: of one item the steps count, else the items. None where that is not known."""
        if self.is_over:
            return 1.0
        done, total = (self.ended_steps, self.steps) if self.total == 1 else (self.done, self.total)
        return min(1.0, done / total) if total else None

    @property
    def rate(self) -> float | None:
        """How many items end in a second; None for the first three seconds."""
        return rate_of(self.done - self.known, self.seconds)

    @property
    def left(self) -> float | None:
        """Seconds until all items have ended, at the rate so far; None where that cannot be told."""
        return time_left(self.total, self.done, self.seconds, known=self.known)

    def __str__(self) -> str:
        # Step ids are the flow's own texts.
        return printable(self._words())

    def _words(self) -> str:
        if self.total != 1:
            said = counted(self.total, self.completed, self.failed, self.seconds, known=self.known)
            return f"{self.status}: {said}" if self.is_over else said
        if self.is_over:
            return f"{self.status} after {duration_text(self.seconds)}"
        parts = [] if self.steps is None else [f"{self.ended_steps}/{self.steps} steps"]
        parts += [f"at {', '.join(self.running_steps)}"] if self.running_steps else []
        return ", ".join([*parts, duration_text(self.seconds)])


ProgressOption: TypeAlias = bool | Callable[[Progress], object]
"""Whether progress is shown, or the function that is called with it."""
