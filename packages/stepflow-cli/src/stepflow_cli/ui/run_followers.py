"""Follow the events of runs on behalf of open pages, and track the states of batch items."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from stepflow_client import FlowError, RunDetails, StepflowClient, StepflowClientError, TransportError
from stepflow_client._command import RunWatcher, SnapshotReader, build_initial_progress
from stepflow_client._rules.run_progress import ItemTime, ItemTimes, RunProgress, StepTime, StepTimes
from stepflow_client.events import RunEvent
from stepflow_client.flows.graph import get_steps_by_id
from stepflow_client.progress import Progress
from stepflow_client.types.statuses import FAILED_STATUSES

if TYPE_CHECKING:
    from stepflow_client import RunItem

STATES = ("waiting", "running", "completed", "failed", "cancelled")
"""The item states. A state's code is its index here. Keep this in sync with the list in `batch.js`."""
_WAITING, _RUNNING, _COMPLETED, _FAILED, _CANCELLED = range(len(STATES))
_STATE_BY_STATUS = {"completed": _COMPLETED, "failed": _FAILED, "recovery_failed": _FAILED, "cancelled": _CANCELLED}


def merge_statuses_with_event_codes(items: Iterable[RunItem], event_codes: bytes, *, is_cancelled: bool) -> bytes:
    """Return the state code of every item.

    If an item has finished, its status from the server takes precedence over events.

    Args:
        items: The items.
        event_codes: The codes derived from events so far. May be empty.
        is_cancelled: Whether the run was cancelled, in which case its unfinished items were cancelled too.
    """
    codes = bytearray()
    for place, item in enumerate(items):
        default = event_codes[place] if place < len(event_codes) else _WAITING
        if is_cancelled and default in (_WAITING, _RUNNING):
            default = _CANCELLED
        codes.append(_STATE_BY_STATUS.get(item.status.value, default))
    return bytes(codes)


def format_state_ranges(codes: bytes) -> str:
    """Return the ranges of item indexes for each state code, e.g. `2:0-5,7;3:6`. Waiting items are left out."""
    ranges: dict[int, list[str]] = defaultdict(list)
    first = 0
    for code, equal in groupby(codes):
        last = first + len(list(equal)) - 1
        ranges[code].append(str(first) if first == last else f"{first}-{last}")
        first = last + 1
    ranges.pop(_WAITING, None)
    return ";".join(f"{code}:{','.join(indexes)}" for code, indexes in sorted(ranges.items()))


CATCH_UP_TIMEOUT_SECONDS = 2.0
_RECONNECT_SECONDS = 2.0
_IDLE_SECONDS = 30.0
_MAX_UNUSED_FOLLOWERS = 64
# Maximum number of events for which step times are recorded. After that, only item times are recorded.
_MAX_TIMED_EVENTS = 4_000
_HEALTH_MAX_AGE_SECONDS = 1.0
# If a run has had no events for this many seconds (or for twice its longest pause so far, if that's longer), its page
# asks whether a worker is running.
_QUIET_SECONDS = 10.0
# Maximum number of failed items whose errors are fetched while a batch is still running. The errors of any other failed
# items are read after the batch has ended.
_MAX_READ_ERRORS = 1_000


class ServerHealth:
    """Checks whether the server responds, at most once per second no matter how many pages are open."""

    def __init__(self, client: StepflowClient) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._is_up = True
        self._clock_offset = timedelta()

    @property
    def server_time(self) -> datetime:
        """The current time by the server's clock, estimated from the last health check."""
        return datetime.now(UTC) + self._clock_offset

    async def is_server_up(self) -> bool:
        """Return whether the server responds. The answer may be up to a second old."""
        async with self._lock:
            if time.monotonic() - self._checked_at > _HEALTH_MAX_AGE_SECONDS:
                try:
                    server_time = (await self._client.health_check(timeout=2.0)).timestamp
                    self._clock_offset = timedelta() if server_time is None else server_time - datetime.now(UTC)
                    self._is_up = True
                except StepflowClientError as error:
                    # Even an error response means that the server is up.
                    self._is_up = error.status_code is not None
                self._checked_at = time.monotonic()
            return self._is_up


