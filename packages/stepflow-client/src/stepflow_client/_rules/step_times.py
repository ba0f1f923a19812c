"""Collects the start and end times of steps and items from the events of a run. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..types.shown import Record

if TYPE_CHECKING:
    from ..events import RunEvent
    from ..types import StepDetails


@dataclass(slots=True)
class StepTime(Record):
    """The times at which one step of one item ran."""

    item_index: int
    step_id: str
    attempts: list[datetime] = field(default_factory=list)
    """When each attempt started, from the `step_started` events. For a retry, the event comes before the delay."""
    end: datetime | None = None
    status: str = "running"

    @property
    def duration(self) -> float | None:
        """Seconds from the first attempt to the end; None while the step is running."""
        return (self.end - self.attempts[0]).total_seconds() if self.end and self.attempts else None


@dataclass(frozen=True, slots=True)
class ItemTime:
    """The time an item took, from the start of its first step to the end of its last step."""

    index: int
    start: datetime
    end: datetime

    @property
    def duration(self) -> float:
        """Seconds from the start to the end."""
        return (self.end - self.start).total_seconds()


class ItemTimes:
    """Collects the times of the items of a run from events. It stores two times per item, however many steps it has.

    Args:
        run_id: The id of the run. Events of other runs are ignored.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._starts: dict[int, datetime] = {}
        self._ends: dict[int, datetime] = {}

    @property
    def times(self) -> list[ItemTime]:
        """The times of the items with at least one step that has ended, sorted by index."""
        indexes = sorted(self._ends.keys() & self._starts.keys())
        return [ItemTime(index, self._starts[index], self._ends[index]) for index in indexes]

    def note(self, event: RunEvent) -> None:
        """Process an event."""
        if event.run_id != self._run_id or event.timestamp is None:
            return
        if event.type == "step_started":
            self.start(event.item_index, event.timestamp)
        elif event.type == "step_completed":
            self.end(event.item_index, event.timestamp)

    def start(self, index: int, time: datetime) -> None:
        """Record that a step of an item has started."""
        self._starts[index] = min(self._starts.get(index, time), time)

    def end(self, index: int, time: datetime) -> None:
        """Record that a step of an item has ended."""
        self._ends[index] = max(self._ends.get(index, time), time)


class StepTimes:
    """Collects the times of steps from events, and tracks whether the events cover all listed steps.

    Args:
        run_id: The id of the run. Events of other runs are ignored.
        listed: The steps as the server listed them before the first event was read.
    """

    def __init__(self, run_id: str, listed: Iterable[StepDetails] = ()) -> None:
        self._run_id = run_id
        self._times: dict[tuple[int, str], StepTime] = {}
        listed = list(listed)
        self._uncovered = {(step.item_index, step.step_id): step.status.is_finished for step in listed}
        """The listed steps that no event has covered so far, and whether they have ended."""
        self._changed_at = max((step.updated_at for step in listed if step.updated_at), default=None)

    @property
    def times(self) -> list[StepTime]:
        """The times of the steps, in the order of their first events."""
        return list(self._times.values())

    def note(self, event: RunEvent) -> None:
        """Process an event."""
        if event.run_id != self._run_id or event.timestamp is None:
            return
        if event.type == "step_started" and event.step_id is not None:
            self._time(event.item_index, event.step_id, has_ended=False).attempts.append(event.timestamp)
        elif event.type == "step_completed" and event.step_id is not None:
            time = self._time(event.item_index, event.step_id, has_ended=True)
            time.end, time.status = event.timestamp, event.status.value

    def _time(self, item_index: int, step_id: str, *, has_ended: bool) -> StepTime:
        key = (item_index, step_id)
        if has_ended or self._uncovered.get(key) is False:
            self._uncovered.pop(key, None)
        return self._times.setdefault(key, StepTime(*key))

    def is_past(self, event: RunEvent) -> bool:
        """Return whether all listed steps are covered and an event is newer than the list.

        A step that fails repeatedly has several end events; the list shows the last end.

        Args:
            event: An event that was passed to `note` before.
        """
        if self._uncovered or self._changed_at is None or event.timestamp is None:
            return False
        return event.timestamp > self._changed_at

    def add_times_to(self, step: StepDetails) -> StepDetails:
        """Return a step with its known times filled in."""
        time = self._times.get((step.item_index, step.step_id))
        if time is None or not time.attempts:
            return step
        changes: dict[str, Any] = {"started_at": time.attempts[0], "attempts": len(time.attempts)}
        if step.status.is_finished and time.end is not None:
            changes |= {"completed_at": time.end, "duration": time.duration}
        return replace(step, **changes)


def collect_step_times(events: Iterable[RunEvent], run_id: str) -> list[StepTime]:
    """Return the times of the steps of a run, in the order in which they started. Events of other runs are ignored."""
    times = StepTimes(run_id)
    for event in events:
        times.note(event)
    return times.times
