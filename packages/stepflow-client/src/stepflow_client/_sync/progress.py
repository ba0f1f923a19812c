# Written from _async/progress.py by `make generate`. Change that file instead.

"""Reports the progress of a run while a caller waits for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sized
from contextlib import closing
from typing import TYPE_CHECKING, Any

from .._base.logging import logger
from .._codec import requests, responses
from .._display.progress_display import progress_shown
from .._records.inputs import InputStream
from .._rules.batch_count import BatchCount
from .._rules.deadline import current_deadline, deadline_of, deadline_scope
from .._rules.ending import is_given_up
from .._runs.initial_progress import progress_of
from ..errors import StepflowClientError
from ..progress import Progress, ProgressOption
from .snapshots import SnapshotReader
from .waiting import Waiter
from .watching import Followed, RunWatcher

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from ..types import FlowResult, RunDetails
    from ..types.outcomes import Outcome

_UPDATE = 0.5
"""Seconds without an event after which the progress is reported again, to update the elapsed time."""
_EVERY = 0.2
"""Minimum seconds between reports after events, however many events there are."""


class ProgressReporter:
    """Waits for runs and batches, and reports their progress."""

    def __init__(self, snapshots: SnapshotReader, watcher: RunWatcher, waiter: Waiter) -> None:
        self._snapshots = snapshots
        self._watcher = watcher
        self._waiter = waiter

    def result_of(self, run: responses.Started, began: float, progress: ProgressOption) -> FlowResult:
        """Wait until a run of one item that was just created ends, and return its result.

        Args:
            run: The run.
            began: When the call began, by `time.monotonic()`.
            progress: How to report the progress.
        """
        with progress_shown(progress) as report:
            if not run.has_ended:
                self._follow(run.run_id, report, began)
            result = self._waiter.result_of(run)
            completed = int(result.is_success)
            seconds = time.monotonic() - began
            report(Progress(run.run_id, result.status.value, 1, completed, 1 - completed, duration=seconds))
        return result

    def wait_run(self, run_id: RunId, timeout: float | None, progress: ProgressOption) -> RunDetails:
        """Wait until a run ends and return it."""
        run_id = requests.check_run_id(run_id)
        began = time.monotonic()
        with deadline_scope(deadline_of(timeout)), progress_shown(progress) as report:
            self._follow(run_id, report, began)
            run = self._waiter.wait_run(run_id)
            total, completed = run.items.total, run.items.completed
            seconds = time.monotonic() - began
            report(Progress(run_id, run.status.value, total, completed, total - completed, duration=seconds))
        return run

    def counted(
        self, outcomes: Generator[list[Outcome], None], inputs: Any, progress: ProgressOption, total: int | None
    ) -> Generator[list[Outcome], None, None]:
        """Yield the outcomes of a batch, and report how many there have been.

        Args:
            outcomes: The outcomes, in lists.
            inputs: The inputs; their number is known if they have a length, and estimated if they are from a file.
            progress: How to report the progress.
            total: Their number, if the caller has given it.
        """
        count = BatchCount(len(inputs) if total is None and isinstance(inputs, Sized) else total)
        file = inputs if count.expected is None and isinstance(inputs, InputStream) else None
        if file is not None:
            count.expected, count.is_estimated = file.expected, file.total is None
        with progress_shown(progress) as report:
            report(count.progress())
            shown = time.monotonic()
            with closing(outcomes) as chunks:
                for chunk in chunks:
                    for outcome in chunk:
                        count.note(outcome)
                    if time.monotonic() - shown >= _EVERY:
                        if file is not None:
                            count.expected, count.is_estimated = file.expected, file.total is None
                        report(count.progress())
                        shown = time.monotonic()
                    yield chunk
            report(count.progress(is_over=True))

    def _follow(self, run_id: str, report: Callable[[Progress], object], began: float) -> None:
        """Report the progress of a run until it has ended or the caller's deadline has passed.

        Errors of the run or its server are not raised here: waiting for the run raises them. Errors of `report` are
        passed on.

        Args:
            run_id: The run.
            report: Called immediately, then every half second, and after events.
            began: When waiting for the run began, by `time.monotonic()`.
        """
        shown = -math.inf
        with closing(self._followed(run_id)) as followed:
            for seen in followed:
                if seen.progress.is_over:
                    return
                now = time.monotonic()
                is_idle = seen.event is None and seen.run is None
                if is_idle or now - shown >= _EVERY:
                    shown = now
                    report(seen.progress.progress(now - began))

    def _followed(self, run_id: str) -> Generator[Followed, None, None]:
        try:
            run = self._snapshots.read(run_id, "flow")
            details, deadline = run.details, current_deadline()
            if details.is_finished and not is_given_up(details.status, details.items.running):
                return
            until = math.inf if deadline is None else deadline
            with closing(self._watcher.follow(progress_of(run), every=_UPDATE, until=until)) as followed:
                for seen in followed:
                    yield seen
        except StepflowClientError as error:
            logger.info("the progress of run %s is no longer reported: %s", run_id, error.message)
