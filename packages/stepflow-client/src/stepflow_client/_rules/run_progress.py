"""Computes cursors, progress, item counts and timings from a run's events.

No I/O.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import KW_ONLY, InitVar, dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .._data.arguments import argument_error
from ..errors import InvalidArgumentError
from ..progress import Progress
from ..types.model_base import Record

if TYPE_CHECKING:
    from ..events import RunEvent
    from ..types import ItemCounts, StepDetails
    from ..types.results import Outcome

_CURSOR = re.compile(r"(?P<mode>[es])(?P<number>\d{1,18})\.(?P<handled>\d{1,18})")


class Cursor(NamedTuple):
    """A position in a run's event stream."""

    mode: str = "e"
    """`e` for the run's own events, `s` if sub-run events are included. Each mode has its own numbering."""
    number: int = 0
    handled: int = 0

    def __str__(self) -> str:
        return f"{self.mode}{self.number}.{self.handled}"

    @classmethod
    def parse(cls, after: str | int | None, mode: str) -> Cursor:
        """Parse the caller's `after` argument: an event's cursor, or the sequence number to start from.

        Raises:
            InvalidArgumentError: If it is neither, or if the cursor belongs to the other mode.
        """
        if after is None:
            return cls(mode)
        if isinstance(after, int) and not isinstance(after, bool) and after >= 0:
            return cls(mode, after)
        match = _CURSOR.fullmatch(after) if isinstance(after, str) else None
        if match is None:
            raise argument_error("after", "the cursor of an event or a sequence number", after)
        if match["mode"] != mode:
            message = f"the cursor {after!r} comes from a request with a different include_sub_runs"
            raise InvalidArgumentError(message, hint="pass the same include_sub_runs as before")
        return cls(mode, int(match["number"]), int(match["handled"]))

    def get_cursor_after(self, number: int) -> Cursor:
        """Return the cursor for the position after the next event, whose sequence number is `number`."""
        return Cursor(self.mode, number, self.handled + 1 if number == self.number else 1)


