"""How far a batch that streams is, what failed in it, and how long its inputs took."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from stepflow_client._rules.batch_count import BatchCount

from ..errors import Problem
from ..exit_codes import ExitCode
from ..output.messages import note
from ..output.spinner import Spinner
from ..records.runs import duration_text

if TYPE_CHECKING:
    from stepflow_client import Outcome

__all__ = ["BatchProgress", "Latencies"]

_EVERY = 0.2
"""Seconds between two writes of the progress."""
_MOST_GROUPS = 5
"""Kinds of failures that the summary lists."""
_STEP = math.log(1.02)
"""Latencies are counted in classes that are 2% wide."""


class Latencies:
    """How long inputs took, in little memory however many they are."""

    def __init__(self) -> None:
        """Nothing was counted."""
        self._classes: Counter[int] = Counter()

    def note(self, seconds: float) -> None:
        """Count an input."""
        self._classes[round(math.log(max(seconds, 1e-6)) / _STEP)] += 1

    def percentile(self, share: float) -> float | None:
        """Return the seconds within which a share of the inputs ended; to 1%. None where nothing was counted."""
        left = share * self._classes.total()
        for each, count in sorted(self._classes.items()):
            left -= count
            if left <= 0:
                return math.exp(each * _STEP)
        return None


class BatchProgress(BatchCount):
    """How far a batch is, and what failed in it."""

    def __init__(self) -> None:
        """Begin to count."""
        super().__init__()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._latencies = Latencies()
        self._shown = time.monotonic()

    def note(self, outcome: Outcome) -> None:
        """Count an outcome."""
        super().note(outcome)
        if outcome.seconds is not None:
            self._latencies.note(outcome.seconds)
        if outcome.is_success:
            return
        error: dict[str, Any] = outcome.record()["error"]
        group = (str(error["code"] or outcome.status.value), error["message"])
        # However many messages differ, few are kept.
        if group in self._failures or len(self._failures) < 1000:
            self._failures[group] += 1

    def is_due(self) -> bool:
        """Return whether it is time to show the progress again."""
        now = time.monotonic()
        if now - self._shown <= _EVERY:
            return False
        self._shown = now
        return True

    def show(self, spinner: Spinner) -> None:
        """Show the progress."""
        parts = [self._text()]
        if self.begun > self.done:
            parts.append(f"{self.begun - self.done} running")
        left = self.progress().left
        if left is not None:
            parts.append(f"{duration_text(left)} left")
        spinner.update(", ".join(parts))

    def _text(self) -> str:
        return f"{self.done} inputs done, {self.failed} failed, {self.done / self.seconds:.0f}/s"

    def summarise(self) -> None:
        """Print the outcome of the batch, the most frequent failures first.

        Raises:
            Problem: If not all inputs have succeeded.
        """
        note(f"{self._text()}, {self.seconds:.1f} s")
        found = [(percent, self._latencies.percentile(percent / 100)) for percent in (50, 95, 99)]
        if found[0][1] is not None:
            told = ", ".join(f"p{percent} {seconds:.3g} s" for percent, seconds in found)
            # An input's own is not known: that of the run it was in stands for it.
            note(f"  latency of runs: {told}")
        for (code, message), count in self._failures.most_common(_MOST_GROUPS):
            note(f"  {count} x {code}: {message}")
        if self.failed:
            message = f"{self.failed} of {self.done} inputs did not succeed"
            raise Problem(message, kind="run_failed", exit_code=ExitCode.FAILED)
