"""The progress of a batch, counted from its outcomes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..progress import Progress

if TYPE_CHECKING:
    from ..types.outcomes import Outcome


class BatchCount:
    """Counts the inputs of a batch and their outcomes.

    Args:
        expected: Total number of inputs, if known.
    """

    def __init__(self, expected: int | None = None) -> None:
        self.expected = expected
        """Total number of inputs, if known or estimated."""
        self.is_estimated = False
        """Whether it is an estimate."""
        self.begun = self.done = self.failed = 0
        """Number of inputs that were read, that ended, and that ended without success."""
        self.known = 0
        """Number of ended inputs whose outcome came from a journal."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since counting started."""
        return max(time.monotonic() - self._began, 1e-6)

    def note(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.done += 1
        self.failed += not outcome.is_success
        # An outcome from the journal is available immediately, so it must not count towards the rate.
        self.known += outcome.duration is None and outcome.run_id is not None

    def skip(self, known: int) -> None:
        """Count items that ended before counting started."""
        self.done += known
        self.known += known

    def progress(self, *, is_over: bool = False) -> Progress:
        """Return the progress of the batch."""
        total = self.done if is_over else self.expected
        status = "running" if not is_over else "failed" if self.failed else "completed"
        return Progress(
            None,
            status,
            total,
            self.done - self.failed,
            self.failed,
            self.known,
            duration=self.seconds,
            is_estimated=self.is_estimated and not is_over,
        )
