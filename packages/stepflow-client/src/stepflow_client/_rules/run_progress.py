"""What the events of a run tell: positions, progress, counts, and the times of steps and items.

Pure: no requests, no output.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .._data.arguments import wrong
from ..errors import InvalidArgumentError
from ..progress import Progress
from ..types.models import Record

if TYPE_CHECKING:
    from ..events import RunEvent
    from ..types import ItemCounts, StepDetails
    from ..types.results import Outcome

_TEXT = re.compile(r"(?P<mode>[es])(?P<number>\d{1,18})\.(?P<handled>\d{1,18})")


class Cursor(NamedTuple):
    """A position in the events of a run."""

    mode: str = "e"
    """`e` for the run's own events, `s` if the events of sub-runs are included. Each mode counts separately."""
    number: int = 0
    handled: int = 0

    def __str__(self) -> str:
        return f"{self.mode}{self.number}.{self.handled}"

    @classmethod
    def parse(cls, after: str | int | None, mode: str) -> Cursor:
        """Parse the `after` argument of a caller: the cursor of an event, or the sequence number to start with.

        Raises:
            InvalidArgumentError: If it is neither, or if the cursor comes from events that were requested in another
                mode.
        """
        if after is None:
            return cls(mode)
        if isinstance(after, int) and not isinstance(after, bool) and after >= 0:
            return cls(mode, after)
        match = _TEXT.fullmatch(after) if isinstance(after, str) else None
        if match is None:
            raise wrong("after", "the cursor of an event or a sequence number", after)
        if match["mode"] != mode:
            raise InvalidArgumentError(
                f"the cursor {after!r} comes from a request with a different include_sub_runs",
                hint="pass the same include_sub_runs as before",
            )
        return cls(mode, int(match["number"]), int(match["handled"]))

    def after(self, number: int) -> Cursor:
        """Return the cursor after one more event with the given sequence number."""
        return Cursor(self.mode, number, self.handled + 1 if number == self.number else 1)


