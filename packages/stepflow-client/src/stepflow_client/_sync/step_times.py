# Written from _async/step_times.py by `make generate`. Change that file instead.

"""Reads when the steps of a run were executed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from .._rules.deadline import deadline_of, deadline_scope, has_passed
from .._rules.step_times import StepTimes
from ..errors import RequestTimeoutError
from .connection import Connection
from .events import EventFollower

if TYPE_CHECKING:
    from ..types import ListStepsResponse, StepDetails

__all__ = ["StepTimer"]

_PULSE = 0.25
"""Seconds without an event after which the deadline and the completeness of the times are checked."""
_LONGEST_SILENCE = 3.0
"""Seconds without an event after which reading stops: there is no end event for steps that a crashed server lost."""


class StepTimer:
    """Reads the times of steps from the events of their run.

    Args:
        connection: The connection.
        events: Follows events.
    """

    def __init__(self, connection: Connection, events: EventFollower) -> None:
        self._connection = connection
        self._events = events

    def timed(self, listed: ListStepsResponse, timeout: float | None) -> ListStepsResponse:
        """Return steps with their times."""
        times = self.times(listed.run_id, listed.steps, timeout)
        return listed.model_copy(update={"steps": [times.told_by(step) for step in listed.steps]})

    def times(self, run_id: str, steps: Sequence[StepDetails], timeout: float | None = None) -> StepTimes:
        """Return the times of steps that the server has just listed; none if it has no events (before 0.12).

        No server marks the latest event of a running run: reading ends once there are events for everything listed.

        Args:
            run_id: The run.
            steps: The steps.
            timeout: Seconds for all events; None for no limit.

        Raises:
            RequestTimeoutError: If the timeout expires.
        """
        found = StepTimes(run_id, steps)
        deadline = deadline_of(timeout)
        with deadline_scope(deadline):
            if not steps or not (self._connection.server()).capabilities["events"]:
                return found
            self._read(run_id, found, deadline)
        return found

    def _read(self, run_id: str, found: StepTimes, deadline: float | None) -> None:
        silence = 0.0
        with closing(self._events.run_events(run_id, heartbeat=_PULSE)) as events:
            for event in events:
                if has_passed(deadline):
                    raise RequestTimeoutError(f"the events of run {run_id} did not come in time", run_id=run_id)
                found.note(event)
                silence = silence + _PULSE if event.type == "heartbeat" else 0.0
                if found.is_past(event) or (silence and found.has_all) or silence >= _LONGEST_SILENCE:
                    return
