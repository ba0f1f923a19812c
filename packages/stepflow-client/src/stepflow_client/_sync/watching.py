# Written from _async/watching.py by `make generate`. Change that file instead.

"""Follows runs and their progress, for anything that displays runs as they execute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sized
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.logging import logger
from .._codec import call_checks, responses
from .._display.progress_display import show_progress
from .._records.inputs import InputStream
from .._rules.deadlines import compute_deadline, current_deadline, deadline_scope
from .._rules.run_progress import BatchCount, RunProgress
from ..errors import RunTimeoutError, StepflowClientError
from ..progress import Progress, ProgressOption
from ..types.statuses import FAILED_STATUSES, is_given_up_by_server
from .following import Follower, FollowRequest, IdleSignal, IdleTimer
from .snapshot_reader import SnapshotReader, build_initial_progress
from .waiting import Waiter

if TYPE_CHECKING:
    from .._codec.call_checks import RunId
    from ..events import RunEvent
    from ..types import FlowResult, RunDetails
    from ..types.results import Outcome
    from ..types.runs import RunSnapshot

# How many seconds to wait for a run's final status, since it may arrive after the run's last event.
_END_TIMEOUT_SECONDS = 5.0
# After this many seconds without an event, report progress again to update the elapsed time.
_IDLE_SECONDS = 0.5
# Minimum number of seconds between reports triggered by events, however many events there are.
_MIN_REPORT_SECONDS = 0.2


class RunUpdate(NamedTuple):
    """A progress update from a run that is being followed."""

    progress: RunProgress
    """The steps and item counts after the event."""
    event: RunEvent | None = None
    seconds: float | None = None
    """The duration of the step or run that ended with this event. None if nothing ended or the duration is unknown."""
    run: RunDetails | None = None
    """The run's state, if it was just requested. If it hasn't ended, all its past events have been yielded."""
    snapshot: RunSnapshot | None = None
    """The run's snapshot. Set only on the last update, once the run has ended."""