class BatchCount:
    """Counts the inputs of a batch and their outcomes.

    Args:
        expected: Total number of inputs, if known.
    """

    def __init__(self, expected: int | None = None) -> None:
        self.expected = expected
        """Total number of inputs, if known or estimated."""
        self.is_estimated = False
        """Whether it is an estimate."""
        self.begun = self.done = self.failed = 0
        """Number of inputs that were read, that ended, and that ended without success."""
        self.known = 0
        """Number of ended inputs whose outcome came from a journal."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since counting started."""
        return max(time.monotonic() - self._began, 1e-6)

    def add_outcome(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.done += 1
        self.failed += not outcome.is_success
        # An outcome from the journal is available immediately, so it must not count towards the rate.
        self.known += outcome.duration is None and outcome.run_id is not None

    def add_known(self, known: int) -> None:
        """Count items that ended before counting started."""
        self.done += known
        self.known += known

    def progress(self, *, is_over: bool = False) -> Progress:
        """Return the progress of the batch."""
        total = self.done if is_over else self.expected
        status = "running" if not is_over else "failed" if self.failed else "completed"
        return Progress(
            None,
            status,
            total,
            self.done - self.failed,
            self.failed,
            self.known,
            duration=self.seconds,
            is_estimated=self.is_estimated and not is_over,
        )


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

    def add_event(self, event: RunEvent) -> None:
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
        self.step_ids: Mapping[int | None, str] = {step.step_index: step.step_id for step in listed}
        """The ids of the steps by position: with events of sub-runs, servers send the id of another step or none."""
        self._changed_at = max((step.updated_at for step in listed if step.updated_at), default=None)

    @property
    def times(self) -> list[StepTime]:
        """The times of the steps, in the order of their first events."""
        return list(self._times.values())

    def add_event(self, event: RunEvent) -> None:
        """Process an event."""
        if event.run_id != self._run_id or event.timestamp is None:
            return
        if event.type == "step_started":
            step_id = self._find_step_id(event.step_index, event.step_id)
            if step_id is not None:
                self._time(event.item_index, step_id, has_ended=False).attempts.append(event.timestamp)
        elif event.type == "step_completed":
            step_id = self._find_step_id(event.step_index, event.step_id)
            if step_id is not None:
                time = self._time(event.item_index, step_id, has_ended=True)
                time.end, time.status = event.timestamp, event.status.value

    def _find_step_id(self, step_index: int | None, step_id: str | None) -> str | None:
        return step_id if step_index is None else self.step_ids.get(step_index, step_id)

    def _time(self, item_index: int, step_id: str, *, has_ended: bool) -> StepTime:
        key = (item_index, step_id)
        if has_ended or self._uncovered.get(key) is False:
            self._uncovered.pop(key, None)
        return self._times.setdefault(key, StepTime(*key))

    def is_past(self, event: RunEvent) -> bool:
        """Return whether all listed steps are covered and an event is newer than the list.

        A step that fails repeatedly has several end events; the list shows the last end.

        Args:
            event: An event that was passed to `add_event` before.
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
        times.add_event(event)
    return times.times


FlowOutline = tuple[str | None, Mapping[int, str]]
"""The name of a flow, and the ids of its steps by their position, as far as they are known."""


class ItemStates(NamedTuple):
    """The indexes of the items of a run that have started."""

    completed: set[int]
    failed: set[int]
    running: set[int]


@dataclass
class StepProgress:
    """The progress of one step, over all items of its run."""

    step_id: str
    attempt: int = 1
    """The attempt number of the item that was started last."""
    error: str | None = None
    """The error message of the first failed item, once it has been requested."""
    running: dict[int, datetime | None] = field(default_factory=dict)
    """The start times of the running items, by item index."""
    ended: dict[int, str] = field(default_factory=dict)
    """The statuses of the ended items, by item index."""
    not_run: dict[int, str] = field(default_factory=dict)
    """For items that count as failed only because a step that this one reads failed: the failed step, by item index."""
    kept: bool = False
    """Whether a rerun keeps its output, so that its component is not called."""
    first: datetime | None = None
    last: datetime | None = None

    def count(self, status: str) -> int:
        """Return the number of items that have ended with a status."""
        return sum(ended == status for ended in self.ended.values())

    @property
    def failed(self) -> int:
        """Number of items that have ended without success."""
        return len(self.ended) - self.count("completed")

    def status(self, total: int, is_over: bool) -> str:
        """Return one status for all items: waiting, running, completed, failed, ..., or `not run`.

        Args:
            total: Number of items of the run.
            is_over: Whether the run has ended.
        """
        if self.running or (self.ended and len(self.ended) < total and not is_over):
            return "running"
        if not self.ended:
            return "not run" if is_over else "waiting"
        if self.failed == len(self.not_run) and self.count("completed"):
            # It did not fail itself, but was not run for some items.
            return "completed"
        return next((status for status in self.ended.values() if status != "completed"), "completed")

    def state(self, total: int, is_over: bool) -> str:
        """Return the status, `kept`, or `not run (charge_card failed)` if a step that it reads failed."""
        status = self.status(total, is_over)
        if self.kept and status == "completed":
            return "kept"
        return f"not run ({self.because_of} failed)" if status == "failed" and self.because_of else status

    @property
    def because_of(self) -> str | None:
        """The failed step that prevented this one from running; None if it ran, or failed itself."""
        return next(iter(self.not_run.values()), None) if self.failed == len(self.not_run) else None

    def seconds(self, now: datetime) -> float | None:
        """Return the seconds from the first start to the last end, or until now while items are running.

        Args:
            now: The current time.

        Returns:
            None if the server does not send times.
        """
        end = now if self.running else self.last
        return _seconds_between(self.first, end)

    def start(self, item: int, time: datetime | None, attempt: int) -> None:
        """Record that an item was started. A second attempt keeps the start time of the first."""
        self.attempt = attempt
        # After a restart of the server, steps may start and end once more.
        self.ended.pop(item, None)
        self.not_run.pop(item, None)
        self.running.setdefault(item, time)
        self.first = self.first or time

    def end(self, item: int, time: datetime | None, status: str) -> float | None:
        """Record that an item has ended, and return how many seconds it took; None if that is unknown."""
        started = self.running.pop(item, None)
        self.not_run.pop(item, None)
        self.ended[item] = status
        self.last = time or self.last
        return _seconds_between(started, time)


class RunProgress:
    """The progress of a run, of its steps, and of its sub-runs.

    Args:
        run_id: The id of the run.
        outline: The outline of its flow.
        total: Number of items.
        created_at: When the run was created, by the server's clock.
        flow_of: A function from the id of a sub-run and the index of an item to the outline of the sub-run's flow, with
            the steps that this item has reached.
        kept: The ids of the steps that a rerun keeps.
    """

    def __init__(
        self,
        run_id: str,
        outline: FlowOutline = (None, {}),
        *,
        total: int = 1,
        created_at: datetime | None = None,
        flow_of: Callable[[str, int], FlowOutline] = lambda run_id, item: (None, {}),
        kept: Collection[str] = (),
    ) -> None:
        self._kept = frozenset(kept)
        self.run_id = run_id
        self.flow_name, self._step_ids = outline[0], dict(outline[1])
        self.total = total
        self.status = "running"
        self.is_over = False
        self.created_at = created_at
        self.completed_at: datetime | None = None
        self.sub_runs: dict[str, RunProgress] = {}
        """All sub-runs, at any depth, by their ids."""
        self.reported: ItemCounts | None = None
        """The numbers of items that the server reports: from the start if it has no events, else once it has ended."""
        self._is_sub_run = False
        self._steps: dict[str, StepProgress] = {}
        self._needed: set[str] = set()
        self._flow_of = flow_of

    @property
    def steps(self) -> list[StepProgress]:
        """The steps that are needed or have been started, in the order of the flow."""
        places = {step_id: place for place, step_id in self._step_ids.items()}
        return sorted(self._steps.values(), key=lambda step: places.get(step.step_id, len(places)))

    def ended_items(self) -> tuple[int, int]:
        """Return how many items have succeeded and how many have failed, judging by their steps if there are events."""
        if self.reported is not None and (self.is_over or not self._steps):
            return self.reported.completed, self.reported.failed + self.reported.cancelled
        items = self.items()
        return len(items.completed), len(items.failed)

    def counts(self) -> dict[str, int]:
        """Return the numbers of items by state, as `ItemCounts` has them."""
        completed, failed = self.ended_items()
        return {
            "total": self.total,
            "completed": completed,
            "failed": failed,
            "cancelled" if self.status == "cancelled" else "running": self.total - completed - failed,
        }

    def items(self) -> ItemStates:
        """Return the items that have started, by state, judging by their steps.

        Servers update the item counts of a run only when it ends. An item has succeeded when all its steps have ended,
        or all needed steps if the server reports which ones are needed.
        """
        steps = [step for step in self._steps.values() if step.ended or step.running]
        failed = {
            item
            for step in steps
            if step.failed
            for item, status in step.ended.items()
            if status not in ("completed", "skipped")
        }
        completed: set[int] = set()
        if steps and len(steps) >= (len(self._needed) or len(self._step_ids)):
            completed = set.intersection(*(set(step.ended) for step in steps)) - failed
        started = {item for step in steps for items in (step.running, step.ended) for item in items}
        return ItemStates(completed, failed, started - completed - failed)

    def progress(self, seconds: float) -> Progress:
        """Return the progress in numbers.

        Args:
            seconds: How long the run has been followed.
        """
        completed, failed = self.ended_items()
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

    def seconds(self, now: datetime) -> float | None:
        """Return the seconds that the run took, or has taken so far."""
        return _seconds_between(self.created_at, self.completed_at if self.is_over else now)

    def find_run(self, event: RunEvent) -> RunProgress:
        """Return the run that an event belongs to: this one or a sub-run."""
        if event.run_id == self.run_id:
            return self
        if event.run_id not in self.sub_runs:
            total = _get_field(event, "item_count", 1)
            sub_run = RunProgress(event.run_id, total=total, created_at=event.timestamp, flow_of=self._flow_of)
            sub_run._is_sub_run = True
            self.sub_runs[event.run_id] = sub_run
        return self.sub_runs[event.run_id]

    def apply_event(self, event: RunEvent) -> float | None:
        """Process an event.

        Returns:
            The duration in seconds of the step or run that has ended with this event; None if none has ended, or if the
            server does not send times.
        """
        run = self.find_run(event)
        match event.type:
            case "run_created":
                run.total = _get_field(event, "item_count", run.total)
            case "steps_needed" if run is self:
                # Servers send wrong step ids here for sub-runs.
                for step_id in _get_field(event, "step_ids", ()):
                    self._needed.add(step_id)
                    run._step(step_id)
            case "step_started":
                step = run.find_step(event)
                step.start(_get_field(event, "item_index", 0), event.timestamp, _get_field(event, "attempt", 1))
            case "step_completed":
                status = str(_get_field(event, "status", "completed"))
                return run.find_step(event).end(_get_field(event, "item_index", 0), event.timestamp, status)
            case "run_completed":
                run.end(str(_get_field(event, "status", "completed")), event.timestamp)
                return _seconds_between(run.created_at, event.timestamp)
        return None

    def end(self, status: str, time: datetime | None) -> None:
        """Record that the run has ended."""
        self.status, self.is_over, self.completed_at = status, True, time

    def lose_running(self) -> None:
        """Mark everything that is still running, sub-runs included, as failed: the server has lost it."""
        for step in self._steps.values():
            for item in list(step.running):
                step.end(item, None, "failed")
        for sub_run in self.sub_runs.values():
            if not sub_run.is_over:
                sub_run.end("failed", None)
                sub_run.lose_running()

    def find_step(self, event: RunEvent) -> StepProgress:
        """Return the step of this run that an event belongs to."""
        index, step_id = _get_field(event, "step_index", None), _get_field(event, "step_id", None)
        if step_id and not self._is_sub_run:
            return self._step(step_id)
        # For sub-runs, servers send the id of another step or none, but the correct position in the flow.
        if index is not None and index not in self._step_ids:
            self.flow_name, step_ids = self._flow_of(self.run_id, _get_field(event, "item_index", 0))
            # An unknown id is not requested again.
            self._step_ids = {index: f"#{index}", **self._step_ids, **step_ids}
        known_id = None if index is None else self._step_ids.get(index)
        return self._step(known_id or step_id or f"#{index}")

    def _step(self, step_id: str) -> StepProgress:
        return self._steps.setdefault(step_id, StepProgress(step_id, kept=step_id in self._kept))


def _get_field(event: RunEvent, name: str, default: Any) -> Any:
    return getattr(event, name, default)


def _seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    # The times may come from different machines with different clocks.
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())
