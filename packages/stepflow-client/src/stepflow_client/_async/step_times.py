"""Reads when the steps of a run were executed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from .._base.not_given import NotGiven
from .._rules.deadline import deadline_of, deadline_scope, has_passed
from .._rules.step_times import StepTimes
from ..errors import RequestTimeoutError
from .connection import Connection
from .following import Follower
from .following_state import FollowRequest, Idle

if TYPE_CHECKING:
    from ..types import ListStepsResponse, StepDetails


class StepTimer:
    """Reads the times of steps from the events of their run."""

    def __init__(self, connection: Connection, follower: Follower) -> None:
        self._connection = connection
        self._follower = follower

    async def timed(self, listed: ListStepsResponse, timeout: float | NotGiven | None) -> ListStepsResponse:
        """Return steps with their times."""
        times = await self.times(listed.run_id, listed.steps, timeout)
        return replace(listed, steps=[times.applied_to(step) for step in listed.steps])

    async def times(
        self, run_id: str, steps: Sequence[StepDetails], timeout: float | NotGiven | None = None
    ) -> StepTimes:
        """Return the times of steps that the server has just listed; none if it has no events.

        No server marks the latest event of a running run: reading ends once there are events for everything listed, or
        the events have paused.

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
            if not steps or not (await self._connection.server()).capabilities["events"]:
                return found
            await self._read(run_id, found, deadline)
        return found

    async def _read(self, run_id: str, found: StepTimes, deadline: float | None) -> None:
        limit = math.inf if deadline is None else deadline
        request = FollowRequest(run_id, next_tick=lambda: limit - time.monotonic())
        async with aclosing(self._follower.follow(request)) as sequence:
            async for seen in sequence:
                if has_passed(deadline):
                    raise RequestTimeoutError(f"the events of run {run_id} did not come in time", run_id=run_id)
                if isinstance(seen, Idle):
                    if seen.run is not None:
                        return
                    continue
                found.note(seen)
                if found.is_past(seen):
                    return