class RunFollower:
    """Follows a run on behalf of all pages that show it, keeping only a few numbers per item."""

    def __init__(self, client: StepflowClient, run_id: str, health: ServerHealth, snapshots: SnapshotReader) -> None:
        self._client = client
        self._watcher = RunWatcher(client._services.follower, snapshots, client._services.waiter)
        self._run_id = run_id
        self._snapshots = snapshots
        self._health = health
        self._progress: RunProgress | None = None
        self._steps, self._items = StepTimes(run_id), ItemTimes(run_id)
        self._recorded_events = 0
        self._last_event_time: datetime | None = None
        self._longest_pause = timedelta()
        self._errors: dict[int, FlowError | None] = {}
        self._pending_errors: deque[tuple[int, str]] = deque()
        self._error_task: asyncio.Task[None] | None = None
        self._item_codes: tuple[int, bytes] = (-1, b"")
        self._cursor: str | None = None
        self._caught_up = asyncio.Event()
        self._changed = asyncio.Event()
        self._began = self.used = time.monotonic()
        """When the follower was last used."""
        self.pages = 0
        """The number of pages that are listening for changes."""
        self.version = 0
        """Incremented on every event and status change."""
        self.has_ended = False
        """Whether the follower has stopped because the run ended or because the server can't provide its events."""
        self._task = asyncio.create_task(self._follow_events())

    @property
    def is_caught_up(self) -> bool:
        """Whether all past events have been read."""
        return self._caught_up.is_set()

    @property
    def has_running_steps(self) -> bool:
        """Whether any steps have started but aren't known to have ended."""
        return self._progress is not None and any(step.running for step in self._progress.steps)

    @contextmanager
    def counting_page(self) -> Iterator[None]:
        """Mark the follower as used by a page while the block runs."""
        self.pages += 1
        try:
            yield
        finally:
            self.pages -= 1
            self.used = time.monotonic()

    async def wait_for_past_events(self, seconds: float = CATCH_UP_TIMEOUT_SECONDS) -> bool:
        """Wait until all past events have been read, or until `seconds` have passed since reading began.

        Return whether all of them were read.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._caught_up.wait(), self._began + seconds - time.monotonic())
        return self.is_caught_up

    async def wait_and_list_step_times(self) -> list[StepTime]:
        """Wait briefly for past events, then return the step times known so far."""
        await self.wait_for_past_events()
        return self._steps.times

    def list_item_times(self) -> list[ItemTime]:
        """Return the item times known so far."""
        return self._items.times

    def list_started_steps_of_item(self, index: int) -> list[tuple[str, bool, str | None]]:
        """Return the steps that have started for an item, as (step ID, is running, final status) tuples."""
        steps = self._progress.steps if self._progress is not None else []
        states = [(step.step_id, index in step.running, step.ended.get(index)) for step in steps]
        return [state for state in states if state[1] or state[2]]

    def get_progress(self) -> tuple[Progress, datetime | None] | None:
        """Return the progress as of the last event along with `quiet_since`, or None if nothing is known yet."""
        progress = self._progress
        if progress is None:
            return None
        seconds = progress.get_duration(self._last_event_time or self._health.server_time) or 0.0
        return progress.make_progress(seconds), self.quiet_since

    @property
    def quiet_since(self) -> datetime | None:
        """The time of the last event if the run is unfinished and has been quiet for unusually long, otherwise None."""
        if self._last_event_time is None or self.has_ended or not self.is_caught_up:
            return None
        pause = self._health.server_time - self._last_event_time
        is_quiet = pause > max(timedelta(seconds=_QUIET_SECONDS), 2 * self._longest_pause)
        return self._last_event_time if is_quiet else None

    def get_item_errors(self) -> dict[int, FlowError]:
        """Return the errors read so far for a running batch's failed items, by item index."""
        failed = self._progress.infer_item_states().failed if self._progress is not None else set()
        return {index: error for index, error in self._errors.items() if error is not None and index in failed}

    def get_item_state_codes(self) -> bytes:
        """Return one state code per item (see `STATES`), or an empty string if nothing is known yet."""
        if self._progress is not None and self._item_codes[0] != self.version:
            states, codes = self._progress.infer_item_states(), bytearray(self._progress.total)
            for code, indexes in ((_RUNNING, states.running), (_COMPLETED, states.completed), (_FAILED, states.failed)):
                for index in indexes:
                    if index < len(codes):
                        codes[index] = code
            self._item_codes = self.version, bytes(codes)
        return self._item_codes[1]

    async def wait_for_change(self, version: int, seconds: float) -> int:
        """Wait up to `seconds` for the version to change, then return the current version."""
        if self.version == version:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)
        return self.version

    async def close(self) -> None:
        """Stop following the run."""
        for task in filter(None, (self._task, self._error_task)):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow_events(self) -> None:
        while not self.has_ended:
            try:
                await self._read_new_events()
            except TransportError:
                # The server couldn't be reached, even though the client retried.
                self._caught_up.set()
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            except StepflowClientError:
                pass
            self._caught_up.set()
            self.has_ended = True
            self._announce_change()

    async def _read_new_events(self) -> None:
        if self._progress is None:
            snapshot = await self._snapshots.read_snapshot(self._run_id, "flow")
            self._progress = build_initial_progress(snapshot)
            self._steps.step_ids = dict(enumerate(get_steps_by_id(snapshot.flow or {})))
        status: str | None = None
        async with aclosing(self._watcher.iter_updates(self._progress, after=self._cursor)) as followed:
            async for update in followed:
                if update.event is not None:
                    self._cursor = update.event.cursor or self._cursor
                    self._record_event(update.event)
                elif update.run is not None:
                    # If the run has finished, don't report that we've caught up yet, because some of its events may
                    # still be on their way.
                    if not update.run.is_finished:
                        self._caught_up.set()
                    if update.run.status != (status or update.run.status):
                        self._announce_change()
                    status = update.run.status

    def _record_event(self, event: RunEvent) -> None:
        if event.timestamp is not None and not event.inferred:
            if self._last_event_time is not None:
                self._longest_pause = max(self._longest_pause, event.timestamp - self._last_event_time)
            self._last_event_time = event.timestamp
        self._items.add_event(event)
        if event.run_id == self._run_id and self._progress is not None and self._progress.total > 1:
            self._schedule_error_fetch(event)
        if event.type in ("step_started", "step_completed") and self._recorded_events < _MAX_TIMED_EVENTS:
            self._recorded_events += 1
            self._steps.add_event(event)
        self._announce_change()

    def _schedule_error_fetch(self, event: RunEvent) -> None:
        """Schedule a request for an item's error, because events don't include it. One request per item is enough."""
        if event.type == "step_started" and event.attempt > 1:
            self._errors.pop(event.item_index, None)
        if event.type != "step_completed" or event.status not in FAILED_STATUSES or event.step_id is None:
            return
        if event.item_index in self._errors or len(self._errors) >= _MAX_READ_ERRORS:
            return
        self._errors[event.item_index] = None
        self._pending_errors.append((event.item_index, event.step_id))
        if self._error_task is None or self._error_task.done():
            self._error_task = asyncio.create_task(self._fetch_scheduled_errors())

    async def _fetch_scheduled_errors(self) -> None:
        while self._pending_errors and not self.has_ended:
            index, step_id = self._pending_errors.popleft()
            # Ignore a failed request. The page can do without this error until the run ends.
            with suppress(StepflowClientError):
                step = await self._client.get_run_step(self._run_id, step_id, item_index=index)
                if step.error is not None and index in self._errors:
                    self._errors[index] = replace(step.error, step_id=step_id)
                    self._announce_change()

    def _announce_change(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()


class RunFollowers:
    """The runs being followed, including up to 64 that no page is listening to."""

    def __init__(self, client: StepflowClient, health: ServerHealth, snapshots: SnapshotReader) -> None:
        self._client = client
        self._health = health
        self._snapshots = snapshots
        self._runs: dict[str, RunFollower] = {}

    async def get_or_create_follower(self, run_id: str) -> RunFollower:
        """Return the follower for a run, creating one if needed.

        Also closes followers that no page has used for a while.
        """
        follower = self._runs.pop(run_id, None) or RunFollower(self._client, run_id, self._health, self._snapshots)
        follower.used = time.monotonic()
        # Keep the most recently used follower last.
        self._runs[run_id] = follower
        unused = [key for key, run in self._runs.items() if not run.pages and run is not follower]
        surplus = unused[: max(0, len(unused) - _MAX_UNUSED_FOLLOWERS)]
        idle = [key for key in unused if follower.used - self._runs[key].used > _IDLE_SECONDS]
        # Remove all of them before closing the first one: while `close` is waiting, other requests remove followers
        # too.
        for closing in [self._runs.pop(key) for key in unused if key in surplus or key in idle]:
            await closing.close()
        return follower

    def find_follower(self, run_id: str) -> RunFollower | None:
        """Return the follower for a run, or None if there isn't one yet."""
        return self._runs.get(run_id)

    async def get_live_stream_path(self, run: RunDetails, seconds: float = CATCH_UP_TIMEOUT_SECONDS) -> str:
        """Return the path of the stream that updates a run's page, or an empty string if the page won't change anymore.

        If the run has finished, waits up to `seconds` for its events. The stream only reports changes made after this
        call, so call this before reading the page's content.
        """
        is_complete = not (await self._client.server_info()).capabilities.get("events")
        if not is_complete:
            follower = await self.get_or_create_follower(run.run_id)
            await follower.wait_for_past_events(seconds if run.is_finished else 0.0)
            # Keep following a cancelled run while any steps are running, because it may still complete.
            is_complete = follower.has_ended and not (run.status.value == "cancelled" and follower.has_running_steps)
        return "" if run.is_finished and is_complete else f"/live/runs/{run.run_id}"

    async def close(self) -> None:
        """Stop following all runs."""
        while self._runs:
            await self._runs.popitem()[1].close()
