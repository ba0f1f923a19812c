"""Decides whether a run has ended, from the status that its server reports. Pure.

A server that finds that nobody executes a run gives it up: it marks the run as failed while its items still count as
running. It may be wrong: with a store in a file and a short `recovery: {checkIntervalSecs}`, it also marks runs that
are being executed and complete some seconds later. So such a run only counts as lost after a while without activity.
"""

from __future__ import annotations

from enum import Enum

from ..types.statuses import FAILED_STATUSES, ExecutionStatus


class Ending(Enum):
    """Whether a run has ended."""

    NOT_ENDED = "not ended"
    UNSETTLED = "unsettled"
    """The server has given the run up; it may still be executed."""
    LOST = "lost"
    """The server has given the run up, and nothing shows that it is still executed: its items never end."""
    ENDED = "ended"

    @property
    def is_finished(self) -> bool:
        """True if nothing more is expected of the run."""
        return self in (Ending.LOST, Ending.ENDED)


def is_given_up(status: ExecutionStatus, running: int) -> bool:
    """Return whether a server has given a run up.

    Args:
        status: The status of the run.
        running: The number of its items that count as running. It is zero in runs that have ended, on every release.
    """
    return status in FAILED_STATUSES and running > 0


def decide_ending(status: ExecutionStatus, running: int, quiet: float, grace: float) -> Ending:
    """Return whether a run has ended.

    Args:
        status: The status of the run.
        running: The number of its items that count as running.
        quiet: Seconds since the last sign of life: an event, the end of a step, or the change to this status.
        grace: Seconds without a sign of life after which a run that was given up counts as lost.
    """
    if not status.is_finished:
        return Ending.NOT_ENDED
    if not is_given_up(status, running):
        return Ending.ENDED
    return Ending.LOST if quiet >= grace else Ending.UNSETTLED
