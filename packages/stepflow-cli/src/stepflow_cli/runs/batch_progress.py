"""The progress of a batch: counts, failures and latencies."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from stepflow_client._command import BatchCount, FailureGroups

from ..output.messages import Spinner, note
from ..records.results import failed_batch_problem
from ..records.runs import duration_text

if TYPE_CHECKING:
    from stepflow_client import Outcome

# Seconds between progress updates.
_EVERY = 0.2


class Latencies(Counter[float]):
    """The number of inputs by their latency in seconds: that of their run, so there are few different ones."""

    def percentile(self, share: float) -> float | None:
        """Return the seconds within which this share of the inputs ended; None if there are none."""
        left = share * self.total()
        for seconds, count in sorted(self.items()):
            left -= count
            if left <= 0:
                return seconds
        return None


class BatchProgress(BatchCount):
    """The progress of a batch, and its failures."""

    def __init__(self) -> None:
        super().__init__()
        self._failures = FailureGroups()
        self._hint: str | None = None
        self._runs: set[str | None] = set()
        self._failed_runs: set[str | None] = set()
        """The runs of the batch, and of its failed inputs; None for an input that was not sent."""
        self._latencies = Latencies()
        self._shown = time.monotonic()

    def note(self, outcome: Outcome) -> None:
        """Count an outcome."""
        super().note(outcome)
        self._runs.add(outcome.run_id)
        if outcome.duration is not None:
            self._latencies[outcome.duration] += 1
        if outcome.is_success:
            return
        if self._hint is None and outcome.error is not None and outcome.error.hint is not None:
            self._hint = f"item {outcome.index}: {outcome.error.hint}"
        self._failed_runs.add(outcome.run_id)
        self._failures.add(outcome.index, outcome.error, outcome.status)

    @property
    def run_id(self) -> str | None:
        """The run of a batch that is a single run."""
        return next(iter(self._runs)) if len(self._runs) == 1 else None

    def is_due(self) -> bool:
        """Return whether it is time to update the progress."""
        now = time.monotonic()
        if now - self._shown <= _EVERY:
            return False
        self._shown = now
        return True

    def show(self, spinner: Spinner) -> None:
        """Show the progress."""
        running = self.begun - self.done
        spinner.update(str(self.progress()) + (f", {running:,} running" if running > 0 else ""))

    def summarise(self, *, is_brief: bool = False) -> None:
        """Print the batch's outcome, with the most frequent failures first.

        Args:
            is_brief: Whether to leave out counts and latencies.

        Raises:
            Problem: If not all inputs succeeded.
        """
        indent = "" if is_brief else "  "
        if not is_brief:
            rate = f"{self.done / self.seconds:.0f}/s"
            note(f"{self.done} inputs done, {self.failed} failed, {rate}, {duration_text(self.seconds)}")
            if self._latencies:
                percentiles = (
                    f"p{percent} {duration_text(self._latencies.percentile(percent / 100))}" for percent in (50, 95, 99)
                )
                # The latency of a single input is unknown, so the latency of its run is used.
                note(f"  latency of runs: {', '.join(percentiles)}")
        for line in self._failures.lines():
            note(f"{indent}{line}")
        if self.failed:
            raise failed_batch_problem(self.failed, self.done, self._failed_runs, self._hint)
