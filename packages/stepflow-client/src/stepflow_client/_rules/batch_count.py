"""How far a batch is, counted from its outcomes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..progress import Progress

if TYPE_CHECKING:
    from ..outcomes import Outcome

__all__ = ["BatchCount"]


class BatchCount:
    """Counts the inputs of a batch and what became of them.

    Args:
        expected: How many there will be, where that is known.
    """

    def __init__(self, expected: int | None = None) -> None:
        """Begin to count."""
        self.expected = expected
        """How many there will be, where that is known or estimated."""
        self.begun = self.done = self.failed = 0
        """Inputs that were read, that ended, and that ended without success."""
        self.known = 0
        """Of those that ended, how many a journal had."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been counted."""
        return max(time.monotonic() - self._began, 1e-6)

    def note(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.done += 1
        self.failed += not outcome.is_success
        # It comes at once: it says nothing about how fast the others are.
        self.known += outcome.seconds is None and outcome.run_id is not None

    def progress(self, *, is_over: bool = False) -> Progress:
        """Return how far the batch is."""
        total = self.done if is_over else self.expected
        status = "running" if not is_over else "failed" if self.failed else "completed"
        return Progress(None, status, total, self.done - self.failed, self.failed, self.known, seconds=self.seconds)
