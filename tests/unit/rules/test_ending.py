"""Whether a run has ended, is unsettled or is lost."""

from __future__ import annotations

import pytest
from stepflow_client.types import ExecutionStatus
from stepflow_client.types.statuses import RunEnding, decide_run_ending, is_given_up_by_server

GRACE = 30.0


@pytest.mark.parametrize(
    ("status", "running", "quiet", "ending"),
    [
        ("running", 3, 1e9, RunEnding.NOT_ENDED),
        ("paused", 3, 1e9, RunEnding.NOT_ENDED),
        ("unknown_9", 3, 1e9, RunEnding.NOT_ENDED),
        ("completed", 0, 0.0, RunEnding.ENDED),
        ("completed", 1, 0.0, RunEnding.ENDED),
        ("cancelled", 3, 0.0, RunEnding.ENDED),
        ("failed", 0, 0.0, RunEnding.ENDED),
        ("failed", 1, 0.0, RunEnding.UNSETTLED),
        ("failed", 1, -5.0, RunEnding.UNSETTLED),
        ("failed", 3, 29.9, RunEnding.UNSETTLED),
        ("failed", 3, 30.0, RunEnding.LOST),
        ("recovery_failed", 3, 29.9, RunEnding.UNSETTLED),
        ("recovery_failed", 3, 31.0, RunEnding.LOST),
        ("recovery_failed", 0, 0.0, RunEnding.ENDED),
    ],
)
def test_run_endings(status: str, running: int, quiet: float, ending: RunEnding) -> None:
    assert decide_run_ending(ExecutionStatus(status), running, quiet, GRACE) is ending
    assert is_given_up_by_server(ExecutionStatus(status), running) is (ending in (RunEnding.UNSETTLED, RunEnding.LOST))
    assert ending.is_finished is (ending in (RunEnding.ENDED, RunEnding.LOST))