class RunWatcher:
    """Follows runs and tracks their progress, or waits for runs while reporting it."""

    def __init__(self, follower: Follower, snapshots: SnapshotReader, waiter: Waiter) -> None:
        self._follower = follower
        self._snapshots = snapshots
        self._waiter = waiter

    def iter_updates(
        self,
        progress: RunProgress,
        *,
        every: float = math.inf,
        until: float = math.inf,
        after: str | None = None,
        include_sub_runs: bool = False,
    ) -> Generator[RunUpdate, None, None]:
        """Yield a run's progress immediately, after each event, whenever no event arrives for a while, and at the end.

        If the server doesn't support event streams, poll the run's state. The run's end is then the only event.

        Args:
            progress: The progress so far. It's updated in place.
            every: Yield the progress again after this many seconds without an event.
            until: When to stop, on the `time.monotonic()` clock.
            after: The cursor of the last event included in `progress`.
            include_sub_runs: Whether to include events from sub-runs.

        Raises:
            RunTimeoutError: If the run doesn't end in time.
        """
        timer = IdleTimer(every, until)
        request = FollowRequest(progress.run_id, after, include_sub_runs=include_sub_runs, timer=timer)
        yield RunUpdate(progress)
        with closing(self._follower.follow_until_deadline(request)) as sequence:
            for update in sequence:
                if not isinstance(update, IdleSignal):
                    yield RunUpdate(progress, update, progress.apply_event(update))
                    continue
                if update.run is not None:
                    progress.reported = update.run.items
                yield RunUpdate(progress, run=update.run)
        ended = self._snapshots.read_snapshot(progress.run_id)
        if not ended.details.is_finished:
            with suppress(RunTimeoutError), deadline_scope(min(until, time.monotonic() + _END_TIMEOUT_SECONDS)):
                self._waiter.wait_run(progress.run_id)
            ended = self._snapshots.read_snapshot(progress.run_id)
        run = ended.details
        progress.record_run_end(run.status.value, run.completed_at)
        progress.reported = None if run.items.running or run.items.cancelled else run.items
        if run.status in FAILED_STATUSES:
            progress.mark_running_as_failed()
        yield RunUpdate(progress, snapshot=ended)

    def wait_for_result(self, run: responses.StartedRun, began: float, progress: ProgressOption) -> FlowResult:
        """Wait for a newly created single-item run to end and return its result.

        Args:
            run: The run.
            began: When the call began, on the `time.monotonic()` clock.
            progress: How to report progress.
        """
        with show_progress(progress) as report:
            if not run.has_ended:
                self._report_until_ended(run.run_id, report, began)
            result = self._waiter.wait_for_result(run)
            completed = int(result.is_success)
            seconds = time.monotonic() - began
            report(Progress(run.run_id, result.status.value, 1, completed, 1 - completed, duration=seconds))
        return result

    def wait_run(self, run_id: RunId, timeout: float | None, progress: ProgressOption) -> RunDetails:
        """Wait for a run to end and return it."""
        run_id = call_checks.check_run_id(run_id)
        began = time.monotonic()
        with deadline_scope(compute_deadline(timeout)), show_progress(progress) as report:
            self._report_until_ended(run_id, report, began)
            run = self._waiter.wait_run(run_id)
            total, completed = run.items.total, run.items.completed
            seconds = time.monotonic() - began
            report(Progress(run_id, run.status.value, total, completed, total - completed, duration=seconds))
        return run

    def _report_until_ended(self, run_id: str, report: Callable[[Progress], object], began: float) -> None:
        """Report a run's progress until the run has ended or the caller's deadline has passed.

        Errors from the run or its server aren't raised here, because waiting for the run will raise them. Errors
        from `report` are raised.

        Args:
            run_id: The run.
            report: Called immediately, then every half second, and after events.
            began: When waiting for the run began, on the `time.monotonic()` clock.
        """
        last_report = -math.inf
        with closing(self._iter_updates_until_error(run_id)) as followed:
            for update in followed:
                if update.progress.is_over:
                    return
                now = time.monotonic()
                is_idle = update.event is None and update.run is None
                if is_idle or now - last_report >= _MIN_REPORT_SECONDS:
                    last_report = now
                    report(update.progress.make_progress(now - began))

    def _iter_updates_until_error(self, run_id: str) -> Generator[RunUpdate, None, None]:
        try:
            run = self._snapshots.read_snapshot(run_id, "flow")
            details, deadline = run.details, current_deadline()
            if details.is_finished and not is_given_up_by_server(details.status, details.items.running):
                return
            until = math.inf if deadline is None else deadline
            followed = self.iter_updates(build_initial_progress(run), every=_IDLE_SECONDS, until=until)
            with closing(followed) as updates:
                for update in updates:
                    yield update
        except StepflowClientError as error:
            logger.info("the progress of run %s is no longer reported: %s", run_id, error.message)


def yield_outcomes_and_report_progress(
    outcomes: Generator[list[Outcome], None], inputs: Any, progress: ProgressOption, total: int | None
) -> Generator[list[Outcome], None, None]:
    """Yield a batch's outcomes, reporting how many there have been so far.

    Args:
        outcomes: The outcomes, in lists.
        inputs: The inputs. If they have a length, that's the total. If they come from a file, the total is estimated.
        progress: How to report progress.
        total: The number of inputs, if the caller passed it.
    """
    count = BatchCount(len(inputs) if total is None and isinstance(inputs, Sized) else total)
    file = inputs if count.expected is None and isinstance(inputs, InputStream) else None
    if file is not None:
        count.expected, count.is_estimated = file.expected, file.total is None
    with show_progress(progress) as report:
        report(count.make_progress())
        last_report = time.monotonic()
        with closing(outcomes) as chunks:
            for chunk in chunks:
                for outcome in chunk:
                    count.add_outcome(outcome)
                if time.monotonic() - last_report >= _MIN_REPORT_SECONDS:
                    if file is not None:
                        count.expected, count.is_estimated = file.expected, file.total is None
                    report(count.make_progress())
                    last_report = time.monotonic()
                yield chunk
        report(count.make_progress(is_over=True))
