"""When a run has ended, may still be executed, or is lost."""

from __future__ import annotations

import pytest
from stepflow_client.types import ExecutionStatus
from stepflow_client.types.statuses import Ending, decide_ending, is_given_up_by_server

GRACE = 30.0


@pytest.mark.parametrize(
    ("status", "running", "quiet", "ending"),
    [
        ("running", 3, 1e9, Ending.NOT_ENDED),
        ("paused", 3, 1e9, Ending.NOT_ENDED),
        ("unknown_9", 3, 1e9, Ending.NOT_ENDED),
        ("completed", 0, 0.0, Ending.ENDED),
        ("completed", 1, 0.0, Ending.ENDED),
        ("cancelled", 3, 0.0, Ending.ENDED),
        ("failed", 0, 0.0, Ending.ENDED),
        ("failed", 1, 0.0, Ending.UNSETTLED),
        ("failed", 1, -5.0, Ending.UNSETTLED),
        ("failed", 3, 29.9, Ending.UNSETTLED),
        ("failed", 3, 30.0, Ending.LOST),
        ("recovery_failed", 3, 29.9, Ending.UNSETTLED),
        ("recovery_failed", 3, 31.0, Ending.LOST),
        ("recovery_failed", 0, 0.0, Ending.ENDED),
    ],
)
def test_the_ending(status: str, running: int, quiet: float, ending: Ending) -> None:
    assert decide_ending(ExecutionStatus(status), running, quiet, GRACE) is ending
    assert is_given_up_by_server(ExecutionStatus(status), running) is (ending in (Ending.UNSETTLED, Ending.LOST))
    assert ending.is_finished is (ending in (Ending.ENDED, Ending.LOST))