class BatchCount:
    """Counts a batch's inputs and their outcomes.

    Args:
        expected: Total number of inputs, if known.
    """

    def __init__(self, expected: int | None = None) -> None:
        self.expected = expected
        """Total number of inputs, if known or estimated."""
        self.is_estimated = False
        """Whether the total is an estimate."""
        self.begun = self.done = self.failed = 0
        """How many inputs were read, how many ended, and how many failed or were cancelled."""
        self.known = 0
        """The number of ended inputs whose outcomes came from a journal."""
        self._started_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """The number of seconds since counting started."""
        return max(time.monotonic() - self._started_at, 1e-6)

    def add_outcome(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.done += 1
        self.failed += not outcome.is_success
        # Outcomes read from the journal take no time, so exclude them from the rate.
        self.known += outcome.duration is None and outcome.run_id is not None

    def add_earlier_item_count(self, known: int) -> None:
        """Count items that ended before counting started."""
        self.done += known
        self.known += known

    def make_progress(self, *, is_over: bool = False) -> Progress:
        """Return the batch's progress."""
        total = self.done if is_over else self.expected
        status = "running" if not is_over else "failed" if self.failed else "completed"
        completed, is_estimated = self.done - self.failed, self.is_estimated and not is_over
        return Progress(
            None, status, total, completed, self.failed, self.known, duration=self.seconds, is_estimated=is_estimated
        )


@dataclass(slots=True)
class StepTime(Record):
    """When one of an item's steps ran."""

    item_index: int
    step_id: str
    attempts: list[datetime] = field(default_factory=list)
    """When each attempt started, according to `step_started` events. Note that a retry's event precedes its delay."""
    end: datetime | None = None
    status: str = "running"

    @property
    def duration(self) -> float | None:
        """The number of seconds between the first attempt and the end, or None while the step is running."""
        return (self.end - self.attempts[0]).total_seconds() if self.end and self.attempts else None


@dataclass(frozen=True, slots=True)
class ItemTime:
    """How long an item took, from the start of its first step to the end of its last one."""

    index: int
    start: datetime
    end: datetime

    @property
    def duration(self) -> float:
        """The number of seconds between start and end."""
        return (self.end - self.start).total_seconds()


class ItemTimes:
    """Collects item times from a run's events. Stores just two times per item, no matter how many steps it has.

    Args:
        run_id: The run ID. Events of other runs are ignored.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._start_times: dict[int, datetime] = {}
        self._end_times: dict[int, datetime] = {}

    @property
    def times(self) -> list[ItemTime]:
        """The times of all items with at least one step that has ended, sorted by index."""
        indexes = sorted(self._end_times.keys() & self._start_times.keys())
        return [ItemTime(index, self._start_times[index], self._end_times[index]) for index in indexes]

    def add_event(self, event: RunEvent) -> None:
        """Process an event."""
        if event.run_id != self._run_id or event.timestamp is None:
            return
        if event.type == "step_started":
            self.record_step_start(event.item_index, event.timestamp)
        elif event.type == "step_completed":
            self.record_step_end(event.item_index, event.timestamp)

    def record_step_start(self, index: int, time: datetime) -> None:
        """Record that one of the item's steps has started."""
        self._start_times[index] = min(self._start_times.get(index, time), time)

    def record_step_end(self, index: int, time: datetime) -> None:
        """Record that one of the item's steps has ended."""
        self._end_times[index] = max(self._end_times.get(index, time), time)


class StepTimes:
    """Collects step times from events, and keeps track of whether the events cover all listed steps.

    Args:
        run_id: The run ID. Events of other runs are ignored.
        listed: The steps that the server listed before the first event was read.
    """

    def __init__(self, run_id: str, listed: Iterable[StepDetails] = ()) -> None:
        self._run_id = run_id
        self._times: dict[tuple[int, str], StepTime] = {}
        listed = list(listed)
        self._uncovered = {(step.item_index, step.step_id): step.status.is_finished for step in listed}
        """The listed steps that no event has covered yet, along with whether each one has ended."""
        self.step_ids: Mapping[int | None, str] = {step.step_index: step.step_id for step in listed}
        """Step IDs by position. These are needed because servers send the wrong step ID, or none at all, if sub-run
        events are included."""
        self._changed_at = max((step.updated_at for step in listed if step.updated_at), default=None)

    @property
    def times(self) -> list[StepTime]:
        """Step times, ordered by each step's first event."""
        return list(self._times.values())

    def add_event(self, event: RunEvent) -> None:
        """Process an event."""
        if event.run_id != self._run_id or event.timestamp is None:
            return
        if event.type != "step_started" and event.type != "step_completed":
            return
        index = event.step_index
        step_id = event.step_id if index is None else self.step_ids.get(index, event.step_id)
        if step_id is None:
            return
        key = (event.item_index, step_id)
        if event.type == "step_completed" or self._uncovered.get(key) is False:
            self._uncovered.pop(key, None)
        time = self._times.setdefault(key, StepTime(*key))
        if event.type == "step_completed":
            time.end, time.status = event.timestamp, event.status.value
        else:
            time.attempts.append(event.timestamp)

    def is_newer_than_listed_steps(self, event: RunEvent) -> bool:
        """Return whether all listed steps are covered and the event is newer than the list.

        A step that fails repeatedly has several end events, but the list shows only the last one.

        Args:
            event: An event already passed to `add_event`.
        """
        if self._uncovered or self._changed_at is None or event.timestamp is None:
            return False
        return event.timestamp > self._changed_at

    def add_times_to(self, step: StepDetails) -> StepDetails:
        """Return the step with its known times filled in."""
        time = self._times.get((step.item_index, step.step_id))
        if time is None or not time.attempts:
            return step
        changes: dict[str, Any] = {"started_at": time.attempts[0], "attempts": len(time.attempts)}
        if step.status.is_finished and time.end is not None:
            changes |= {"completed_at": time.end, "duration": time.duration}
        return replace(step, **changes)


FlowOutline = tuple[str | None, Mapping[int, str]]
"""A flow's name (if known) and its known step IDs by position."""


class ItemsByState(NamedTuple):
    """The indexes of all items that have started, grouped by state."""

    completed: set[int]
    failed: set[int]
    running: set[int]


@dataclass
class StepProgress:
    """A step's progress across all items of its run."""

    step_id: str
    attempt: int = 1
    """The attempt number of the most recently started item."""
    error: str | None = None
    """The error message of the first failed item, once fetched."""
    running: dict[int, datetime | None] = field(default_factory=dict)
    """Start times of running items, by item index."""
    ended: dict[int, str] = field(default_factory=dict)
    """Statuses of ended items, by item index."""
    not_run: dict[int, str] = field(default_factory=dict)
    """Maps each skipped item's index to the ID of the failed upstream step that caused it. They count as failed."""
    unclear: set[int] = field(default_factory=set)
    """Items that either failed or didn't run (the server doesn't say which). They count as failed."""
    kept: bool = False
    """Whether a rerun keeps the step's output instead of calling its component."""
    first: datetime | None = None
    last: datetime | None = None

    def count_items_with_status(self, status: str) -> int:
        """Return how many items have ended with this status."""
        return sum(ended == status for ended in self.ended.values())

    @property
    def failed_count(self) -> int:
        """The number of items that ended unsuccessfully."""
        return len(self.ended) - self.count_items_with_status("completed")

    def get_status(self, total: int, is_over: bool) -> str:
        """Return a single status for all items together: waiting, running, completed, failed, ..., or `not run`.

        Args:
            total: The number of items in the run.
            is_over: Whether the run has ended.
        """
        if self.running or (self.ended and len(self.ended) < total and not is_over):
            return "running"
        if not self.ended:
            return "not run" if is_over else "waiting"
        if self.failed_count == len(self.not_run) and self.count_items_with_status("completed"):
            # The step itself never failed. It just didn't run for some items.
            return "completed"
        return next((status for status in self.ended.values() if status != "completed"), "completed")

    def get_state_text(self, total: int, is_over: bool) -> str:
        """Return the status, `kept`, or a phrase like `not run (charge_card failed)` if a step it depends on failed."""
        status = self.get_status(total, is_over)
        if self.kept and status == "completed":
            return "kept"
        if status != "failed":
            return status
        if len(self.unclear) == self.failed_count:
            return "failed or not run"
        # If the step didn't run for any item, name the failed step that prevented it.
        has_run = self.failed_count > len(self.not_run)
        return status if has_run else f"not run ({next(iter(self.not_run.values()))} failed)"

    def get_duration(self, now: datetime) -> float | None:
        """Return how long the step has taken.

        This is the time between the first item starting and the last one ending (or now, if any are still running).

        Args:
            now: The current time.

        Returns:
            The duration in seconds, or None if the server doesn't report timestamps.
        """
        return _seconds_between(self.first, now if self.running else self.last)

    def record_item_start(self, item: int, time: datetime | None, attempt: int) -> None:
        """Record that an item has started. If this is a retry, keep the original start time."""
        self.attempt = attempt
        # Steps may start and end again after a server restart.
        self.ended.pop(item, None)
        self._clear_not_run_reason(item)
        self.running.setdefault(item, time)
        self.first = self.first or time

    def record_item_end(self, item: int, time: datetime | None, status: str) -> float | None:
        """Record that an item has ended. Return how many seconds it took, or None if unknown."""
        started = self.running.pop(item, None)
        self._clear_not_run_reason(item)
        self.ended[item] = status
        self.last = time or self.last
        return _seconds_between(started, time)

    def _clear_not_run_reason(self, item: int) -> None:
        self.not_run.pop(item, None)
        self.unclear.discard(item)


@dataclass(eq=False, repr=False)
class RunProgress:
    """The progress of a run, its steps and its sub-runs.

    Args:
        run_id: The run ID.
        outline: The outline of the run's flow.
        total: The number of items in the run.
        created_at: When the run was created, by the server's clock.
        flow_of: A function that takes a sub-run's ID and an item index, and returns the outline of the sub-run's flow,
            including the steps that the item has reached.
        kept: The IDs of the steps whose outputs a rerun keeps.
    """

    run_id: str
    outline: InitVar[FlowOutline] = (None, {})
    _: KW_ONLY
    total: int = 1
    created_at: datetime | None = None
    flow_of: Callable[[str, int], FlowOutline] = lambda run_id, item: (None, {})
    kept: Collection[str] = ()
    status: str = field(default="running", init=False)
    is_over: bool = field(default=False, init=False)
    completed_at: datetime | None = field(default=None, init=False)
    sub_runs: dict[str, RunProgress] = field(default_factory=dict, init=False)
    """All sub-runs at any depth, by ID."""
    reported: ItemCounts | None = field(default=None, init=False)
    """The server's item counts. They're set from the start if the server has no events, or else when the run ends."""
    _is_sub_run: bool = field(default=False, init=False)
    _steps: dict[str, StepProgress] = field(default_factory=dict, init=False)
    _needed: set[str] = field(default_factory=set, init=False)

    def __post_init__(self, outline: FlowOutline) -> None:
        """Store the outline of the flow."""
        self.flow_name, self._step_ids = outline[0], dict(outline[1])

    @property
    def steps(self) -> list[StepProgress]:
        """The steps that are needed or have started, in flow order."""
        places = {step_id: place for place, step_id in self._step_ids.items()}
        return sorted(self._steps.values(), key=lambda step: places.get(step.step_id, len(places)))

    def count_completed_and_failed(self) -> tuple[int, int]:
        """Return how many items have succeeded and how many have failed (based on their steps, if there are events)."""
        if self.reported is not None and (self.is_over or not self._steps):
            return self.reported.completed, self.reported.failed + self.reported.cancelled
        items = self.infer_item_states()
        return len(items.completed), len(items.failed)

    def get_item_counts(self) -> dict[str, int]:
        """Return the number of items in each state, keyed like `ItemCounts`."""
        completed, failed = self.count_completed_and_failed()
        others = "cancelled" if self.status == "cancelled" else "running"
        counts = {"total": self.total, "completed": completed, "failed": failed}
        return counts | {others: self.total - completed - failed}

    def infer_item_states(self) -> ItemsByState:
        """Return the items that have started, with each item's state inferred from its steps.

        This is needed because servers don't update a run's item counts until it ends. An item counts as successful once
        all its steps have ended (or just the needed steps, if the server reports which steps are needed).
        """
        steps = [step for step in self._steps.values() if step.ended or step.running]
        failed = {item for step in steps for item, end in step.ended.items() if end not in ("completed", "skipped")}
        completed: set[int] = set()
        if steps and len(steps) >= (len(self._needed) or len(self._step_ids)):
            completed = set.intersection(*(set(step.ended) for step in steps)) - failed
        started = {item for step in steps for items in (step.running, step.ended) for item in items}
        return ItemsByState(completed, failed, started - completed - failed)

    def make_progress(self, seconds: float) -> Progress:
        """Return the progress so far.

        Args:
            seconds: How long the client has been following the run.
        """
        completed, failed = self.count_completed_and_failed()
        steps = list(self._steps.values())
        return Progress(
            run_id=self.run_id,
            status=self.status,
            total=self.total,
            completed=completed,
            failed=failed,
            steps=(len(self._needed) or len(self._step_ids) or None) if self.total == 1 else None,
            finished_steps=sum(bool(step.ended) for step in steps) if self.total == 1 else 0,
            running_steps=tuple(step.step_id for step in self.steps if step.running),
            duration=seconds,
        )

    def get_duration(self, now: datetime) -> float | None:
        """Return how many seconds the run took, or has taken so far."""
        return _seconds_between(self.created_at, self.completed_at if self.is_over else now)

    def get_or_add_event_run(self, event: RunEvent) -> RunProgress:
        """Return the run that an event belongs to, which is either this run or one of its sub-runs."""
        if event.run_id == self.run_id:
            return self
        if event.run_id not in self.sub_runs:
            total = getattr(event, "item_count", 1)
            sub_run = RunProgress(event.run_id, total=total, created_at=event.timestamp, flow_of=self.flow_of)
            sub_run._is_sub_run = True
            self.sub_runs[event.run_id] = sub_run
        return self.sub_runs[event.run_id]

    def apply_event(self, event: RunEvent) -> float | None:
        """Process an event.

        Returns:
            The duration in seconds of the step or run that ended with this event, or None if nothing ended or the
            server doesn't report timestamps.
        """
        run = self.get_or_add_event_run(event)
        match event.type:
            case "run_created":
                run.total = getattr(event, "item_count", run.total)
            case "steps_needed" if run is self:
                # For sub-runs, servers send the wrong step IDs here.
                for step_id in getattr(event, "step_ids", ()):
                    self._needed.add(step_id)
                    run._get_or_add_step(step_id)
            case "step_started":
                item, attempt = getattr(event, "item_index", 0), getattr(event, "attempt", 1)
                run.get_or_add_event_step(event).record_item_start(item, event.timestamp, attempt)
            case "step_completed":
                item, status = getattr(event, "item_index", 0), str(getattr(event, "status", "completed"))
                return run.get_or_add_event_step(event).record_item_end(item, event.timestamp, status)
            case "run_completed":
                run.record_run_end(str(getattr(event, "status", "completed")), event.timestamp)
                return _seconds_between(run.created_at, event.timestamp)
        return None

    def record_run_end(self, status: str, time: datetime | None) -> None:
        """Record that the run has ended."""
        self.status, self.is_over, self.completed_at = status, True, time

    def mark_running_as_failed(self) -> None:
        """Mark everything still running as failed, including sub-runs, because the server lost the run."""
        for step in self._steps.values():
            for item in list(step.running):
                step.record_item_end(item, None, "failed")
        for sub_run in self.sub_runs.values():
            if not sub_run.is_over:
                sub_run.record_run_end("failed", None)
                sub_run.mark_running_as_failed()

    def get_or_add_event_step(self, event: RunEvent) -> StepProgress:
        """Return the step that an event of this run belongs to."""
        index, step_id = getattr(event, "step_index", None), getattr(event, "step_id", None)
        if step_id and not self._is_sub_run:
            return self._get_or_add_step(step_id)
        # For sub-runs, servers send the wrong step ID or none, but the position in the flow is always right.
        if index is not None and index not in self._step_ids:
            self.flow_name, step_ids = self.flow_of(self.run_id, getattr(event, "item_index", 0))
            # Remember unknown positions, so that they aren't requested again.
            self._step_ids = {index: f"#{index}", **self._step_ids, **step_ids}
        known_id = None if index is None else self._step_ids.get(index)
        return self._get_or_add_step(known_id or step_id or f"#{index}")

    def _get_or_add_step(self, step_id: str) -> StepProgress:
        return self._steps.setdefault(step_id, StepProgress(step_id, kept=step_id in self.kept))


def _seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    # Clamp to zero, since the two times may come from machines whose clocks differ.
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())
